"""Opens regular files alone, writes whole ones alone, and locks folders."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

with suppress(ImportError):  # Windows has none
    import fcntl

__all__ = ["is_locked", "locked", "open_file", "read_file", "write_file"]


def open_file(path: Path) -> BinaryIO:
    """A regular file, open for reading its bytes.

    Raises:
        OSError: if there is none, or it is a folder, a named pipe, a device or a socket.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except ValueError as error:  # a name with a null character
        raise OSError(errno.EINVAL, str(error), str(path)) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        what = "it is a folder" if path.is_dir() else "it is a named pipe, a device or a socket"
        raise OSError(errno.EINVAL, f"{what}, not a file; copy what it holds to a file", str(path))
    return os.fdopen(descriptor, "rb")


def read_file(path: Path, most: int = -1) -> bytes:
    """A regular file's bytes, or the first of them; raises as :func:`open_file` does."""
    with open_file(path) as file:
        return file.read(most)


def write_file(path: Path, content: bytes) -> None:
    """Write a file completely or not at all: beside its place first, then renamed.

    Raises:
        OSError: if it cannot be written; a former file of this name is then as it was.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


@contextmanager
def locked(folder: Path) -> Iterator[bool]:
    """Lock a folder for this process within the block; False if another one has locked it.

    The system frees the lock when the process ends, however it ends. There is none on Windows, nor
    on file systems that lock no folders: there, it is always True.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:  # no folder, or no folder that Windows opens
        yield True
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        free = True
    except OSError as error:
        free = error.errno not in (errno.EWOULDBLOCK, errno.EACCES)
    except NameError:
        free = True
    try:
        yield free
    finally:
        os.close(descriptor)


def is_locked(folder: Path) -> bool:
    """Whether another process has locked a folder."""
    with locked(folder) as free:
        return not free
