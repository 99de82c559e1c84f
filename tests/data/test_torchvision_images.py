import gzip
import hashlib
import os
import shutil

import numpy as np
import pytest
import torch
from torchvision import datasets

from pyro_vae.core.errors import DataError
from pyro_vae.data import KMNIST, MNIST, FashionMNIST
from pyro_vae.data.idx import find_files, readable_root

from .conftest import idx

SOURCES = {"MNIST": MNIST, "FashionMNIST": FashionMNIST, "KMNIST": KMNIST}
IMAGES = "train-images-idx3-ubyte"


def listing(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def files_in(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("folder", SOURCES)
@pytest.mark.parametrize("packed", [True, False])
def test_files_are_read_through_torchvision(write_root, images, folder, packed):
    root = write_root(folder, packed=packed)
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


def test_a_root_is_left_as_it_is(write_root, cache):
    root = write_root()
    before = listing(root)
    for folder in (root / "MNIST" / "raw", root / "MNIST", root):
        os.chmod(folder, 0o555)
    try:
        MNIST(root, validation=5).load()
    finally:
        for folder in (root, root / "MNIST", root / "MNIST" / "raw"):
            os.chmod(folder, 0o755)
    assert listing(root) == before
    assert len(files_in(cache)) == 4


def test_unpacked_files_need_no_cache(write_root, cache):
    MNIST(write_root(packed=False), validation=5).load()
    assert not cache.exists()


def test_the_cache_is_kept_by_content(write_root, images, cache):
    root = write_root()
    first = MNIST(root, validation=5).load()
    stamps = {path: path.stat().st_mtime_ns for path in files_in(cache)}
    again = MNIST(shutil.copytree(root, root.with_name("copy")), validation=5).load()
    assert {path: path.stat().st_mtime_ns for path in files_in(cache)} == stamps
    assert again.identity == first.identity
    changed = images | {"test": (255 - images["test"][0], images["test"][1])}
    other = MNIST(write_root(name="other", images=changed), validation=5).load()
    assert other.identity != first.identity
    assert torch.equal(other.test.x, torch.from_numpy(changed["test"][0])[:, None] / 255)


def test_a_damaged_cache_is_made_again(write_root, cache):
    root = write_root()
    first = MNIST(root, validation=5).load()
    damaged = next(path for path in files_in(cache) if path.name == IMAGES)
    damaged.write_bytes(damaged.read_bytes()[:100])
    assert MNIST(root, validation=5).load().identity == first.identity


def test_a_cache_that_cannot_be_written_is_named(write_root, cache):
    cache.write_text("a file where a folder should be")
    with pytest.raises(DataError, match=r"cannot keep an unpacked file here: .*PYRO_VAE_CACHE"):
        MNIST(write_root()).load()


def test_pickled_tensors_of_old_torchvisions_are_not_read(write_root):
    root = write_root(packed=False)
    processed = root / "MNIST" / "processed"
    processed.mkdir()
    for name in ("training.pt", "test.pt"):
        torch.save((torch.zeros(3, 6, 5), torch.zeros(3)), processed / name)
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
    assert message.startswith(f"mnist: expected {IMAGES} (each as it is, or as .gz) in {root}")
    assert "t10k" not in message
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


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("cut", "ended before the end-of-stream"),
        ("flipped", "CRC check failed"),
        ("empty", "it begins with nothing"),
        ("text", "Not a gzipped file"),
        ("labels", "it begins with 00000801, not with the 00000803 of an IDX file of bytes in 3"),
        ("longer", "its header promises 916 bytes, and it has 917"),
        ("no images", r"its header promises data of shape \(0, 6, 5\)"),
    ],
)
def test_damaged_packed_files_are_named_and_not_kept(write_root, cache, how, message):
    root = write_root()
    path = root / "MNIST" / "raw" / f"{IMAGES}.gz"
    damaged(path, how)
    with pytest.raises(DataError, match=f"{IMAGES}.gz: .* damaged one: .*{message}") as caught:
        MNIST(root).load()
    assert caught.value.__cause__ is None
    assert not [kept for kept in files_in(cache) if IMAGES in kept.name]


@pytest.mark.parametrize(
    ("how", "message"),
    [("cut", "promises 916 bytes, and it has 458"), ("empty", "nothing"), ("text", "3c68746d")],
)
def test_damaged_unpacked_files_are_named(write_root, how, message):
    root = write_root(packed=False)
    damaged(root / "MNIST" / "raw" / IMAGES, how)
    with pytest.raises(DataError, match=f"{IMAGES}: .* damaged one: .*{message}"):
        MNIST(root).load()


def test_images_and_labels_must_be_as_many(write_root, images):
    images["test"] = (images["test"][0], images["test"][1][:-1])
    with pytest.raises(DataError, match=r"labels of test x: .* the 10 rows, got shape \(9,\)"):
        MNIST(write_root(), validation=5).load()


def test_a_failed_download_is_a_data_error(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.MNIST, "mirrors", ["http://127.0.0.1:9/"])
    with pytest.raises(DataError, match=r"to download it into .*refused.*or put train"):
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


def test_mixed_roots_are_read(write_root):
    root = write_root()
    packed = root / "MNIST" / "raw" / f"{IMAGES}.gz"
    packed.with_suffix("").write_bytes(gzip.decompress(packed.read_bytes()))
    packed.unlink()
    found = find_files(root, "MNIST", MNIST.files)
    assert found[IMAGES].suffix == ""
    assert readable_root(root, "MNIST", found) != root
    assert len(MNIST(root, validation=5).load().test) == 10


@pytest.mark.data
def test_mnist_is_mnist(shared_data):
    data = MNIST(shared_data, binarization="dynamic").load()
    assert [len(split) for split in data.splits.values()] == [50_000, 10_000, 10_000]
    assert data.event_shape == (1, 28, 28)
    counts = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert data.test.labels.bincount().tolist() == counts
    labels = torch.cat([data.train.labels, data.validation.labels])
    assert labels.bincount().tolist()[:3] == [5923, 6742, 5958]
    assert data.identity.value_range == (0.0, 1.0)
    assert data.train.x.mean().item() == pytest.approx(0.1307, abs=1e-3)
