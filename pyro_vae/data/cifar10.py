"""CIFAR-10."""

from __future__ import annotations

from typing import Any

from pyro_vae.data.locations import FilePath
from pyro_vae.data.splits import Share
from pyro_vae.data.torchvision_images import TorchvisionImages

__all__ = ["CIFAR10"]


class CIFAR10(TorchvisionImages):
    """Photographs of ten kinds of things: 50,000 to train and validate on, 10,000 to test.

    The files are pickled: torchvision checks the md5 of each before it is read. They lie in
    ``cifar-10-batches-py``, or in the ``cifar-10-python.tar.gz`` that packs it.

    Shapes:
        each datum is ``(3, 32, 32)``, with intensities in [0, 1].

    References:
        | Learning multiple layers of features from tiny images (Krizhevsky, 2009)
        | https://www.cs.toronto.edu/~kriz/cifar.html

    Example:
        >>> CIFAR10(validation=0.2).declaration["download"]
        False
    """

    dataset = "CIFAR10"
    archives = ("cifar-10-python.tar.gz",)
    files = "cifar-10-batches-py, or cifar-10-python.tar.gz,"

    def __init__(
        self,
        root: FilePath | None = None,
        download: bool = False,
        validation: Share = 5_000,
        **preprocessing: Any,
    ) -> None:
        super().__init__(root, download, validation, **preprocessing)
