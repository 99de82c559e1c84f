"""Opens input files: regular ones only, since a pipe or a device may never end."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

__all__ = ["open_file", "read_file"]


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
