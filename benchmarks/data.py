"""What every contender begins with: the same data, and the same weights."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.sizes import Size

__all__ = ["MNIST_ROOT", "Weights", "binary_digits", "first_weights", "mnist_folder"]

MNIST_ROOT = "BENCHMARK_MNIST"
"""Names the folder that holds ``MNIST/raw``, in the environment of the workers."""

Array = NDArray[np.float32]
Weights = dict[str, Array]
"""Weights ``NAME.w``, laid out as PyTorch does, and biases ``NAME.b``."""


def binary_digits(event_shape: Sequence[int]) -> Array:
    """Scikit-learn's 1797 digits, enlarged to 28 x 28 where asked, as 0 and 1.

    Args:
        event_shape: Shape of one datum, of 64 or of 784 pixels.
    """
    grey = _digits(28 if np.prod(event_shape) == 784 else 8)
    return (grey > 0.5).astype(np.float32).reshape(-1, *event_shape)


def first_weights(size: Size, seed: int = 0) -> Weights:
    """Where training begins, drawn as PyTorch draws by default."""
    random = np.random.default_rng(seed)
    drawn: Weights = {}
    for layer in size.layers():
        bound = layer.fan_in**-0.5
        for what, shape in (("w", layer.shape), ("b", (layer.biases,))):
            values = random.uniform(-bound, bound, shape)
            drawn[f"{layer.name}.{what}"] = values.astype(np.float32)
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


def mnist_folder(folder: Path, rows: int) -> Path:
    """Files in MNIST's format with the enlarged digits, over and over, for torchvision to read.

    They stand in for MNIST where it is not found: as many pictures of the same size.

    Args:
        folder: Where to make ``MNIST/raw``.
        rows: How many training pictures.
    """
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    pictures = np.resize((255 * _digits(28)).astype(np.uint8), (rows, 28, 28))
    labels = np.zeros(rows, np.uint8)
    for name in ("train", "t10k"):
        head = struct.pack(">4i", 0x803, rows, 28, 28)
        (raw / f"{name}-images-idx3-ubyte").write_bytes(head + pictures.tobytes())
        (raw / f"{name}-labels-idx1-ubyte").write_bytes(
            struct.pack(">2i", 0x801, rows) + labels.tobytes()
        )
    return folder
