"""Kuzushiji-MNIST."""

from __future__ import annotations

from pyro_vae.data.torchvision_images import MNIST_FILES, TorchvisionImages

__all__ = ["KMNIST"]


class KMNIST(TorchvisionImages):
    """Cursive Japanese characters: 60,000 to train and validate on, 10,000 to test, 28 x 28.

    Shapes:
        each datum is ``(1, 28, 28)``, with intensities in [0, 1].

    References:
        | Deep learning for classical Japanese literature (Clanuwat et al., 2018)
        | https://arxiv.org/abs/1812.01718

    Example:
        >>> KMNIST.kind
        'kmnist'
    """

    dataset = "KMNIST"
    folder = "KMNIST/raw"
    archives = ("*.gz",)
    files = MNIST_FILES
