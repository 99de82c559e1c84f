"""EMNIST."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from pyro_vae.data.locations import FilePath
from pyro_vae.data.prepare import Raw
from pyro_vae.data.splits import Share
from pyro_vae.data.torchvision_images import TorchvisionImages

__all__ = ["EMNIST"]


class EMNIST(TorchvisionImages):
    """Handwritten letters and digits of 28 x 28 pixels, in six official splits.

    The files hold each image with its rows and columns exchanged; here it stands upright.
    ``EMNIST/raw`` holds the split's four files, or the ``gzip.zip`` of all splits. Labels are the
    files' own: ``letters`` counts from 1.

    Shapes:
        each datum is ``(1, 28, 28)``, with intensities in [0, 1].

    Args:
        split: Which characters: ``byclass``, ``bymerge``, ``balanced`` (112,800 to train and
            validate on, 18,800 to test), ``letters``, ``digits`` or ``mnist``.
        root: Folder that holds the data; by default ``PYRO_VAE_DATA``, else ``data`` in the
            current folder.
        download: Let torchvision download into ``root`` what is not there.
        validation: Fraction of the training data in [0, 1), or a whole number of them, to
            validate on.

    References:
        | EMNIST: an extension of MNIST to handwritten letters (Cohen et al., 2017)
        | https://arxiv.org/abs/1702.05373

    Example:
        >>> EMNIST("letters").files[0]
        'emnist-letters-train-images-idx3-ubyte'
    """

    archive = "gzip.zip"

    def __init__(
        self,
        split: Literal[
            "byclass", "bymerge", "balanced", "letters", "digits", "mnist"
        ] = "balanced",
        root: FilePath | None = None,
        download: bool = False,
        validation: Share = 10_000,
        **preprocessing: Any,
    ) -> None:
        super().__init__(root, download, validation, **preprocessing)
        self.split = split
        self.options = {"split": split}
        self.files = tuple(
            f"emnist-{split}-{half}-{what}-ubyte"
            for half in ("train", "test")
            for what in ("images-idx3", "labels-idx1")
        )

    @staticmethod
    def loader() -> Any:
        """Its class ``EMNIST``, which reads ``EMNIST/raw``."""
        from torchvision import datasets

        return datasets.EMNIST

    def read(self) -> Raw:
        """Upright intensities and labels of the split's two halves."""
        return replace(
            super().read(), name=f"emnist {self.split}", preprocessing="rows and columns exchanged"
        )

    def _images(self, root: Path, *, train: bool) -> tuple[Tensor, Tensor]:
        images, labels = super()._images(root, train=train)
        return images.transpose(2, 3).contiguous(), labels
