import gzip
import hashlib
import zipfile

import pytest
import torch
from torchvision import datasets

from pyro_vae.core.errors import DataError, DeclarationError
from pyro_vae.data import EMNIST

from .conftest import idx


@pytest.fixture
def files(images):
    """The packed files of two splits, by name."""
    packed = {}
    for split, shift in (("letters", 0), ("digits", 1)):
        for half, (x, labels) in images.items():
            stem = f"emnist-{split}-{half}"
            packed[f"{stem}-images-idx3-ubyte.gz"] = gzip.compress(idx((x + shift) % 256))
            packed[f"{stem}-labels-idx1-ubyte.gz"] = gzip.compress(idx(labels))
    return packed


@pytest.fixture
def root(tmp_path, files):
    """A root with the archive of all splits."""
    raw = tmp_path / "root" / "EMNIST" / "raw"
    raw.mkdir(parents=True)
    with zipfile.ZipFile(raw / "gzip.zip", "w") as archive:
        for name, content in files.items():
            archive.writestr(f"gzip/{name}", content)
    return tmp_path / "root"


def unpacked(root, files, suffix):
    (root / "EMNIST" / "raw" / "gzip.zip").unlink()
    for name, content in files.items():
        path = root / "EMNIST" / "raw" / name
        path.with_suffix(suffix).write_bytes(content if suffix else gzip.decompress(content))


@pytest.mark.parametrize("suffix", [None, ".gz", ""])
def test_images_stand_upright_however_they_are_packed(root, files, images, unchanged, suffix):
    if suffix is not None:
        unpacked(root, files, suffix)
    data = EMNIST("letters", unchanged(root), validation=5).load()
    assert data.event_shape == (1, 5, 6)
    assert [len(split) for split in data.splits.values()] == [25, 5, 10]
    x, labels = images["test"]
    assert torch.equal(data.test.x[:, 0], torch.from_numpy(x).transpose(1, 2) / 255)
    assert data.test.labels.tolist() == labels.tolist()
    assert data.identity.name == "emnist letters"
    assert data.identity.preprocessing == "rows and columns exchanged"
    assert data.identity == EMNIST("letters", root, validation=5).load().identity


def test_splits_are_other_data(root):
    identities = {EMNIST(s, root, validation=5).load().identity for s in ("letters", "digits")}
    assert len(identities) == 2


def test_what_is_missing_is_named(root):
    with pytest.raises(DataError, match=r"emnist: expected emnist-mnist-train-images.* in .*raw"):
        EMNIST("mnist", root).load()
    with pytest.raises(DeclarationError, match=r"split: .*got 'leters'; did you mean 'letters'"):
        EMNIST("leters", root)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: content[:200], r"gzip.zip: expected a whole \.zip file, got a damaged"),
        (lambda content: b"", r"gzip.zip: expected a whole \.zip file"),
        (lambda content: content.replace(b"\x1f\x8b\x08\x00", b"\x1f\x8b\x08\x07", 1),
         r"letters-train-images-idx3-ubyte.gz: expected a whole IDX file.*Bad CRC-32"),
    ],
)  # fmt: skip
def test_a_damaged_archive_is_named(root, damage, message):
    path = root / "EMNIST" / "raw" / "gzip.zip"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=message) as caught:
        EMNIST("letters", root).load()
    assert caught.value.__cause__ is None


def test_a_download_fills_the_root(root, tmp_path, monkeypatch, serve):
    archive = root / "EMNIST" / "raw" / "gzip.zip"
    monkeypatch.setattr(datasets.EMNIST, "url", f"{serve(archive.parent)}gzip.zip")
    monkeypatch.setattr(datasets.EMNIST, "md5", hashlib.md5(archive.read_bytes()).hexdigest())
    data = EMNIST("letters", tmp_path / "new", download=True, validation=5).load()
    assert data.identity == EMNIST("letters", root, validation=5).load().identity


def test_a_failed_download_says_why(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.EMNIST, "url", "http://127.0.0.1:9/gzip.zip")
    with pytest.raises(DataError, match=r"emnist: .*refused.*or put emnist-letters-train"):
        EMNIST("letters", tmp_path, download=True).load()
