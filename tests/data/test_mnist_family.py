"""The kinds in MNIST's format: packed or not, damaged, missing, downloaded."""

import gzip
import hashlib
import tempfile
import zipfile

import numpy as np
import pytest
import torch
from torchvision import datasets

from pyro_vae.core.errors import DataError, DeclarationError
from pyro_vae.data import EMNIST, KMNIST, MNIST, FashionMNIST
from pyro_vae.data.unpacked import Room

from .conftest import idx

SOURCES = {"MNIST": MNIST, "FashionMNIST": FashionMNIST, "KMNIST": KMNIST}
IMAGES = "train-images-idx3-ubyte"


@pytest.fixture
def emnist(tmp_path, images):
    """A root with the archive of two of EMNIST's splits."""
    raw = tmp_path / "emnist" / "EMNIST" / "raw"
    raw.mkdir(parents=True)
    with zipfile.ZipFile(raw / "gzip.zip", "w") as archive:
        for split, shift in (("letters", 0), ("digits", 1)):
            for half, (x, labels) in images.items():
                stem = f"gzip/emnist-{split}-{half}"
                pixels = gzip.compress(idx((x + shift) % 256))
                archive.writestr(f"{stem}-images-idx3-ubyte.gz", pixels)
                archive.writestr(f"{stem}-labels-idx1-ubyte.gz", gzip.compress(idx(labels)))
    return tmp_path / "emnist"


def unpacked(root, suffix):
    """The archive's files beside it, unpacked or as .gz, in its place."""
    raw = root / "EMNIST" / "raw"
    with zipfile.ZipFile(raw / "gzip.zip") as archive:
        for name in archive.namelist():
            path, content = raw / name.removeprefix("gzip/"), archive.read(name)
            path.with_suffix(suffix).write_bytes(content if suffix else gzip.decompress(content))
    (raw / "gzip.zip").unlink()


@pytest.mark.parametrize("folder", SOURCES)
@pytest.mark.parametrize("packed", [True, False])
def test_files_are_read_through_torchvision(write_root, images, unchanged, folder, packed):
    root = unchanged(write_root(folder, packed=packed))
    data = SOURCES[folder](root, validation=5).load()
    assert data.event_shape == (1, 6, 5)
    assert [len(split) for split in data.splits.values()] == [25, 5, 10]
    x, labels = images["test"]
    assert torch.equal(data.test.x, torch.from_numpy(x)[:, None] / 255)
    assert data.test.labels.tolist() == labels.tolist()
    x, labels = images["train"]
    assert torch.equal(data.train.x, torch.from_numpy(x)[data.train.rows][:, None] / 255)
    assert data.train.labels.tolist() == labels[data.train.rows].tolist()


def test_packed_and_unpacked_files_are_the_same_data(write_root):
    roots = write_root(name="packed"), write_root(name="unpacked", packed=False)
    identities = [MNIST(root, validation=5).load().identity for root in roots]
    assert identities[0] == identities[1]


def test_what_was_unpacked_is_gone_afterwards(write_root, tmp_path, monkeypatch):
    (tmp_path / "drafts").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "drafts"))
    MNIST(write_root(), validation=5).load()
    assert not list((tmp_path / "drafts").iterdir())


def test_a_temporary_folder_that_is_full_is_named(write_root, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Room, "take", full)
    with pytest.raises(DataError, match=r"\.gz: .*room to unpack.*No space left.*TMPDIR"):
        MNIST(write_root()).load()


def test_pickled_tensors_of_old_torchvisions_are_not_read(write_root):
    root = write_root(packed=False)
    processed = root / "MNIST" / "processed"
    processed.mkdir()
    for name in ("training.pt", "test.pt"):
        torch.save((torch.zeros(3, 6, 5), torch.zeros(3)), processed / name)
    assert len(MNIST(root, validation=5).load().test) == 10


def test_mixed_roots_are_read(write_root):
    root = write_root()
    packed = root / "MNIST" / "raw" / f"{IMAGES}.gz"
    packed.with_suffix("").write_bytes(gzip.decompress(packed.read_bytes()))
    packed.unlink()
    assert len(MNIST(root, validation=5).load().test) == 10


