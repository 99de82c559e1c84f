"""The data and the initial weights, the same for every contender."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.sizes import Size

__all__ = ["Weights", "binary_digits", "initial_weights", "mnist", "saved_digits"]

Array = NDArray[np.float32]
Weights = dict[str, Array]
"""Weights ``NAME.w``, in PyTorch's layout, and biases ``NAME.b``."""


def binary_digits(event_shape: Sequence[int]) -> Array:
    """Scikit-learn's 1797 digits as zeros and ones, resized to 28 x 28 for 784 pixels.

    Args:
        event_shape: Shape of one datum, of 64 or of 784 pixels.
    """
    grey = _digits(28 if np.prod(event_shape) == 784 else 8)
    return (grey > 0.5).astype(np.float32).reshape(-1, *event_shape)


def saved_digits(size: Size, folder: Path) -> str:
    """Path of a file in the folder with the size's :func:`binary_digits`."""
    path = folder / f"{'x'.join(map(str, size.event_shape))}.npy"
    if not path.exists():
        np.save(path, binary_digits(size.event_shape))
    return str(path)


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


def initial_weights(size: Size, seed: int = 0) -> Weights:
    """Weights drawn from PyTorch's default distribution."""
    random = np.random.default_rng(seed)
    drawn: Weights = {}
    for layer in size.layers():
        bound = layer.fan_in**-0.5
        for part, shape in (("w", layer.shape), ("b", (layer.biases,))):
            values = random.uniform(-bound, bound, shape)
            drawn[f"{layer.name}.{part}"] = values.astype(np.float32)
    return drawn


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
