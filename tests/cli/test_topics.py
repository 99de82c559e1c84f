"""``pyro-vae topics``, and the preset of documents."""

from __future__ import annotations

import json

import numpy as np
import pytest
import scipy.sparse

VOCABULARY = ["god", "space", "car", "key", "game", "drive"]
SMALL = ["model.latent_dim=3", "guide.encoder.hidden=[8]", "train.epochs=1", "train.step=pyro",
         "-q", "--no-audit"]  # fmt: skip


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    counts = np.random.default_rng(0).poisson(1.0, (80, 6)) + np.eye(1, 6, dtype=int)
    scipy.sparse.save_npz(folder / "words.npz", scipy.sparse.csr_array(counts))
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY))
    return folder


def test_documents_from_training_to_topics(corpus, command, tmp_path):
    run = tmp_path / "run"
    data = ["data.kind=sparse_counts", f"data.path={corpus / 'words.npz'}",
            f"data.vocab={corpus / 'vocab.txt'}"]  # fmt: skip
    status, _, err = command("train", "documents", *data, *SMALL, "--out", run)
    assert status == 0, err
    status, out, err = command("topics", run, "--words", 2)
    assert status == 0, err
    assert "diversity" in out
    assert (run / "pictures" / "topics.png").read_bytes().startswith(b"\x89PNG")
    written = json.loads(command("topics", run, "--words", 3, "--json")[1])
    assert [len(topic) for topic in written["words"]] == [3, 3, 3]
    assert {word for topic in written["words"] for word in topic} <= {*VOCABULARY}
    assert all(" ".join(topic[:2]) in out for topic in written["words"])
    assert "perplexity per word, completion" in " ".join(command("evaluate", run)[1].split())

    for arguments, message in [
        ([run, "--words", 7], "words: expected 2 to 6"),
        ([run, "--words", 1], "words"),
    ]:
        status, _, err = command("topics", *arguments)
        assert status == 2
        assert message in " ".join(err.split())
