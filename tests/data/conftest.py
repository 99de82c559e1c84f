"""IDX files in MNIST's own format, small enough for a test."""

import gzip
import os
import struct
from pathlib import Path

import numpy as np
import pytest

NAMES = {"train": "train", "test": "t10k"}


def idx(array):
    """The bytes of an IDX file."""
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(np.uint8).tobytes()


@pytest.fixture
def images():
    """Images and labels of both halves: 30 to train on, 10 to test on."""
    rng = np.random.default_rng(0)
    return {
        half: (rng.integers(0, 256, (size, 6, 5)), rng.integers(0, 10, size))
        for half, size in (("train", 30), ("test", 10))
    }


@pytest.fixture
def write_root(tmp_path, images):
    """Writes the four files under a root, packed or not, and returns it."""

    def write(folder="MNIST", packed=True, name="root", images=images):
        raw = tmp_path / name / folder / "raw"
        raw.mkdir(parents=True)
        for half, (x, labels) in images.items():
            for what, array in (("images-idx3", x), ("labels-idx1", labels)):
                path = raw / f"{NAMES[half]}-{what}-ubyte"
                if packed:
                    path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(idx(array)))
                else:
                    path.write_bytes(idx(array))
        return tmp_path / name

    return write


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache and an environment of the test's own."""
    monkeypatch.setenv("PYRO_VAE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("PYRO_VAE_DATA", raising=False)
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def shared_data():
    """The folder of real data sets, or a skip."""
    beside = Path(__file__).resolve().parents[2].parent / "shared" / "data"
    root = Path(os.environ.get("PYRO_VAE_DATA") or beside)
    if not (root / "MNIST" / "raw").is_dir():
        pytest.skip(f"no MNIST/raw in {root}; set PYRO_VAE_DATA")
    return root
