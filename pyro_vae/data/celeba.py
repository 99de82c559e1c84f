"""CelebA."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pydantic import PositiveInt

from pyro_vae.core.bounds import Seed
from pyro_vae.core.errors import DataError
from pyro_vae.core.messages import nearest
from pyro_vae.data.binarization import Binarization
from pyro_vae.data.locations import FilePath
from pyro_vae.data.pictures import Bytes
from pyro_vae.data.prepare import Raw
from pyro_vae.data.torchvision_images import TorchvisionImages

__all__ = ["Celeba"]


class Celeba(TorchvisionImages):
    """Faces of celebrities, aligned: 162,770 to train, 19,867 to validate, 19,962 to test on.

    Each split is the official one, so there is no share to validate on. Read from ``celeba``:
    ``img_align_celeba`` (a folder, or .zip) and the five lists that are published with it. At
    64 x 64 pixels all of it takes 10 GB as float32: take fewer by ``limit``.

    Shapes:
        each datum is ``(3, size, size)``, with intensities in [0, 1].

    Args:
        size: Of each side in pixels, to which the crop is resized.
        crop: Side of the square that is cut from the middle of each 178 x 218 image.
        limit: Use no more than the first so many of each split; by default all of them.
        label: Name of an attribute, such as ``Smiling``: labels are 1 where it holds, else 0.
        root: Folder that holds ``celeba``; by default ``PYRO_VAE_DATA``, else ``data`` in the
            current folder.
        download: Is refused: CelebA is on Google Drive, which has no bounded downloads.
        binarization: How intensities in [0, 1] become 0 or 1: none, threshold (at 0.5), static
            (one draw), or dynamic (training data drawn afresh for every batch).
        seed: Of what is drawn once.

    References:
        | Deep learning face attributes in the wild (Liu et al., 2015)
        | https://arxiv.org/abs/1411.7766

    Example:
        >>> Celeba(size=32, limit=1000).declaration["crop"]
        148
    """

    dataset = "CelebA"
    folder = "celeba"
    archives = ("img_align_celeba.zip",)
    files = "img_align_celeba (a folder, or .zip) and the five lists"
    channels = 3

    def __init__(
        self,
        size: PositiveInt = 64,
        crop: PositiveInt = 148,
        limit: PositiveInt | None = None,
        label: str | None = None,
        root: FilePath | None = None,
        download: bool = False,
        binarization: Binarization = "none",
        seed: Seed = 0,
    ) -> None:
        super().__init__(root, download, 0, binarization=binarization, seed=seed)
        self.size = size
        self.crop = crop
        self.limit = limit
        self.attribute = label

    def name_of(self, dataset: Any, row: int) -> str:
        """The image's file."""
        return str(dataset.filename[row])

    def picture(self, image: Any) -> Bytes:
        """The middle of an image, resized."""
        left, top = ((side - self.crop) // 2 for side in image.size)
        if min(left, top) < 0:
            raise DataError(
                f"{self.kind}: expected images of at least {self.crop} pixels each way, got "
                f"{image.width} x {image.height}; choose a smaller crop (data.crop)"
            )
        return super().picture(image.crop((left, top, left + self.crop, top + self.crop)))

    def label(self, target: Any, dataset: Any) -> int | None:
        """Whether the named attribute holds."""
        known = [name for name in dataset.attr_names if name]
        if self.attribute is not None and self.attribute not in known:
            raise DataError(
                f"{self.kind}: expected an attribute, got {self.attribute!r}"
                f"{nearest(self.attribute, known)}; choose from {', '.join(known)} (data.label)"
            )
        return None if self.attribute is None else int(target[known.index(self.attribute)])

    def read(self) -> Raw:
        """Intensities of the three official splits, and labels if an attribute is named."""
        raw = super().read()
        return replace(raw, preprocessing=f"middle {self.crop} x {self.crop} {raw.preprocessing}")
