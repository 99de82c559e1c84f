"""Files below a folder, or within a .zip, by their names; a .zip is read where it lies."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from pyro_vae.core.errors import DataError

__all__ = ["Tree", "open_tree"]

DAMAGE = (OSError, EOFError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error)


class Tree(Mapping[str, bytes]):
    """Names below a place, in order, and each file's bytes, read when they are asked for.

    Args:
        place: The folder or the .zip.
        members: Each file's name below the place, and where it lies in the folder or the .zip.
        archive: The open .zip, if it is one.
    """

    def __init__(
        self, place: Path, members: dict[str, str], archive: zipfile.ZipFile | None = None
    ) -> None:
        self.place = place
        self._members = dict(sorted(members.items()))
        self._archive = archive

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def __getitem__(self, name: str) -> bytes:
        member = self._members[name]
        try:
            if self._archive is None:
                return (self.place / member).read_bytes()
            return self._archive.read(member)
        except DAMAGE as error:
            raise DataError(
                f"{self.called(name)}: expected a whole file, got one that cannot be read: "
                f"{getattr(error, 'strerror', None) or error}; put a fresh copy in its place"
            ) from None

    def called(self, name: str) -> str:
        """A file's name for a message."""
        return str(self.place / self._members[name])


@contextmanager
def open_tree(folder: Path) -> Iterator[Tree | None]:
    """The files of a folder, or else of the .zip that packs it and lies beside it, or None.

    Hidden files, and those that a Mac adds, are left out.

    Args:
        folder: The unpacked folder; the .zip has its name, and may repeat it in its members'.

    Raises:
        DataError: if the .zip is damaged.
    """
    packed = folder.with_name(f"{folder.name}.zip")
    if folder.is_dir():
        yield Tree(folder, {name: name for name in _walk(folder) if _visible(name)})
    elif packed.is_file():
        with _opened(packed) as archive:
            members = {
                info.filename.removeprefix(f"{folder.name}/"): info.filename
                for info in archive.infolist()
                if not info.is_dir() and _visible(info.filename)
            }
            yield Tree(packed, members, archive)
    else:
        yield None


def _walk(folder: Path) -> Iterator[str]:
    """Names of the files below a folder, through links too, but never round in a circle."""
    for here, folders, files in os.walk(folder, followlinks=True):
        real = Path(here).resolve()
        folders[:] = [f for f in folders if not real.is_relative_to((real / f).resolve())]
        for name in files:
            yield Path(here, name).relative_to(folder).as_posix()


def _visible(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return not any(part.startswith(".") or part == "__MACOSX" for part in parts)


def _opened(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except DAMAGE as error:
        raise DataError(
            f"{path}: expected a whole .zip file, got a damaged one: {error}; put a fresh copy "
            "in its place"
        ) from None