def test_root_by_environment_then_beside(write_root, monkeypatch):
    root = write_root()
    monkeypatch.setenv("PYRO_VAE_DATA", str(root))
    by_environment = MNIST(validation=5).load()
    monkeypatch.delenv("PYRO_VAE_DATA")
    root.rename(root.with_name("data"))
    monkeypatch.chdir(root.parent)
    assert MNIST(validation=5).load().identity == by_environment.identity


def test_what_is_missing_is_named_with_what_to_do(write_root):
    root = write_root()
    (root / "MNIST" / "raw" / f"{IMAGES}.gz").unlink()
    with pytest.raises(DataError) as caught:
        MNIST(root).load()
    message = str(caught.value)
    assert message.startswith("mnist: expected the files of torchvision's MNIST in ")
    assert f"put {IMAGES}, train-labels-idx1-ubyte, t10k-images" in message
    assert "data.download=true" in message


def damaged(path, how):
    content = path.read_bytes()
    flipped = bytearray(content)
    flipped[-6] ^= 0xFF  # within a .gz, its checksum
    path.write_bytes({
        "cut": content[: len(content) // 2],
        "flipped": bytes(flipped),
        "empty": b"",
        "text": b"<html>404</html>",
        "labels": gzip.compress(idx(np.zeros(5))),
        "longer": gzip.compress(idx(np.zeros((30, 6, 5))) + b"\0"),
        "no images": gzip.compress(idx(np.zeros((0, 6, 5)))),
    }[how])  # fmt: skip


@pytest.mark.parametrize("how", ["cut", "flipped", "text", "empty"])
def test_damaged_archives_are_named(write_root, how):
    root = write_root()
    damaged(root / "MNIST" / "raw" / f"{IMAGES}.gz", how)
    named = (
        r"mnist: .*MNIST/raw: expected a file" if how == "empty" else rf"{IMAGES}\.gz: expected"
    )
    with pytest.raises(DataError, match=named) as caught:
        MNIST(root).load()
    assert caught.value.__cause__ is None
    assert "put a fresh copy in its place" in str(caught.value)


@pytest.mark.parametrize("how", ["labels", "longer", "no images"])
def test_archives_of_something_else_are_refused(write_root, how):
    root = write_root()
    damaged(root / "MNIST" / "raw" / f"{IMAGES}.gz", how)
    with pytest.raises(
        DataError, match=r"mnist: .*(can read, got: |images to train on, got none)"
    ):
        MNIST(root, validation=5).load()


@pytest.mark.parametrize("how", ["cut", "empty", "text"])
def test_damaged_unpacked_files_are_refused(write_root, how):
    root = write_root(packed=False)
    damaged(root / "MNIST" / "raw" / IMAGES, how)
    with pytest.raises(DataError, match=f"{root / 'MNIST' / 'raw'}: .*put a fresh copy"):
        MNIST(root).load()


@pytest.mark.parametrize("half", ["train", "test"])
@pytest.mark.parametrize("cut", [slice(None, -1), slice(1, None)])
def test_images_and_labels_must_be_as_many(write_root, images, half, cut):
    x, labels = images[half]
    images[half] = (x, labels[cut]) if cut.stop else (x[cut], labels)
    with pytest.raises(DataError, match=r"expected a label for each of \d+ images, got \d+"):
        MNIST(write_root(), validation=5).load()


def test_a_failed_download_is_a_data_error(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.MNIST, "mirrors", ["http://127.0.0.1:9/"])
    with pytest.raises(DataError, match=r"mnist: .* to download MNIST into .*refused.*try again"):
        MNIST(tmp_path / "root", download=True).load()


def test_a_download_fills_the_root(write_root, tmp_path, monkeypatch, serve):
    origin = write_root(name="origin") / "MNIST" / "raw"
    resources = [
        (path.name, hashlib.md5(path.read_bytes()).hexdigest()) for path in origin.iterdir()
    ]
    monkeypatch.setattr(datasets.MNIST, "mirrors", [serve(origin)])
    monkeypatch.setattr(datasets.MNIST, "resources", resources)
    data = MNIST(tmp_path / "root", download=True, validation=5).load()
    assert data.identity == MNIST(tmp_path / "root", validation=5).load().identity
    assert data.identity == MNIST(tmp_path / "origin", validation=5).load().identity


def test_download_is_not_tried_where_the_files_are(write_root, monkeypatch):
    monkeypatch.setattr(datasets.MNIST, "mirrors", ["http://127.0.0.1:9/"])
    assert len(MNIST(write_root(), download=True, validation=5).load().test) == 10


@pytest.mark.parametrize("suffix", [None, ".gz", ""])
def test_emnist_stands_upright_however_it_is_packed(emnist, images, unchanged, suffix):
    if suffix is not None:
        unpacked(emnist, suffix)
    data = EMNIST("letters", unchanged(emnist), validation=5).load()
    assert data.event_shape == (1, 5, 6)
    assert [len(split) for split in data.splits.values()] == [25, 5, 10]
    x, labels = images["test"]
    assert torch.equal(data.test.x[:, 0], torch.from_numpy(x).transpose(1, 2) / 255)
    assert data.test.labels.tolist() == labels.tolist()
    assert data.identity.name == "emnist letters"
    assert data.identity.preprocessing == "rows and columns exchanged"


def test_emnists_splits_are_other_data(emnist):
    identities = {EMNIST(s, emnist, validation=5).load().identity for s in ("letters", "digits")}
    assert len(identities) == 2
    with pytest.raises(DataError, match=r"emnist: expected the files.* put emnist-mnist-"):
        EMNIST("mnist", emnist).load()
    with pytest.raises(DeclarationError, match=r"split: .*got 'leters'; did you mean 'letters'"):
        EMNIST("leters", emnist)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:200],
        lambda content: b"",
        lambda content: content.replace(b"\x1f\x8b\x08\x00", b"\x1f\x8b\x08\x07", 1),
    ],
)
def test_a_damaged_archive_of_emnist_is_named(emnist, damage):
    path = emnist / "EMNIST" / "raw" / "gzip.zip"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=r"gzip.zip: expected a whole archive") as caught:
        EMNIST("letters", emnist).load()
    assert caught.value.__cause__ is None


