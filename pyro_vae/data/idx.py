"""IDX files, the format of MNIST: found, unpacked into a cache, and checked.

torchvision reads them unpacked from ``<root>/<folder>/raw`` and nowhere else. A root of one's own
may hold only the packed originals, and may not be writable.
"""

from __future__ import annotations

import gzip
import hashlib
import struct
import uuid
import zlib
from collections.abc import Sequence
from contextlib import suppress
from math import prod
from pathlib import Path

from pyro_vae.core.errors import DataError
from pyro_vae.data.locations import cache_folder

__all__ = ["find_files", "idx_problem", "readable_root"]

BYTES = 0x08  # the format's code for unsigned bytes
HEADER = 16  # bytes, at most: the magic number and three sizes


def find_files(root: Path, folder: str, names: Sequence[str]) -> dict[str, Path | None]:
    """Where each file lies under a root: unpacked, else packed (``.gz``), else None."""
    raw = root / folder / "raw"
    return {
        name: next((path for path in (raw / name, raw / f"{name}.gz") if path.is_file()), None)
        for name in names
    }


def readable_root(root: Path, folder: str, found: dict[str, Path]) -> Path:
    """A root that torchvision can read: this one, or a cache of what is packed in it.

    Args:
        root: What the user named.
        folder: Of the data set within it, such as ``MNIST``.
        found: Each file's name, unpacked, and where it lies.

    Raises:
        DataError: naming the file that is damaged, or the cache that cannot be written.
    """
    processed = root / folder / "processed"  # torchvision prefers pickled tensors, if any are here
    if processed.exists() or any(path.suffix == ".gz" for path in found.values()):
        return _unpacked(folder, found)
    for name, path in found.items():
        _refuse(path, _problem_of_file(path, name))
    return root


def idx_problem(header: bytes, size: int, dimensions: int) -> str:
    """What is wrong with an IDX file of bytes, or an empty string.

    Args:
        header: Its first bytes, up to 16.
        size: How many bytes it has.
        dimensions: How many it should have: 3 for images, 1 for labels.

    Example:
        >>> idx_problem(bytes([0, 0, 8, 1, 0, 0, 0, 5]), size=13, dimensions=1)
        ''
        >>> idx_problem(bytes([0, 0, 8, 1, 0, 0, 0, 5]), size=11, dimensions=1)
        'its header promises 13 bytes, and it has 11'
    """
    length = 4 + 4 * dimensions
    magic = bytes([0, 0, BYTES, dimensions])
    if header[:4] != magic or len(header) < length:
        return (
            f"it begins with {header[:4].hex() or 'nothing'}, not with the {magic.hex()} of an "
            f"IDX file of bytes in {dimensions} dimension{'s' if dimensions > 1 else ''}"
        )
    sizes = struct.unpack(f">{dimensions}I", header[4:length])
    promised = length + prod(sizes)
    if promised != size:
        return f"its header promises {promised} bytes, and it has {size}"
    return "" if all(sizes) else f"its header promises data of shape {sizes}"


def _unpacked(folder: str, found: dict[str, Path]) -> Path:
    """A root in the cache that holds the files unpacked, named by what they contain."""
    packed = {name: _contents(path) for name, path in found.items()}
    key = hashlib.sha256()
    for content in packed.values():
        key.update(hashlib.sha256(content).digest())
    root = cache_folder() / f"{folder}-{key.hexdigest()[:16]}"
    raw = root / folder / "raw"
    for name, path in found.items():
        if not (raw / name).is_file() or _problem_of_file(raw / name, name):
            _write(raw / name, _unpack(path, packed[name], name))
    return root


def _unpack(path: Path, content: bytes, name: str) -> bytes:
    """A file's bytes, unpacked and checked."""
    if path.suffix == ".gz":
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error, struct.error) as error:
            _refuse(path, str(error))
    _refuse(path, idx_problem(content[:HEADER], len(content), _dimensions(name)))
    return content


def _write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, also beside others that write the same one."""
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_bytes(content)
        draft.replace(path)
    except OSError as error:
        raise DataError(
            f"{path}: cannot keep an unpacked file here: {error.strerror}; name a folder that "
            "can be written in PYRO_VAE_CACHE"
        ) from None
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def _contents(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None


def _problem_of_file(path: Path, name: str) -> str:
    try:
        with path.open("rb") as file:
            return idx_problem(file.read(HEADER), path.stat().st_size, _dimensions(name))
    except OSError as error:
        return str(error.strerror)


def _dimensions(name: str) -> int:
    """What the format's file names say: ``idx3`` has three dimensions."""
    return int(name.partition("-idx")[2][0])


def _refuse(path: Path, problem: str) -> None:
    if problem:
        raise DataError(
            f"{path}: expected a whole IDX file, got a damaged one: {problem}; "
            "put a fresh copy in its place"
        )
