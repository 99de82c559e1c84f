"""Files that claim more than there is room for, and files that never end."""

import gzip
import os
import tarfile
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse

from pyro_vae.core.errors import DataError, DeclarationError
from pyro_vae.core.files import open_file
from pyro_vae.data import memory, unpacked
from pyro_vae.data.locations import expanded
from pyro_vae.data.numpy_files import read_arrays
from pyro_vae.data.sparse_files import read_counts
from pyro_vae.data.unpacked import unpack
from pyro_vae.experiment.yaml_file import parse_value, read_yaml

ROWS = 1_000_000


@pytest.fixture
def little_memory(monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: ROWS)


@pytest.fixture
def little_disk(monkeypatch):
    def usage(folder):
        return os.terminal_size((0, 0)) if folder is None else type("Usage", (), {"free": ROWS})

    monkeypatch.setattr(unpacked.shutil, "disk_usage", usage)


def npz(path):
    np.savez_compressed(path, x=np.zeros(ROWS, np.uint8))


def npy(path):
    np.save(path, np.zeros(ROWS, np.uint8))


def text(path):
    np.save(path, np.array(["a" * ROWS]))


def header_only(path):
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<f4", "fortran_order": False, "shape": (10**9, 10**6)}
        )


@pytest.mark.parametrize(
    ("write", "name"),
    [(npz, "x.npz"), (npy, "x.npy"), (text, "x.npy"), (header_only, "x.npy")],
)
def test_an_array_is_measured_before_it_is_unpacked(
    tmp_path, little_memory, monkeypatch, write, name
):
    write(tmp_path / name)
    monkeypatch.setattr(np.lib.format, "read_array", lambda *_, **__: pytest.fail("was read"))
    with pytest.raises(DataError, match="expected an array that fits into"):
        read_arrays(tmp_path / name)


def test_a_sparse_matrix_is_measured_before_it_is_unpacked(tmp_path, little_memory):
    scipy.sparse.save_npz(tmp_path / "x.npz", scipy.sparse.csr_matrix((ROWS, 1), dtype=np.int8))
    with pytest.raises(DataError, match=r"indptr.npy: expected an array that fits into"):
        read_counts(tmp_path / "x.npz")


def gz(path):
    path.write_bytes(gzip.compress(bytes(ROWS)))


def zipped(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("x", bytes(ROWS))


def tar(path):
    with tarfile.open(path, "w:gz") as packed:
        member = tarfile.TarInfo("x")
        member.size = ROWS
        packed.addfile(member, BytesIO(bytes(ROWS)))


ARCHIVES = [(gz, "x.gz"), (zipped, "x.zip"), (tar, "x.tar.gz"), (tar, "x.tgz")]


@pytest.mark.parametrize(("write", "name"), ARCHIVES)
def test_an_archive_takes_no_more_than_the_disk_has(tmp_path, little_disk, write, name):
    write(tmp_path / name)
    (tmp_path / "out").mkdir()
    with pytest.raises(OSError, match="takes more than the disk has room for"):
        unpack(tmp_path / name, tmp_path / "out")


@pytest.mark.parametrize(("write", "name"), ARCHIVES)
def test_an_archive_that_fits_is_unpacked(tmp_path, write, name):
    write(tmp_path / name)
    (tmp_path / "out").mkdir()
    unpack(tmp_path / name, tmp_path / "out")
    assert (tmp_path / "out" / "x").read_bytes() == bytes(ROWS)


def test_what_never_ends_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")
    for path in (tmp_path / "pipe.yaml", Path("/dev/zero")):
        with pytest.raises(OSError, match="named pipe, a device or a socket"):
            open_file(path)
        with pytest.raises(DeclarationError, match="named pipe"):
            read_yaml(path)
    with pytest.raises(OSError, match="it is a folder"):
        open_file(tmp_path)
    with pytest.raises(OSError, match="null"):
        open_file(Path("a\0b"))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("a: &a [1, 1]\nb: [*a, *a]\n", "line 2, column 5: .*alias .*write out"),
        ("a: " + "[" * 5000, "at most 20 levels"),
        ("a: 2020-13-45\n", "plain values"),
        ("a: !!int x\n", "plain values"),
        ("a: " + "9" * 5000, "plain values"),
        ("a: " + "9" * 2_000_000, "at most 1,000,000 characters"),
    ],
)
def test_yaml_is_bounded(tmp_path, content, problem):
    (tmp_path / "a.yaml").write_text(content)
    with pytest.raises(DeclarationError, match=problem):
        read_yaml(tmp_path / "a.yaml")
    assert parse_value(content[3:]) == content[3:]


@pytest.mark.parametrize("path", ["", "a\0b", "~nosuchuser/x"])
def test_a_path_is_one(path):
    with pytest.raises(DataError, match=r"[Ee]xpected a (path|home folder)"):
        expanded(path)
