"""Numbers that cannot reach what makes a density NaN, 0 or infinite."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = [
    "MAX_RATE",
    "MAX_SCALE",
    "MIN_RATE",
    "MIN_SCALE",
    "bounded",
    "bounded_rate",
    "bounded_scale",
    "learned_scale",
]

MIN_SCALE, MAX_SCALE = 1e-3, 1e3
MIN_RATE, MAX_RATE = 1e-6, 1e6
SPEED = 10.0


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


def bounded_rate(raw: Tensor) -> Tensor:
    """The mean of a count, between 1e-6 and 1e6: close to exp(raw) in the middle of the range.

    Example:
        >>> bounded_rate(torch.tensor([-1e9, 0.0, 1e9]))
        tensor([1.0000e-06, 1.0000e+00, 1.0000e+06])
    """
    return bounded_scale(raw, MIN_RATE, MAX_RATE)


def learned_scale(raw: Tensor) -> Tensor:
    """A scale whose logarithm moves ten times as fast as ``raw`` does; it is 1 where ``raw`` is 0.

    Adam moves every weight by about its learning rate a step; a lone scale often has much
    farther to go than a weight, and so it is given a faster one.
    """
    return bounded_scale(SPEED * raw)


def bounded(raw: Tensor, limit: float = 10.0) -> Tensor:
    r"""A number between ``-limit`` and ``limit``, smooth, increasing, close to ``raw`` near 0.

    .. math:: l \tanh(r / l)

    Example:
        >>> [round(b, 2) for b in bounded(torch.tensor([-1e9, 0.0, 1.0])).tolist()]
        [-10.0, 0.0, 1.0]
    """
    return limit * torch.tanh(raw / limit)
