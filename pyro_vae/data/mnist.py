"""MNIST."""

from __future__ import annotations

from pyro_vae.data.torchvision_images import MNIST_FILES, TorchvisionImages

__all__ = ["MNIST"]


class MNIST(TorchvisionImages):
    """Handwritten digits: 60,000 to train and validate on, 10,000 to test, 28 x 28 pixels.

    Shapes:
        each datum is ``(1, 28, 28)``, with intensities in [0, 1].

    References:
        | Gradient-based learning applied to document recognition (LeCun et al., 1998)
        | https://doi.org/10.1109/5.726791

    Example:
        >>> MNIST(binarization="dynamic").declaration["validation"]
        10000
    """

    dataset = "MNIST"
    folder = "MNIST/raw"
    archives = ("*.gz",)
    files = MNIST_FILES
