"""Sums over a whole batch, of which this process may have a share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from pyro_vae.core.missing import seen_mean

__all__ = ["batch_mean", "batch_sum", "summing_by"]

_add: list[Callable[[Tensor], Tensor]] = []


@contextmanager
def summing_by(add: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Within the block, this process has a share of each batch.

    Args:
        add: Sums the tensors of all processes, in place.
    """
    _add.append(add)
    try:
        yield
    finally:
        _add.pop()


def batch_sum(x: Tensor) -> Tensor:
    """The sum of a value over all shares of the batch, with its gradient."""
    total: Tensor = _Sum.apply(x) if _add else x
    return total


def batch_mean(x: Tensor, dim: int | None = None) -> Tensor:
    """The mean of what is not NaN, over all shares of the batch.

    Args:
        x: Values of a share.
        dim: The dimension to average over; by default all.

    Example:
        >>> batch_mean(torch.tensor([1.0, float("nan"), 3.0]))
        tensor(2.)
    """
    if not _add:
        return seen_mean(x, dim)
    seen, dims = ~x.isnan(), [*range(x.dim())] if dim is None else [dim]
    filled = torch.where(seen, x, 0.0)
    total, count = batch_sum(torch.stack([filled.sum(dims), seen.sum(dims).to(x)]))
    return total / count


class _Sum(torch.autograd.Function):
    """A share's value has the gradients of what every process makes of the sum."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return _add[-1](x.clone())

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return _add[-1](gradients[0].clone())
