"""Numbers that cannot reach what makes a density NaN, 0 or infinite."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["MAX_SCALE", "MIN_SCALE", "bounded", "bounded_scale"]

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


def bounded(raw: Tensor, limit: float = 10.0) -> Tensor:
    r"""A number between ``-limit`` and ``limit``, smooth, increasing, close to ``raw`` near 0.

    .. math:: l \tanh(r / l)

    Example:
        >>> [round(b, 2) for b in bounded(torch.tensor([-1e9, 0.0, 1.0])).tolist()]
        [-10.0, 0.0, 1.0]
    """
    return limit * torch.tanh(raw / limit)
