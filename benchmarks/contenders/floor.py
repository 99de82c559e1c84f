"""What no step can be faster than: its matrix products, and the bytes of its optimiser."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from benchmarks.contenders.training import Losses, Rows, Training
from benchmarks.data import Weights
from benchmarks.sizes import Size
from pyro_vae.inference.compiled.clock import quickest
from pyro_vae.inference.compiled.products import ways_of

__all__ = ["adam_bytes", "build"]

ADAM_PASSES = 7  # reads the weights, their gradients and two moments; writes all but the gradients


def adam_bytes(size: Size) -> int:
    """Bytes that Adam must move in one step, in single precision."""
    return 4 * ADAM_PASSES * size.parameters


Product = tuple[int, int, int, int | None]
"""Sizes ``(m, k, n)``, and which of the two matrices (0 or 1) holds 0s and 1s alone, if one."""


class Products(Training):
    """Matrix products, each in the fastest of the ways that the compiled step has.

    Those of a step, forward and backward; or one square product of as many operations, which has
    nothing of what small and narrow ones cost beside the arithmetic.
    """

    def __init__(self, size: Size, products: Sequence[Product], device: str) -> None:
        self.parameters, self.batch, self.device = size.parameters, size.batch, device
        self.products = [_fastest(*product, device) for product in products]

    def place(self, rows: Rows) -> int:
        return len(rows)

    def once(self) -> None:
        for product in self.products:
            product()

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


def _fastest(m: int, k: int, n: int, binary: int | None, device: str) -> Callable[[], object]:
    """``(m, k) @ (k, n)`` by BLAS (MKL, or cuBLAS); on a CPU in another way if that is faster."""
    a, b = (torch.rand(shape, device=device) for shape in ((m, k), (k, n)))
    if binary is not None:
        (a, b)[binary].gt_(0.5)
    product = torch.empty(m, n, device=device)

    def blas() -> object:
        return torch.mm(a, b, out=product)

    if device != "cpu":
        return blas
    ways = ways_of(a, b, torch.get_num_threads(), binary) | {"blas": blas}
    return ways[quickest(ways)]


def _products(size: Size) -> list[Product]:
    """Those of a step; the first layer's, if it is an affine map, take black and white pixels."""
    products: list[Product] = [(*product, None) for product in size.products()]
    if not size.channels:
        m, k, n = size.products()[0]
        products[:2] = [(m, k, n, 0), (n, m, k, 1)]
    return products


def build(variant: str, size: Size, data: Any, weights: Weights, device: str) -> Training:
    """``products``, ``square`` or ``bytes``."""
    if variant == "bytes":
        return Bytes(size, device)
    side = round((size.flops / 2) ** (1 / 3))
    square: list[Product] = [(side, side, side, None)]
    return Products(size, _products(size) if variant == "products" else square, device)
