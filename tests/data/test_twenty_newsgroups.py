"""20 Newsgroups, from the files of ProdLDA's authors."""

import numpy as np
import pytest
import scipy.sparse
import torch

from pyro_vae.core.errors import DataError
from pyro_vae.data import TwentyNewsgroups

COUNTS = {"train": np.array([[0, 2, 1], [0, 1, 0], [0, 0, 5]]), "test": np.array([[0, 3, 0]])}


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "root" / "20news"
    folder.mkdir(parents=True)
    for split, counts in COUNTS.items():
        scipy.sparse.save_npz(folder / f"{split}_bow.npz", scipy.sparse.csr_array(counts))
    (folder / "vocab.txt").write_text("the\ngod\nspace\n")
    return tmp_path / "root"


def test_both_sets_are_read_as_they_are(root, unchanged):
    data = TwentyNewsgroups(unchanged(root), validation=0).load()
    assert torch.equal(data.train.x, torch.from_numpy(COUNTS["train"]).float())
    assert torch.equal(data.test.x, torch.from_numpy(COUNTS["test"]).float())
    assert data.identity.name == "twenty_newsgroups"
    assert data.columns == TwentyNewsgroups(root).words() == ("the", "god", "space")


@pytest.mark.parametrize("name", ["train_bow.npz", "test_bow.npz", "vocab.txt"])
def test_a_missing_file_is_named(root, name):
    (root / "20news" / name).unlink()
    with pytest.raises(DataError, match=rf"twenty_newsgroups: expected {name} in "):
        TwentyNewsgroups(root).load()


def test_the_real_files(shared_data):
    if not (shared_data / "20news").is_dir():
        pytest.skip("no 20news")
    source = TwentyNewsgroups(str(shared_data), validation=0)
    data = source.load()
    assert (len(data.train), len(data.test), data.event_shape) == (11_258, 7487, (1995,))
    assert len(source.words()) == 1995