def test_a_download_of_emnist_fills_the_root(emnist, tmp_path, monkeypatch, serve):
    archive = emnist / "EMNIST" / "raw" / "gzip.zip"
    monkeypatch.setattr(datasets.EMNIST, "url", f"{serve(archive.parent)}gzip.zip")
    monkeypatch.setattr(datasets.EMNIST, "md5", hashlib.md5(archive.read_bytes()).hexdigest())
    with zipfile.ZipFile(archive, "a") as packed:  # torchvision unpacks all of the six splits
        for split in set(datasets.EMNIST.splits) - {"letters", "digits"}:
            for half in ("train", "test"):
                for what in ("images-idx3", "labels-idx1"):
                    source = f"gzip/emnist-letters-{half}-{what}-ubyte.gz"
                    packed.writestr(source.replace("letters", split), packed.read(source))
    monkeypatch.setattr(datasets.EMNIST, "md5", hashlib.md5(archive.read_bytes()).hexdigest())
    data = EMNIST("letters", tmp_path / "new", download=True, validation=5).load()
    assert data.identity == EMNIST("letters", emnist, validation=5).load().identity


@pytest.mark.data
def test_mnist_is_mnist(shared_data):
    data = MNIST(shared_data, binarization="dynamic").load()
    assert data.identity.sha256 == "0f7c238d1c4f"
    assert [len(split) for split in data.splits.values()] == [50_000, 10_000, 10_000]
    assert data.event_shape == (1, 28, 28)
    counts = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert data.test.labels.bincount().tolist() == counts
    labels = torch.cat([data.train.labels, data.validation.labels])
    assert labels.bincount().tolist()[:3] == [5923, 6742, 5958]
    assert data.identity.value_range == (0.0, 1.0)
    assert data.train.x.mean().item() == pytest.approx(0.1307, abs=1e-3)
