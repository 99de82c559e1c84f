"""The loop that the tutorials teach: torchvision, ToTensor, DataLoader, and a step a batch."""

from __future__ import annotations

import os
import time
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Subset

from benchmarks.contenders import by_hand, pyro_svi
from benchmarks.contenders.training import Losses, Rows, Training
from benchmarks.data import MNIST_ROOT, Weights
from benchmarks.sizes import Size

__all__ = ["build"]


class Tutorial(Training):
    """An epoch over torchvision's MNIST, as pictures that are made into tensors one by one."""

    def __init__(self, variant: str, size: Size, data: Any, weights: Weights, device: str) -> None:
        from torchvision import datasets, transforms

        mnist = datasets.MNIST(
            os.environ[MNIST_ROOT], train=True, transform=transforms.ToTensor(), download=False
        )
        self.loader = DataLoader(
            Subset(mnist, range(len(data))), batch_size=size.batch, shuffle=True,
            num_workers=int("worker" in variant), pin_memory=device == "cuda",
        )  # fmt: skip
        self.device, self.batch, self.shape = device, size.batch, size.event_shape
        few = data[: size.batch]
        if variant == "by hand":
            inner: Any = by_hand.build("eager", size, few, weights, device)
            self.step = lambda x: inner.step(x).item()
        else:
            inner = pyro_svi.build("Trace_ELBO", size, few, weights, device)
            self.step = inner.svi.step
        self.parameters = inner.parameters

    def place(self, rows: Rows) -> Any:
        raise NotImplementedError("the tutorials take whole epochs")

    def train(self, batches: Any) -> Losses:
        raise NotImplementedError("the tutorials take whole epochs")

    def epoch(self, order: Rows) -> tuple[Losses, float]:
        """The loader shuffles for itself. Pixels are chances, of which each batch draws."""
        began = time.perf_counter()
        losses = [
            self.step(torch.bernoulli(x.to(self.device)).reshape(-1, *self.shape)) / len(x)
            for x, _ in self.loader
        ]
        if self.device == "cuda":
            torch.cuda.synchronize()
        return np.array(losses), time.perf_counter() - began


def build(variant: str, size: Size, data: Any, weights: Weights, device: str) -> Training:
    """``pyro``, ``pyro, 1 worker`` or ``by hand``."""
    return Tutorial(variant, size, data, weights, device)
