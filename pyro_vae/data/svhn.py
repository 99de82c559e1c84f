"""Street View House Numbers."""

from __future__ import annotations

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

__all__ = ["SVHN"]


class SVHN(Source):
    """Digits of house numbers, in colour: 73,257 to train and validate on, 26,032 to test.

    Read from ``train_32x32.mat`` and ``test_32x32.mat`` (MATLAB's format, which holds nothing
    pickled). The files' label 10 is the digit 0, and becomes 0.

    Shapes:
        each datum is ``(3, 32, 32)``, with intensities in [0, 1].

    Args:
        root: Folder that holds the data; by default ``PYRO_VAE_DATA``, else ``data`` in the
            current folder.
        download: Let torchvision download into ``root`` what is not there.
        extra: Train on the 531,131 easier images of ``extra_32x32.mat`` too.
        validation: Fraction of the training data in [0, 1), or a whole number of them, to
            validate on.

    References:
        | Reading digits in natural images with unsupervised feature learning (Netzer et al., 2011)
        | http://ufldl.stanford.edu/housenumbers

    Example:
        >>> SVHN(extra=True).files
        ('train', 'extra', 'test')
    """

    def __init__(
        self,
        root: FilePath | None = None,
        download: bool = False,
        extra: bool = False,
        validation: Share = 5_000,
        **preprocessing: Any,
    ) -> None:
        super().__init__(validation=validation, **preprocessing)
        self.root = root
        self.download = download
        self.files = ("train", "extra", "test") if extra else ("train", "test")

    def read(self) -> Raw:
        """Intensities and labels of the training data and of the official test set.

        Raises:
            DataError: if a file is missing or damaged, or cannot be downloaded.
        """
        root = data_folder(self.root)
        paths = {name: root / f"{name}_32x32.mat" for name in self.files}
        if self.download:
            self._fetch(root, paths)
        missing = [path.name for path in paths.values() if not path.is_file()]
        if missing:
            raise missing_files(self.kind, missing, root)
        *train, test = [_read(path) for path in paths.values()]
        return Raw(
            torch.cat([x for x, _ in train]), torch.cat([labels for _, labels in train]), test=test
        )

    def _fetch(self, root: Path, paths: dict[str, Path]) -> None:
        from torchvision import datasets

        for name, path in paths.items():
            if not path.is_file():
                url, _, md5 = datasets.SVHN.split_list[name]
                download_file(self.kind, root, path.name, url, md5)


def _read(path: Path) -> tuple[Tensor, Tensor]:
    """Images (N, 3, 32, 32) in [0, 1] and labels (N,) of a file."""
    from scipy.io import loadmat

    try:
        content = loadmat(path, variable_names=["X", "y"])
        images, labels = content["X"], content["y"].reshape(-1)
        if images.ndim != 4 or images.dtype != np.uint8 or images.shape[:3] != (32, 32, 3):
            raise ValueError(f"its X is {images.dtype} of shape {images.shape}")
        if labels.dtype.kind not in "uif" or not np.isin(labels, range(1, 11)).all():
            raise ValueError("its y holds others than 1 to 10")
    except Exception as error:  # damage may surface as any error of scipy or zlib
        cause = " ".join(str(error).split()) or type(error).__name__
        raise DataError(
            f"{path}: expected a .mat file with bytes X (32, 32, 3, N) and labels y (N, 1) from 1 "
            f"to 10, got one that cannot be read: {cause}; put a fresh copy in its place"
        ) from None
    check_room((images.shape[-1], 3, 32, 32), str(path), "leave out the extra images")
    x = torch.from_numpy(np.ascontiguousarray(images.transpose(3, 2, 0, 1)))
    return x / 255, torch.from_numpy(labels.astype(np.int64) % 10)
