"""The loop of the tutorials: torchvision, ToTensor, DataLoader, and one step a batch."""

from __future__ import annotations

import struct
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Subset

from benchmarks.contenders import by_hand, pyro_svi
from benchmarks.contenders.training import Losses, Rows, Training, Weights
from benchmarks.sizes import Size

__all__ = ["build", "write_mnist"]


class Tutorial(Training):
    """An epoch over torchvision's MNIST; each picture is turned into a tensor by itself."""

    def __init__(self, variant: str, size: Size, data: Any, weights: Weights, device: str) -> None:
        from torchvision import datasets, transforms

        self.folder = tempfile.TemporaryDirectory(prefix="mnist-")
        write_mnist(Path(self.folder.name), data)
        mnist = datasets.MNIST(
            self.folder.name, train=True, transform=transforms.ToTensor(), download=False
        )
        self.loader = DataLoader(
            Subset(mnist, range(len(data))), batch_size=size.batch, shuffle=True,
            num_workers=int("worker" in variant), pin_memory=device == "cuda",
        )  # fmt: skip
        self.device, self.batch, self.shape = device, size.batch, size.event_shape
        few = data[: size.batch]
        if variant == "by hand":
            loop = by_hand.build("eager", size, few, weights, device)
            self.step = lambda x: loop.step(x).item()
            self.parameters = loop.parameters
        else:
            steps = pyro_svi.build("Trace_ELBO", size, few, weights, device)
            self.step, self.parameters = steps.svi.step, steps.parameters

    def epoch(self, order: Rows) -> tuple[Losses, float]:
        """The loader shuffles. Pixels are probabilities, and each batch is drawn from them."""
        began = time.perf_counter()
        losses = [
            self.step(torch.bernoulli(x.to(self.device)).reshape(-1, *self.shape)) / len(x)
            for x, _ in self.loader
        ]
        if self.device == "cuda":
            torch.cuda.synchronize()
        return np.array(losses), time.perf_counter() - began


def write_mnist(folder: Path, intensities: NDArray[np.float32]) -> None:
    """Write pictures ``(N, 784)`` in [0, 1] as the files that torchvision reads as MNIST."""
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    rows, pixels = len(intensities), np.rint(255 * intensities).astype(np.uint8)
    images = struct.pack(">4i", 0x803, rows, 28, 28) + pixels.tobytes()
    labels = struct.pack(">2i", 0x801, rows) + bytes(rows)
    for half in ("train", "t10k"):
        (raw / f"{half}-images-idx3-ubyte").write_bytes(images)
        (raw / f"{half}-labels-idx1-ubyte").write_bytes(labels)


def build(variant: str, size: Size, data: Any, weights: Weights, device: str) -> Tutorial:
    """``pyro``, ``pyro, 1 worker`` or ``by hand``."""
    return Tutorial(variant, size, data, weights, device)
