"""Archives unpacked beside links to the other files, for readers that want them so."""

from __future__ import annotations

import gzip
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from pyro_vae.core.errors import DataError

__all__ = ["unpack", "unpacked"]

Unpack = Callable[[Path, Path], None]
FORMATS = (".tar.gz", ".tgz", ".zip", ".gz")


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a ``.gz`` of one file, a ``.zip`` or a ``.tar.gz`` into a folder."""
    if archive.suffix == ".gz" and not archive.name.endswith(".tar.gz"):
        with gzip.open(archive) as packed, (folder / archive.stem).open("wb") as file:
            shutil.copyfileobj(packed, file)
    elif archive.suffix == ".zip":
        shutil.unpack_archive(archive, folder)
    else:
        shutil.unpack_archive(archive, folder, filter="data")


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
        DataError: naming the archive that is damaged, or when there is no room to unpack it.
    """
    place = root / folder
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


def _unpacked_name(archive: Path) -> str:
    ending = next(e for e in FORMATS if archive.name.endswith(e))
    return archive.name.removesuffix(ending)


def _link(path: Path, target: Path) -> None:
    try:
        os.symlink(path.resolve(), target)
    except OSError:  # a system that keeps links to administrators
        (shutil.copytree if path.is_dir() else shutil.copy)(path, target)
