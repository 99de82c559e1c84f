"""The static binarization of MNIST, from either form of its files."""

import numpy as np
import pytest
import torch

from pyro_vae.core.errors import DataError
from pyro_vae.data import BinarizedMNIST

SIZES = {"train": 7, "valid": 3, "test": 2}


@pytest.fixture
def pixels():
    rng = np.random.default_rng(0)
    return {
        split: rng.integers(0, 2, (size, 784), dtype=np.uint8) for split, size in SIZES.items()
    }


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "root" / "binarized_mnist_larochelle"
    path.mkdir(parents=True)
    return path


def write_text(folder, pixels):
    for split, x in pixels.items():
        lines = "".join(" ".join(map(str, row)) + " \n" for row in x)
        (folder / f"binarized_mnist_{split}.amat").write_text(lines)


def write_packed(folder, pixels):
    packed = {split: np.packbits(x, axis=1) for split, x in pixels.items()}
    np.savez(folder / "binarized_mnist_packed.npz", **packed)


@pytest.mark.parametrize("write", [write_text, write_packed])
def test_the_official_splits_are_read_as_they_are(folder, pixels, write, unchanged):
    write(folder, pixels)
    data = BinarizedMNIST(unchanged(folder.parent)).load()
    assert data.event_shape == (1, 28, 28)
    for split, name in (("train", "train"), ("validation", "valid"), ("test", "test")):
        expected = torch.from_numpy(pixels[name]).reshape(-1, 1, 28, 28).float()
        assert torch.equal(getattr(data, split).x, expected)
        assert not getattr(data, split).dynamic
    assert (data.identity.name, data.identity.binarization) == ("binarized_mnist", "none")


def test_both_forms_are_the_same_data(folder, pixels):
    write_text(folder, pixels)
    text = BinarizedMNIST(folder.parent).load().identity
    for path in folder.iterdir():
        path.unlink()
    write_packed(folder, pixels)
    assert BinarizedMNIST(folder.parent).load().identity == text


def test_a_missing_file_is_named(folder, pixels):
    write_text(folder, pixels)
    (folder / "binarized_mnist_valid.amat").unlink()
    with pytest.raises(DataError, match=r"binarized_mnist_valid.amat, \(or binarized_mnist_pack"):
        BinarizedMNIST(folder.parent).load()


@pytest.mark.parametrize("damage", [b"", b"0 1 0", b"2 " * 784, b"0.5 " * 784])
def test_damaged_text_is_refused(folder, pixels, damage):
    write_text(folder, pixels)
    (folder / "binarized_mnist_test.amat").write_bytes(damage)
    with pytest.raises(DataError, match=r"test.amat: expected 784 zeros and ones for each image"):
        BinarizedMNIST(folder.parent).load()


def test_unpacked_bytes_are_refused(folder, pixels):
    np.savez(folder / "binarized_mnist_packed.npz", **pixels)
    with pytest.raises(
        DataError, match=r"bytes of shape \(N, 98\), got uint8 of shape \(7, 784\)"
    ):
        BinarizedMNIST(folder.parent).load()


def test_the_real_files(shared_data):
    if not (shared_data / "binarized_mnist_larochelle").is_dir():
        pytest.skip("no binarized_mnist_larochelle")
    data = BinarizedMNIST(str(shared_data)).load()
    assert [len(split) for split in data.splits.values()] == [50_000, 10_000, 10_000]
    assert data.train.x.mean().item() == pytest.approx(0.13, abs=0.01)
