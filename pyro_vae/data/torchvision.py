"""Any data set of images that torchvision reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import PositiveInt

from pyro_vae.data.locations import FilePath
from pyro_vae.data.pictures import Channels
from pyro_vae.data.prepare import Raw
from pyro_vae.data.splits import Share
from pyro_vae.data.torchvision_images import TorchvisionImages

__all__ = ["Torchvision"]


class Torchvision(TorchvisionImages):
    """Any data set of images in ``torchvision.datasets``, by the name of its class.

    Its official splits are used: a test set where it has one, and a validation set where it has
    one and ``validation`` is not given. Labels are kept where they are whole numbers.

    Shapes:
        each datum is ``(channels, height, width)``, with intensities in [0, 1].

    Args:
        name: Of the class, such as ``CIFAR100`` or ``Flowers102``.
        size: Of each side in pixels, to which the images are cropped and resized; by default
            theirs, if it is the same for all.
        channels: 1 for grey, 3 for colour; by default theirs.
        limit: Use no more than the first so many of each split; by default all of them.
        options: What else the class takes, such as ``{split: letters}`` for EMNIST.
        root: Folder that holds the data; by default ``PYRO_VAE_DATA``, else ``data`` in the
            current folder.
        download: Let torchvision download into ``root`` what is not there.
        validation: Fraction of the training data in [0, 1), or a whole number of them, to
            validate on; by default the official validation set, or else 0.1.
        test: Fraction of the data in [0, 1), or a whole number of them, to test on, where there
            is no official test set.

    References:
        https://docs.pytorch.org/vision/stable/datasets.html

    Example:
        >>> options = {"size": 50, "image_size": [3, 8, 8]}
        >>> Torchvision("FakeData", options=options).load().train
        Split(35 of shape (3, 8, 8), labelled)
    """

    def __init__(
        self,
        name: str,
        size: PositiveInt | None = None,
        channels: Channels | None = None,
        limit: PositiveInt | None = None,
        options: Mapping[str, Any] | None = None,
        root: FilePath | None = None,
        download: bool = False,
        validation: Share | None = None,
        test: Share = 0.2,
        **preprocessing: Any,
    ) -> None:
        shared = 0.1 if validation is None else validation
        super().__init__(root, download, shared, **preprocessing)
        self.name = name
        self.size = size
        self.channels = channels
        self.limit = limit
        self.options = options or {}
        self.keeps_official = validation is None
        self.test = test

    @property
    def dataset(self) -> str:
        """The name that was given."""
        return self.name

    def splits(self) -> dict[str, list[dict[str, Any]]]:
        """The official splits, without the validation set where a share was asked for."""
        official = super().splits()
        if not self.keeps_official:
            official.pop("validation", None)
        return official

    def read(self) -> Raw:
        """Intensities and labels of the official splits, as far as there are any."""
        return replace(super().read(), name=self.name)
