"""Archives unpacked beside links to the other files, for readers that want them so."""

from __future__ import annotations

import errno
import gzip
import os
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

from pyro_vae.core.errors import DataError
from pyro_vae.core.files import open_file

__all__ = ["Room", "unpack", "unpacked"]

Unpack = Callable[[Path, Path], None]
FORMATS = (".tar.gz", ".tgz", ".zip", ".gz")
UNPACKED = {"cifar-10-python": "cifar-10-batches-py"}  # archives of files of another name


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a ``.gz`` of one file, a ``.zip`` or a ``.tar.gz`` into a folder.

    Raises:
        OSError: if it says, or turns out, to hold more than the disk has room for.
    """
    room = Room(folder)
    with open_file(archive) as file:
        if archive.suffix == ".zip":
            with zipfile.ZipFile(file) as packed:  # which unpacks no more than it says
                room.take(sum(member.file_size for member in packed.infolist()))
        elif not archive.name.endswith((".tar.gz", ".tgz")):
            with gzip.open(file) as content:
                room.copy(content, folder / archive.stem)
            return
    if archive.suffix == ".zip":
        shutil.unpack_archive(archive, folder)
        return
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter=room.measured)


class Room:
    """What archives and downloads may take of a folder's disk: nine tenths of what is free.

    Args:
        folder: Where they are unpacked, or downloaded to.
    """

    def __init__(self, folder: Path) -> None:
        self.left = shutil.disk_usage(folder).free * 9 // 10

    def take(self, size: int) -> None:
        """Take a file's bytes.

        Raises:
            OSError: if there are not as many left.
        """
        self.left -= size
        if self.left < 0:
            raise OSError(errno.ENOSPC, "it takes more than the disk has room for")

    def copy(self, content: IO[bytes] | gzip.GzipFile, path: Path) -> None:
        """Copy a stream to a file, as long as there is room; raises as :meth:`take` does."""
        with path.open("wb") as file:
            while chunk := content.read(2**20):
                self.take(len(chunk))
                file.write(chunk)

    def measured(self, member: tarfile.TarInfo, path: str) -> tarfile.TarInfo | None:
        """A filter of ``tarfile`` that takes a member's bytes; raises as :meth:`take` does."""
        self.take(member.size)
        return tarfile.data_filter(member, path)


@contextmanager
def unpacked(
    root: Path, folder: str, archives: Sequence[str], unpack: Unpack = unpack
) -> Iterator[Path]:
    """A root whose folder holds the archives unpacked; the given one where that is so already.

    Otherwise it is a temporary one, gone after use: the archives are unpacked there, and all else
    in the folder is linked. Nothing is written to the given root, which may be read-only.

    Args:
        root: What the user named.
        folder: Below it, where the files lie.
        archives: Patterns of archives in that folder, such as ``*.gz``.
        unpack: Unpacks an archive into a folder.

    Raises:
        DataError: naming the archive that is damaged, or when there is no room to unpack it; or
            naming a pipe or a device among the files, which a reader would wait for.
    """
    place = root / folder
    _refuse_pipes(place, 4 if folder else 2)
    packed = [
        path
        for pattern in archives
        for path in sorted(place.glob(pattern))
        if not (place / _unpacked_name(path)).exists()
    ]
    if not packed and not (place.parent / "processed").is_dir():  # which torchvision prefers
        yield root
        return
    with TemporaryDirectory(prefix="pyro_vae-") as draft:
        target = Path(draft, folder)
        target.mkdir(parents=True, exist_ok=True)
        for path in place.iterdir():
            _link(path, target / path.name)
        for path in packed:
            try:
                unpack(path, target)
            except Exception as error:  # of disks, gzip, zipfile, zlib and tarfile
                cause = getattr(error, "strerror", None) or error
                raise DataError(
                    f"{path}: expected a whole archive, and room to unpack it in {draft}, got: "
                    f"{cause}; put a fresh copy in its place, or name another temporary folder "
                    "(TMPDIR)"
                ) from None
        yield Path(draft)


def _refuse_pipes(folder: Path, levels: int) -> None:
    """Refuse what is neither a file nor a folder, in a folder and some levels below it."""
    with suppress(OSError), os.scandir(folder) as entries:  # no folder, or a link to nowhere
        for entry in entries:
            if entry.is_dir() and levels:
                _refuse_pipes(Path(entry), levels - 1)
            mode = 0 if entry.is_dir() or entry.is_file() else Path(entry).stat().st_mode
            if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
                raise DataError(
                    f"{entry.path}: expected a file, got a named pipe or a device; put what it "
                    "holds there as a file"
                )


def _unpacked_name(archive: Path) -> str:
    ending = next(e for e in FORMATS if archive.name.endswith(e))
    name = archive.name.removesuffix(ending)
    return UNPACKED.get(name, name)


def _link(path: Path, target: Path) -> None:
    try:
        os.symlink(path.resolve(), target)
    except OSError:  # a system that keeps links to administrators
        (shutil.copytree if path.is_dir() else shutil.copy)(path, target)
