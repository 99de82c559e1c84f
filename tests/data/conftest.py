"""Files in the data sets' own formats, small enough for a test, and a server for them."""

import gzip
import os
import shutil
import struct
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from PIL import Image

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
def no_root(monkeypatch):
    """No root by the environment, unless a test names one."""
    monkeypatch.delenv("PYRO_VAE_DATA", raising=False)


@pytest.fixture(scope="session")
def shared_data():
    """The folder of real data sets, or a skip."""
    beside = Path(__file__).resolve().parents[2].parent / "shared" / "data"
    root = Path(os.environ.get("PYRO_VAE_DATA") or beside)
    if not (root / "MNIST" / "raw").is_dir():
        pytest.skip(f"no MNIST/raw in {root}; set PYRO_VAE_DATA")
    return root


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def serve():
    """Serves folders on this machine; gives each one's address."""
    servers = []

    def start(folder):
        handler = partial(QuietHandler, directory=str(folder))
        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), handler))
        Thread(target=servers[-1].serve_forever, args=(0.02,), daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}/"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def read_only(folder):
    """Take away the right to write below a folder, and list it, since a superuser may still."""
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    return sorted(map(str, folder.rglob("*")))


@pytest.fixture
def unchanged():
    """Makes a folder read-only for a test, and sees afterwards that nothing came or went."""
    kept = {}

    def keep(folder):
        kept[folder] = read_only(folder)
        return folder

    yield keep
    for folder, listing in kept.items():
        assert sorted(map(str, folder.rglob("*"))) == listing
        for path in [folder, *folder.rglob("*")]:
            path.chmod(0o755)


def png(pixels):
    """The bytes of an image in PNG."""
    file = BytesIO()
    Image.fromarray(np.asarray(pixels, dtype=np.uint8)).save(file, "png")
    return file.getvalue()


def packed(folder, prefix=""):
    """Packs a folder into a .zip beside it, and takes it away."""
    path = folder.with_name(f"{folder.name}.zip")
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, f"{prefix}{file.relative_to(folder)}")
    shutil.rmtree(folder)
    return path
