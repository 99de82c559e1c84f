import hashlib

import numpy as np
import pytest
import torch
from scipy.io import savemat
from torchvision import datasets

from pyro_vae.core.errors import DataError
from pyro_vae.data import SVHN

SIZES = {"train": 20, "test": 8, "extra": 12}


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    return {
        name: {
            "X": rng.integers(0, 256, (32, 32, 3, size), dtype=np.uint8),
            "y": rng.integers(1, 11, (size, 1), dtype=np.uint8),
        }
        for name, size in SIZES.items()
    }


@pytest.fixture
def root(tmp_path, arrays):
    (tmp_path / "root").mkdir()
    for name, content in arrays.items():
        savemat(tmp_path / "root" / f"{name}_32x32.mat", content, do_compression=True)
    return tmp_path / "root"


def test_images_and_labels_are_those_of_the_files(root, arrays, unchanged):
    data = SVHN(unchanged(root), validation=4).load()
    assert data.event_shape == (3, 32, 32)
    assert [len(split) for split in data.splits.values()] == [16, 4, 8]
    x, labels = torch.from_numpy(arrays["test"]["X"]), arrays["test"]["y"][:, 0]
    assert torch.equal(data.test.x[5], x[..., 5].permute(2, 0, 1) / 255)
    assert data.test.labels.tolist() == [0 if label == 10 else label for label in labels]
    assert 0 in data.train.labels
    assert data.identity == SVHN(root, validation=4).load().identity


def test_extra_images_come_after_the_others(root, arrays):
    data = SVHN(root, extra=True, validation=0).load()
    assert [len(split) for split in data.splits.values()] == [32, 0, 8]
    last = torch.from_numpy(arrays["extra"]["X"])[..., -1]
    assert torch.equal(data.train.x[-1], last.permute(2, 0, 1) / 255)


def test_what_is_missing_is_named(root):
    (root / "extra_32x32.mat").unlink()
    SVHN(root, validation=4).load()
    with pytest.raises(DataError, match=r"svhn: expected extra_32x32.mat in .*data.download=true"):
        SVHN(root, extra=True).load()


def swapped(content):
    return {"X": content["X"].transpose(3, 0, 1, 2), "y": content["y"]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (swapped, r"its X is uint8 of shape \(20, 32, 32, 3\)"),
        (lambda c: c | {"X": c["X"].astype(float)}, "its X is float64"),
        (lambda c: {"X": c["X"]}, "'y'"),
        (lambda c: c | {"y": c["y"] + 5}, "its y holds others than 1 to 10"),
        (lambda c: c | {"X": np.array([{"a": 1}], dtype=object)}, "its X is"),
    ],
)
def test_files_of_other_arrays_are_refused(root, arrays, change, message):
    savemat(root / "train_32x32.mat", change(arrays["train"]))
    with pytest.raises(DataError, match=f"train_32x32.mat: .*cannot be read: .*{message}"):
        SVHN(root).load()


def test_images_and_labels_must_be_as_many(root, arrays):
    savemat(root / "test_32x32.mat", arrays["test"] | {"y": arrays["test"]["y"][1:]})
    with pytest.raises(DataError, match=r"labels of test x: .* the 8 rows, got shape \(7,\)"):
        SVHN(root, validation=4).load()


@pytest.mark.parametrize("keep", [0, 100, 10_000, -1])
def test_damaged_files_are_named(root, keep):
    path = root / "test_32x32.mat"
    content = path.read_bytes()
    path.write_bytes(content[:keep] if keep >= 0 else b"<html>404</html>" * 20)
    with pytest.raises(
        DataError, match=r"test_32x32.mat: .*cannot be read: .*fresh copy"
    ) as caught:
        SVHN(root).load()
    assert caught.value.__cause__ is None


def test_a_download_fetches_what_is_not_there(root, tmp_path, monkeypatch, serve):
    address, new = serve(root), tmp_path / "new"
    files = {
        name: [f"{address}{path.name}", path.name, hashlib.md5(path.read_bytes()).hexdigest()]
        for name in SIZES
        for path in [root / f"{name}_32x32.mat"]
    }
    monkeypatch.setattr(datasets.SVHN, "split_list", files)
    data = SVHN(new, download=True, validation=4).load()
    assert data.identity == SVHN(root, validation=4).load().identity
    assert sorted(path.name for path in new.iterdir()) == ["test_32x32.mat", "train_32x32.mat"]
