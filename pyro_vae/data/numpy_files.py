"""Arrays from ``.npy`` and ``.npz`` files, never unpickled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from pyro_vae.core.errors import DataError
from pyro_vae.core.messages import nearest
from pyro_vae.data.chunks import Chunks, key_of, rows_at_once
from pyro_vae.data.memory import BYTES, check_room

__all__ = ["check_claim", "chunks_of", "read_arrays"]

Numbers = np.ndarray[Any, Any]
DEFAULT_KEY = "x"
FEWER = "bring fewer rows or columns"
STREAM = f"stream them from disk (data.stream: FOLDER), or {FEWER}"
OF_NPZ = f"save the array with numpy.save and stream it (data.stream: FOLDER), or {FEWER}"
MAGIC = (b"\x93NUMPY", b"PK")  # how .npy and .npz begin


def read_arrays(path: Path, key: str | None = None, *others: str | None) -> tuple[Any, ...]:
    """The array of data in a file, and others, such as that of labels.

    Args:
        path: Of a ``.npy`` file, which holds one array, or a ``.npz`` file, which names several.
        key: Name of the data in a ``.npz``; by default the only array there besides the others,
            or ``x``.
        others: Names of other arrays in a ``.npz``; None for one that is not wanted.

    Raises:
        DataError: if the file is missing, damaged, pickled, or has no such array.
    """
    with _reading(path), path.open("rb") as file:
        head = file.read(6)
        _check_magic(path, head)
        file.seek(0)
        if head.startswith(MAGIC[0]):
            check_claim(str(path), file, STREAM)
        file.seek(0)
        return _chosen(path, np.load(file, allow_pickle=False), key, others)


def chunks_of(path: Path, key: str | None = None, *others: str | None) -> Chunks:
    """The array of a ``.npy`` file, however large, which is read as it is needed.

    Args:
        path: Of the file.
        key: As in :func:`read_arrays`; such a file names no array.
        others: Likewise.

    Raises:
        DataError: if the file is missing, damaged, pickled, or a ``.npz`` file.
    """
    with _reading(path):
        with path.open("rb") as file:
            head = file.read(6)
        _check_magic(path, head)
        if not head.startswith(MAGIC[0]):
            raise DataError(
                f"{path}: expected a .npy file, which can be mapped from disk, got a .npz file; "
                "save its array with numpy.save, or read it into memory (data.stream: null)"
            )
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        _chosen(path, array, key, others)
    count = rows_at_once(array.shape[1:]) if array.size else 1

    def read() -> Iterator[Numbers]:
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
        for start in range(0, len(mapped), count):
            yield np.array(mapped[start : start + count])

    exact = array.dtype == np.float32 or array.dtype.itemsize <= 2
    return Chunks(array.shape, key_of(path), read, exact)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Say what is wrong with a file that cannot be read."""
    if not path.is_file():
        what = "a folder" if path.is_dir() else "no such file"
        raise DataError(f"{path}: expected a .npy or .npz file, got {what}")
    try:
        yield
    except DataError:
        raise
    except MemoryError as error:
        raise DataError(
            f"{path}: expected an array that fits into memory: {error}; {STREAM}"
        ) from None
    except Exception as error:  # damage may surface as any error of numpy, zipfile or zlib
        cause = " ".join(str(error).split()) or type(error).__name__
        raise DataError(
            f"{path}: expected a .npy or .npz file of numbers, saved without pickling, got one "
            f"that cannot be read: {cause}; save it again with numpy.save or numpy.savez"
        ) from None


def check_claim(name: str, array: IO[bytes], remedy: str = FEWER) -> None:
    """Refuse an array whose header says that it is larger than memory, before it is read.

    Args:
        name: What to call it in a message.
        array: A stream of a ``.npy`` file, at its start.
        remedy: What to do instead.

    Raises:
        DataError: with its shape.
        ValueError: if the stream is of something else.
    """
    version = np.lib.format.read_magic(array)
    read = {(1, 0): np.lib.format.read_array_header_1_0}.get(
        version, np.lib.format.read_array_header_2_0
    )
    shape, _, dtype = read(array)
    wide = (dtype.itemsize // BYTES,) if dtype.itemsize > 2 * BYTES else ()  # text, or a record
    check_room((*shape, *wide), name, remedy)


def _check_magic(path: Path, head: bytes) -> None:
    if not head.startswith(MAGIC):
        raise DataError(
            f"{path}: expected a .npy or .npz file, got one that begins with "
            f"{head.hex() or 'nothing'}; save the array with numpy.save or numpy.savez"
        )


def _chosen(
    path: Path, content: Any, key: str | None, others: Sequence[str | None]
) -> tuple[Any, ...]:
    if isinstance(content, np.ndarray):
        if any(named := [name for name in (key, *others) if name is not None]):
            raise DataError(
                f"{path}: expected a .npz file with an array {named[0]!r}, got a .npy file, "
                "whose one array has no name; leave out key, labels and condition"
            )
        return content, *(None for _ in others)
    x = _member(path, content, key or _default_key(path, content, others))
    found = (None if name is None else _member(path, content, name) for name in others)
    return x, *found


def _default_key(path: Path, content: Mapping[str, Numbers], others: Sequence[str | None]) -> str:
    left = [name for name in content if name not in others]
    if len(left) == 1:
        return left[0]
    if DEFAULT_KEY in left:
        return DEFAULT_KEY
    raise DataError(
        f"{path}: expected one array, or one called {DEFAULT_KEY!r}, got "
        f"{', '.join(left) or 'none'}; name the one that is meant (data.key)"
    )


def _member(path: Path, content: Any, name: str) -> Numbers:
    if name not in content:
        raise DataError(
            f"{path}: expected an array {name!r}, got {', '.join(content) or 'none'}"
            f"{nearest(name, content)}"
        )
    with content.zip.open(name if name in content.zip.namelist() else f"{name}.npy") as array:
        check_claim(f"{path}: {name}", array, OF_NPZ)
    found: Numbers = content[name]
    return found
