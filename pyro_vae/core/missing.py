"""Missing values, which are NaN within an array."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

__all__ = ["REMEDY", "Gaps", "Missing", "seen_mean"]

Gaps = Literal["none", "zero_and_mask", "set"]
"""What a model does with NaN: nothing, or it is a missing value, with one of two encoders."""

Missing = Literal["refuse", "keep"]
"""What reading does with NaN: an error, or a missing value."""

REMEDY = "or declare a model that knows missing values, model.missing: zero_and_mask"


def seen_mean(x: Tensor, dim: int | None = None) -> Tensor:
    """The mean of what is not NaN; where nothing is, bit for bit ``x.mean(dim)``.

    Args:
        x: Values.
        dim: The dimension to average over; by default all.

    Example:
        >>> seen_mean(torch.tensor([[1.0, float("nan")], [3.0, 4.0]]), 0)
        tensor([2., 4.])
    """
    seen = ~x.isnan()
    filled = torch.where(seen, x, 0.0)
    if dim is None:
        return filled.mean() * (x.numel() / seen.sum().to(x.dtype))
    return filled.mean(dim) * (x.shape[dim] / seen.sum(dim).to(x.dtype))
