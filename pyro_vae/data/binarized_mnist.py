"""MNIST made binary once and for all, by Larochelle and Murray."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pyro_vae.core.bounds import Seed
from pyro_vae.core.errors import DataError
from pyro_vae.data.binarization import Binarization
from pyro_vae.data.locations import FilePath, data_folder, missing_files
from pyro_vae.data.numpy_files import read_arrays
from pyro_vae.data.prepare import Raw
from pyro_vae.data.source import Source

__all__ = ["BinarizedMNIST"]

FOLDER, PACKED = "binarized_mnist_larochelle", "binarized_mnist_packed.npz"
SPLITS = ("train", "valid", "test")
SIDE = 28
Pixels = np.ndarray[Any, np.dtype[np.float32]]


class BinarizedMNIST(Source):
    """MNIST in one binary draw: 50,000 to train, 10,000 to validate, 10,000 to test on.

    The draw that static MNIST means in the literature, in its official splits, without labels.
    Read from ``binarized_mnist_larochelle/binarized_mnist_{train,valid,test}.amat``, the original
    text files of zeros and ones, or from ``binarized_mnist_packed.npz`` there: arrays ``train``,
    ``valid`` and ``test`` of bytes, one row an image, as ``numpy.packbits`` makes them.

    Shapes:
        each datum is ``(1, 28, 28)``, of zeros and ones.

    Args:
        root: Folder that holds the data; by default ``PYRO_VAE_DATA``, else ``data`` in the
            current folder.
        binarization: Changes nothing, since zeros and ones stay what they are.
        seed: Of what is drawn once; nothing is.

    References:
        | The neural autoregressive distribution estimator (Larochelle and Murray, 2011)
        | https://proceedings.mlr.press/v15/larochelle11a.html
        | On the quantitative analysis of deep belief networks (Salakhutdinov and Murray, 2008)
        | https://doi.org/10.1145/1390156.1390266

    Example:
        >>> BinarizedMNIST(root="data").declaration["kind"]
        'binarized_mnist'
    """

    def __init__(
        self,
        root: FilePath | None = None,
        binarization: Binarization = "none",
        seed: Seed = 0,
    ) -> None:
        super().__init__(binarization, validation=0, seed=seed)
        self.root = root

    def read(self) -> Raw:
        """The three official splits.

        Raises:
            DataError: if a file is missing or damaged.
        """
        folder = data_folder(self.root) / FOLDER
        texts = [folder / f"binarized_mnist_{split}.amat" for split in SPLITS]
        if all(path.is_file() for path in texts):
            train, validation, test = (_from_text(path) for path in texts)
        elif (folder / PACKED).is_file():
            train, validation, test = (_unpacked(folder / PACKED, split) for split in SPLITS)
        else:
            names = [*(path.name for path in texts if not path.is_file()), f"(or {PACKED})"]
            raise missing_files(self.kind, names, folder)
        return Raw(train, validation=(validation, None), test=(test, None))


def _from_text(path: Path) -> Pixels:
    """Images of a text file with one line of zeros and ones for each."""
    content = np.frombuffer(path.read_bytes(), dtype=np.uint8)
    digits = content[~np.isin(content, np.frombuffer(b" \t\r\n", dtype=np.uint8))]
    return _as_images(path, digits.astype(np.int16) - ord("0"))


def _unpacked(path: Path, split: str) -> Pixels:
    """Images of a ``.npz`` with eight pixels a byte."""
    packed, *_ = read_arrays(path, split)
    if packed.dtype != np.uint8 or packed.ndim != 2 or packed.shape[1] != -(-(SIDE**2) // 8):
        raise DataError(
            f"{path}: expected {split!r} to be bytes of shape (N, {-(-(SIDE**2) // 8)}), got "
            f"{packed.dtype} of shape {packed.shape}; pack it with numpy.packbits(x, axis=1)"
        )
    return _as_images(path, np.unpackbits(packed, axis=1)[:, : SIDE**2])


def _as_images(path: Path, pixels: np.ndarray[Any, Any]) -> Pixels:
    if not pixels.size or pixels.size % SIDE**2 or not np.isin(pixels, (0, 1)).all():
        raise DataError(
            f"{path}: expected {SIDE**2} zeros and ones for each image, got {pixels.size} values, "
            f"from {pixels.min(initial=9)} to {pixels.max(initial=0)}; put a fresh copy in its "
            f"place"
        )
    return pixels.astype(np.float32).reshape(-1, 1, SIDE, SIDE)
