"""What no step can be faster than: its matrix products, and the bytes of its optimizer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from itertools import product as pairs_of
from typing import Any

import numpy as np
import torch
from pyro_vae.compiled.clock import best_of, quickest
from pyro_vae.compiled.products import ways_of
from torch import Tensor

from benchmarks.contenders.training import Losses, Rows, Training
from benchmarks.data import Weights
from benchmarks.sizes import Product, Size

__all__ = ["adam_bytes", "build", "ways"]

AS_IN_A_STEP = {
    "output": ("rows", "columns"), "weights": ("columns", "rows"), "input": ("rows", "rows"),
}  # fmt: skip
"""How the two matrices of a product lie."""
ADAM_PASSES = 7  # reads the weights, their gradients and two moments; writes all but the gradients


def adam_bytes(size: Size) -> int:
    """Bytes that Adam must move in one step, in single precision."""
    return 4 * ADAM_PASSES * size.parameters


class Products(Training):
    """Matrix products, each in the fastest of the ways that the compiled step has.

    Those of a step, forward and backward; or one square product of as many operations, which has
    nothing of what small and narrow ones cost beside the arithmetic.
    """

    def __init__(self, size: Size, products: Iterable[Product], device: str) -> None:
        self.parameters, self.batch, self.device = size.parameters, size.batch, device
        self.products = [_fastest(product, device) for product in products]

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


def _fastest(product: Product, device: str) -> Callable[[], object]:
    """A product by BLAS (MKL, or cuBLAS), or on a CPU in the fastest of our step's ways.

    On a CPU each matrix lies by rows or by columns, whichever is faster.
    """
    if device != "cpu":
        return _by_blas(*_matrices(product, "rows", "rows", device))
    ways: dict[str, Callable[[], object]] = {}
    for left, right in pairs_of(("rows", "columns"), repeat=2):
        a, b = _matrices(product, left, right, device)
        found = ways_of(a, b, torch.get_num_threads(), product.binary) | {"blas": _by_blas(a, b)}
        ways |= {f"{way}, {left} by {right}": made for way, made in found.items()}
    return ways[quickest(ways)]


def ways(size: Size) -> list[dict[str, float]]:
    """The seconds that each product of a step takes in each way, in the step's own layouts.

    They are the clock's, which comes to each product with cold caches.
    """
    threads = torch.get_num_threads()
    found = []
    for product in size.products():
        a, b = _matrices(product, *AS_IN_A_STEP[product.of], "cpu")
        found.append(best_of(ways_of(a, b, threads, product.binary)))
    return found


def _matrices(product: Product, left: str, right: str, device: str) -> list[Tensor]:
    """Two matrices that lie by ``rows`` or by ``columns``, as said."""
    _, m, k, n, binary = product
    made = [
        torch.rand(shape if by == "rows" else shape[::-1], device=device)
        for shape, by in (((m, k), left), ((k, n), right))
    ]
    if binary is not None:
        made[binary].gt_(0.5)
    return [
        part if by == "rows" else part.t() for part, by in zip(made, (left, right), strict=True)
    ]


def _by_blas(a: Tensor, b: Tensor) -> Callable[[], object]:
    return partial(torch.mm, a, b, out=a.new_empty(len(a), b.shape[1]))


def build(variant: str, size: Size, data: Any, weights: Weights, device: str) -> Training:
    """``products``, ``square`` or ``bytes``."""
    if variant == "bytes":
        return Bytes(size, device)
    side = round((size.flops / 2) ** (1 / 3))
    square = [Product("output", side, side, side)]
    return Products(size, size.products() if variant == "products" else square, device)
