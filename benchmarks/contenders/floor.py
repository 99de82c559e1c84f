"""What no step can be faster than: its matrix products, and the bytes of its optimiser."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from benchmarks.contenders.training import Losses, Rows, Training
from benchmarks.data import Weights
from benchmarks.sizes import Size

__all__ = ["adam_bytes", "build"]

ADAM_PASSES = 7  # reads the weights, their gradients and two moments; writes all but the gradients


def adam_bytes(size: Size) -> int:
    """Bytes that Adam must move in one step, in single precision."""
    return 4 * ADAM_PASSES * size.parameters


class Products(Training):
    """The matrix products of a step, forward and backward, into memory that is already there."""

    def __init__(self, size: Size, device: str) -> None:
        self.parameters, self.batch, self.device = size.parameters, size.batch, device
        self.terms = [
            (torch.rand(m, k, device=device), torch.rand(k, n, device=device),
             torch.empty(m, n, device=device))
            for m, k, n in size.products()
        ]  # fmt: skip

    def place(self, rows: Rows) -> int:
        return len(rows)

    def once(self) -> None:
        for a, b, product in self.terms:
            torch.mm(a, b, out=product)

    def train(self, batches: int) -> Losses:
        for _ in range(batches):
            self.once()
        if self.device == "cuda":
            torch.cuda.synchronize()
        return np.full(batches, np.nan)


class Bytes(Products):
    """Copies that move as many bytes as Adam does, within memory of the same extent."""

    def __init__(self, size: Size, device: str) -> None:
        self.parameters, self.batch, self.device = size.parameters, size.batch, device
        self.read = torch.rand(2 * size.parameters, device=device)
        self.written = torch.empty_like(self.read)
        self.part = 3 * size.parameters // 2

    def once(self) -> None:
        """16 bytes a parameter, and 12."""
        self.written.copy_(self.read)
        self.written[: self.part].copy_(self.read[: self.part])


def build(variant: str, size: Size, data: Any, weights: Weights, device: str) -> Training:
    """``products`` or ``bytes``."""
    with torch.no_grad():
        return Products(size, device) if variant == "products" else Bytes(size, device)
