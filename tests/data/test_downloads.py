"""Downloads: silent, slow and endless servers, http in place of https, and what is left behind."""

import os
import shutil
import socket
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest

from pyro_vae.core.errors import DataError
from pyro_vae.data import downloads
from pyro_vae.data.cifar10 import CIFAR10
from pyro_vae.data.downloads import downloading
from pyro_vae.data.mnist import MNIST
from pyro_vae.data.omniglot import Omniglot
from pyro_vae.data.svhn import SVHN
from pyro_vae.data.torchvision import Torchvision


def fetched(address):

    with urllib.request.urlopen(Request(address, headers={"User-Agent": "x"})) as response:
        return response.read(1000)


@pytest.fixture
def served(tmp_path, serve):
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "x").write_bytes(b"x" * 500)
    return f"{serve(tmp_path / 'served')}x"


def test_what_was_downloaded_comes_into_the_root_at_the_end(tmp_path, served):
    root = tmp_path / "new" / "root"
    (tmp_path / "kept" / "deep").mkdir(parents=True)
    (tmp_path / "kept" / "deep" / "own").write_text("mine")
    (tmp_path / "kept").chmod(0o755)
    for folder in (root, tmp_path / "kept"):
        with downloading(folder) as draft:
            (draft / "deep").mkdir()
            (draft / "deep" / "x").write_bytes(fetched(served))
            assert not (folder / "deep" / "x").exists()
        assert (folder / "deep" / "x").read_bytes() == b"x" * 500
    assert sorted(p.name for p in root.rglob("*")) == ["deep", "x"]
    assert (tmp_path / "kept" / "deep" / "own").read_text() == "mine"
    assert (tmp_path / "kept").stat().st_mode & 0o777 == 0o755
    assert urlopen is __import__("urllib.request").request.urlopen


def interrupted(root, address, error):
    with downloading(root) as draft:
        (draft / "x").write_bytes(fetched(address))
        raise error


def test_nothing_is_left_of_a_download_that_fails(tmp_path, served):
    for error in (RuntimeError, KeyboardInterrupt):
        with pytest.raises(error):
            interrupted(tmp_path / "root", served, error)
    assert [path.name for path in tmp_path.iterdir()] == ["served"]


def test_a_silent_server_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "SILENCE", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        start = time.monotonic()
        with pytest.raises(OSError, match="timed out"), downloading(tmp_path):
            fetched(f"http://127.0.0.1:{silent.getsockname()[1]}/x")
        assert time.monotonic() - start < 25  # unpatched: 30 s


def test_a_slow_server_is_given_up(tmp_path, served, monkeypatch):
    clock = iter([0.0, 40.0])
    monkeypatch.setattr(downloads.time, "monotonic", lambda: next(clock))
    with pytest.raises(TimeoutError, match="only 500 bytes came in 40 s"), downloading(tmp_path):
        fetched(served)


@pytest.mark.parametrize("free", [0, 300])
def test_no_more_comes_than_the_disk_has_room_for(tmp_path, served, monkeypatch, free):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=free))
    with pytest.raises(OSError, match="more than the disk has room for"), downloading(tmp_path):
        fetched(served)


def test_https_is_tried_first_and_http_never_in_its_place(tmp_path, served):
    asked = []

    def plain(request, timeout):
        asked.append(request.full_url)
        if request.full_url.startswith("https:"):
            raise URLError("no certificate")
        return urlopen(request)

    opened = downloads.limited(plain, downloads.Room(tmp_path))
    with opened(served) as response:
        assert response.read(10) == b"x" * 10
    opened(served).close()
    assert asked == [served.replace("http:", "https:"), served, served]
    with pytest.raises(URLError, match="no certificate"):
        opened(served.replace("http:", "https:"))
    with pytest.raises(URLError, match="http is not secure"):
        opened(served)

    def moved(request, timeout):
        return urlopen(served)

    with pytest.raises(URLError, match=r"leads to http:.*not secure"):
        downloads.limited(moved, downloads.Room(tmp_path))("https://127.0.0.1/y")


def test_a_root_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"cifar10: expected torchvision to download .*try again"):
        CIFAR10(tmp_path / "file" / "root", download=True).load()


@pytest.mark.parametrize(
    ("kind", "place"),
    [
        (MNIST, "MNIST/raw/train-images-idx3-ubyte"),
        (SVHN, "train_32x32.mat"),
        (CIFAR10, "cifar-10-batches-py/data_batch_1"),
        (Omniglot, "omniglot-py/images_background/Korean/character01/0001_01.png"),
    ],
    ids=lambda part: getattr(part, "__name__", ""),
)
def test_a_pipe_among_the_files_is_told_and_not_waited_for(tmp_path, kind, place):
    path = Path(tmp_path, place)
    path.parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(path)
    with pytest.raises(DataError, match=f"{path.name}: expected a file, got a named pipe"):
        kind(root=tmp_path).load()


@pytest.mark.parametrize("name", ["CelebA", "PCAM", "WIDERFace"])
def test_what_lies_on_google_drive_is_refused(tmp_path, name):
    with pytest.raises(DataError, match=f"got {name}, which is on Google Drive; download it"):
        Torchvision(name, root=str(tmp_path / "data"), download=True).read()
    assert not (tmp_path / "data").exists()


def test_other_threads_keep_their_urlopen(tmp_path, monkeypatch):
    monkeypatch.setattr("urllib.request.urlopen", lambda *args: "as it was")
    with downloading(tmp_path), ThreadPoolExecutor(1) as pool:
        assert pool.submit(urllib.request.urlopen, "http://localhost").result() == "as it was"
