"""The data, the same for every contender."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["binary_digits", "mnist"]

Array = NDArray[np.float32]


def binary_digits(event_shape: Sequence[int]) -> Array:
    """Scikit-learn's 1797 digits as zeros and ones, resized to 28 x 28 for 784 pixels.

    Args:
        event_shape: Shape of one datum, of 64 or of 784 pixels.
    """
    grey = _digits(28 if np.prod(event_shape) == 784 else 8)
    return (grey > 0.5).astype(np.float32).reshape(-1, *event_shape)


def mnist(rows: int) -> tuple[str, Array]:
    """MNIST's name and intensities ``(rows, 784)`` in [0, 1]; resized digits if it is missing."""
    import pyro_vae

    try:
        images = pyro_vae.load_data({"kind": "mnist", "validation": 0}).train.x.numpy()
        name = "MNIST"
    except pyro_vae.PyroVAEError:
        images = np.resize(_digits(28), (rows, 28, 28))
        name = "resized digits (MNIST was not found: set PYRO_VAE_DATA)"
    return name, images[:rows].reshape(-1, 784).astype(np.float32)


def _digits(side: int) -> Array:
    """Intensities in [0, 1], ``(1797, side, side)``."""
    from PIL import Image
    from sklearn.datasets import load_digits

    pictures = (load_digits().images / 16).astype(np.float32)
    if side == pictures.shape[-1]:
        return pictures
    large = [
        Image.fromarray(picture).resize((side, side), Image.Resampling.BILINEAR)
        for picture in pictures
    ]
    return np.stack([np.asarray(picture) for picture in large])
