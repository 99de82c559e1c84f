"""CIFAR-10."""

from __future__ import annotations

import gzip
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyro_vae.core.errors import DataError
from pyro_vae.data.downloads import download_file, missing_files
from pyro_vae.data.locations import FilePath, data_folder
from pyro_vae.data.memory import check_room
from pyro_vae.data.prepare import Raw
from pyro_vae.data.source import Source
from pyro_vae.data.splits import Share

__all__ = ["CIFAR10"]

FOLDER, ARCHIVE, PICKLED = "cifar-10-batches-bin", "cifar-10-binary.tar.gz", "cifar-10-batches-py"
URL, MD5 = f"https://www.cs.toronto.edu/~kriz/{ARCHIVE}", "c32a1d4ab5d03f1284b67883e8d87530"
TRAIN = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
TEST = ("test_batch.bin",)
SHAPE, CLASSES = (3, 32, 32), 10
CHUNK = 2**20
RECORD = 1 + 3 * 32 * 32  # a label, then the red, green and blue bytes


class CIFAR10(Source):
    """Photographs of ten kinds of things: 50,000 to train and validate on, 10,000 to test.

    Read from the *binary* version, ``cifar-10-batches-bin`` or the ``cifar-10-binary.tar.gz``
    that packs it. The Python version, which torchvision reads, is pickled, and so is left alone.

    Shapes:
        each datum is ``(3, 32, 32)``, with intensities in [0, 1].

    Args:
        root: Folder that holds the data; by default ``PYRO_VAE_DATA``, else ``data`` in the
            current folder.
        download: Let torchvision download the archive into ``root`` where it is not there.
        validation: Fraction of the training data in [0, 1), or a whole number of them, to
            validate on.

    References:
        | Learning multiple layers of features from tiny images (Krizhevsky, 2009)
        | https://www.cs.toronto.edu/~kriz/cifar.html

    Example:
        >>> CIFAR10(validation=0.2).declaration["download"]
        False
    """

    def __init__(
        self,
        root: FilePath | None = None,
        download: bool = False,
        validation: Share = 5_000,
        **preprocessing: Any,
    ) -> None:
        super().__init__(validation=validation, **preprocessing)
        self.root = root
        self.download = download

    def read(self) -> Raw:
        """Intensities and labels of the five training files and of the test file.

        Raises:
            DataError: if a file is missing or damaged, or cannot be downloaded.
        """
        root = data_folder(self.root)
        if self.download and not ((root / FOLDER).is_dir() or (root / ARCHIVE).is_file()):
            download_file(self.kind, root, ARCHIVE, URL, MD5)
        found = dict(_unpacked(root) if (root / FOLDER).is_dir() else _packed(root / ARCHIVE))
        missing = [name for name in TRAIN + TEST if name not in found]
        if missing:
            pickled = f", only the pickled {PICKLED}" if (root / PICKLED).exists() else ""
            where = root / FOLDER
            raise missing_files(self.kind, missing, where, f" (nor in {ARCHIVE}){pickled}")
        x, labels = _images([found[name] for name in TRAIN])
        return Raw(x, labels, test=_images([found[name] for name in TEST]))


def _images(files: list[np.ndarray[Any, Any]]) -> tuple[Tensor, Tensor]:
    """Intensities (N, 3, 32, 32) and labels (N,) of records."""
    records = torch.from_numpy(np.concatenate(files))
    check_room((len(records), *SHAPE), "cifar10", "free some memory")
    return records[:, 1:].reshape(-1, *SHAPE) / 255, records[:, 0].long()


def _unpacked(root: Path) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    for name in TRAIN + TEST:
        path = root / FOLDER / name
        if path.is_file():
            try:
                content = path.read_bytes()
            except OSError as error:
                raise DataError(f"{path}: cannot be read: {error.strerror}") from None
            yield name, _records(content, str(path))


def _packed(path: Path) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    """The archive's files, unpacked in memory."""
    if not path.is_file():
        return
    try:
        with gzip.open(path) as stream, tarfile.open(fileobj=stream, mode="r:") as archive:
            for member in archive:
                name = Path(member.name).name
                if name in TRAIN + TEST and member.isfile():
                    file = archive.extractfile(member)
                    assert file is not None
                    yield name, _records(file.read(), f"{path}: {member.name}")
            while stream.read(CHUNK):  # its checksum comes last
                pass
    except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
        raise DataError(
            f"{path}: expected a whole archive, got a damaged one: {error}; put a fresh copy in "
            "its place"
        ) from None


def _records(content: bytes, name: str) -> np.ndarray[Any, Any]:
    """A file's records, ``(N, 3073)``."""
    if not content or len(content) % RECORD:
        problem = f"got {len(content)} bytes"
    elif max(labels := content[::RECORD]) >= CLASSES:
        problem = f"got the label {max(labels)} in record {labels.index(max(labels))}"
    else:
        return np.frombuffer(bytearray(content), np.uint8).reshape(-1, RECORD)
    raise DataError(
        f"{name}: expected records of {RECORD} bytes, each a label from 0 to 9 and its image, "
        f"{problem}; put a fresh copy in its place"
    )
