"""IDX files, the format of MNIST: found, unpacked into a cache, and checked.

torchvision reads them unpacked from ``<root>/<folder>/raw`` and nowhere else. A root of one's own
may hold only the packed originals, and may not be writable.
"""

from __future__ import annotations

import gzip
import hashlib
import struct
import uuid
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from math import prod
from pathlib import Path

from pyro_vae.core.errors import DataError
from pyro_vae.data.locations import cache_folder

__all__ = ["Found", "find_files", "idx_problem", "readable_root"]

Found = Path | zipfile.Path
"""A file, or a member of a .zip."""

BYTES = 0x08  # the format's code for unsigned bytes
HEADER = 16  # bytes, at most: the magic number and three sizes


def find_files(
    root: Path, folder: str, names: Sequence[str], archive: str = ""
) -> dict[str, Found | None]:
    """Where each file lies under a root: unpacked, else packed (``.gz``), else None.

    Args:
        root: What the user named.
        folder: Of the data set within it, such as ``MNIST``.
        names: Of the files, unpacked.
        archive: Name of a .zip beside them, whose folder ``gzip`` may hold the packed files.

    Raises:
        DataError: if the .zip is needed and damaged.
    """
    raw = root / folder / "raw"
    found: dict[str, Found | None] = {
        name: next((path for path in (raw / name, raw / f"{name}.gz") if path.is_file()), None)
        for name in names
    }
    if archive and None in found.values() and (raw / archive).is_file():
        members = {name: _member(raw / archive, f"gzip/{name}.gz") for name in names}
        found = {name: path or members[name] for name, path in found.items()}
    return found


def readable_root(root: Path, folder: str, found: Mapping[str, Found]) -> Path:
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
        _refuse(path, _problem_of_file(root / folder / "raw" / name, name))
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


def _unpacked(folder: str, found: Mapping[str, Found]) -> Path:
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


def _unpack(path: Found, content: bytes, name: str) -> bytes:
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


def _member(archive: Path, name: str) -> Found | None:
    try:
        member = zipfile.Path(archive, name)
    except (zipfile.BadZipFile, OSError) as error:
        raise DataError(
            f"{archive}: expected a whole .zip file, got a damaged one: {error}; "
            "put a fresh copy in its place"
        ) from None
    return member if member.is_file() else None


def _contents(path: Found) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        _refuse(path, str(error))
        raise


def _problem_of_file(path: Path, name: str) -> str:
    try:
        with path.open("rb") as file:
            return idx_problem(file.read(HEADER), path.stat().st_size, _dimensions(name))
    except OSError as error:
        return str(error.strerror)


def _dimensions(name: str) -> int:
    """What the format's file names say: ``idx3`` has three dimensions."""
    return int(name.partition("-idx")[2][0])


def _refuse(path: Found, problem: str) -> None:
    if problem:
        raise DataError(
            f"{path}: expected a whole IDX file, got a damaged one: {problem}; "
            "put a fresh copy in its place"
        )
