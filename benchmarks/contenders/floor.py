"""What no step can be faster than: its matrix products, and the bytes of its optimiser."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from benchmarks.contenders.training import Losses, Rows, Training
from benchmarks.data import Weights
from benchmarks.sizes import Size
from pyro_vae.inference.compiled.native_products import native_products, tile_product

__all__ = ["adam_bytes", "build"]

PROBES = 10
ADAM_PASSES = 7  # reads the weights, their gradients and two moments; writes all but the gradients


def adam_bytes(size: Size) -> int:
    """Bytes that Adam must move in one step, in single precision."""
    return 4 * ADAM_PASSES * size.parameters


class Products(Training):
    """Matrix products, each in the fastest of the ways that the compiled step has.

    Those of a step, forward and backward; or one square product of as many operations, which has
    nothing of what small and narrow ones cost beside the arithmetic.
    """

    def __init__(self, size: Size, products: Sequence[tuple[int, int, int]], device: str) -> None:
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


def _fastest(m: int, k: int, n: int, device: str) -> Callable[[], object]:
    """``(m, k) @ (k, n)`` by BLAS (MKL, or cuBLAS); on a CPU in another way if that is faster."""
    a, b = torch.rand(m, k, device=device), torch.rand(k, n, device=device)
    product = torch.empty(m, n, device=device)

    def blas() -> object:
        return torch.mm(a, b, out=product)

    ways: list[Callable[[], object]] = [blas]
    if device == "cpu" and (tiles := tile_product()) is not None:
        ways.append(partial(tiles, a, b))
    if device == "cpu" and (native := native_products()) is not None:
        ways += [partial(native.split_product, a, b, dim) for dim in (0, 1)]
        if torch.backends.mkldnn.is_available():
            ways.append(partial(native.onednn_product, a, b.t().contiguous().t()))
    return min(ways, key=_seconds)


def _seconds(multiply: Callable[[], object]) -> float:
    """The shortest of some calls."""
    taken = []
    for _ in range(PROBES):
        began = time.perf_counter()
        multiply()
        taken.append(time.perf_counter() - began)
    return min(taken)


def build(variant: str, size: Size, data: Any, weights: Weights, device: str) -> Training:
    """``products``, ``square`` or ``bytes``."""
    if variant == "bytes":
        return Bytes(size, device)
    side = round((size.flops / 2) ** (1 / 3))
    return Products(
        size, size.products() if variant == "products" else [(side, side, side)], device
    )
