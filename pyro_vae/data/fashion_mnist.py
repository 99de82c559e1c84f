"""Fashion-MNIST."""

from __future__ import annotations

from pyro_vae.data.torchvision_images import MNIST_FILES, TorchvisionImages

__all__ = ["FashionMNIST"]


class FashionMNIST(TorchvisionImages):
    """Articles of clothing: 60,000 to train and validate on, 10,000 to test, 28 x 28 pixels.

    Shapes:
        each datum is ``(1, 28, 28)``, with intensities in [0, 1].

    References:
        | Fashion-MNIST: a novel image dataset for benchmarking machine learning algorithms
        | (Xiao et al., 2017) https://arxiv.org/abs/1708.07747

    Example:
        >>> FashionMNIST.kind
        'fashion_mnist'
    """

    dataset = "FashionMNIST"
    folder = "FashionMNIST/raw"
    archives = ("*.gz",)
    files = MNIST_FILES
