"""Positive numbers that cannot reach 0 or infinity."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["MAX_SCALE", "MIN_SCALE", "bounded_scale"]

MIN_SCALE, MAX_SCALE = 1e-3, 1e3


def bounded_scale(raw: Tensor, low: float = MIN_SCALE, high: float = MAX_SCALE) -> Tensor:
    r"""A scale between ``low`` and ``high``, smooth and strictly increasing in ``raw``.

    .. math:: \log\sigma = c + h \tanh((r - c) / h)

    with c the middle of [log low, log high] and h half its length: close to exp(raw) in the
    middle of the range, and never NaN, 0 or infinity for any finite ``raw``.

    Example:
        >>> [round(s, 3) for s in bounded_scale(torch.tensor([-1e9, 0.0, 1e9])).tolist()]
        [0.001, 1.0, 1000.0]
    """
    centre = (math.log(high) + math.log(low)) / 2
    half = (math.log(high) - math.log(low)) / 2
    return torch.exp(centre + half * torch.tanh((raw - centre) / half))
