"""Numbers that cannot reach what makes a density NaN, 0 or infinite."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

__all__ = [
    "MAX_RATE",
    "MAX_SCALE",
    "MIN_RATE",
    "MIN_SCALE",
    "bounded",
    "bounded_rate",
    "bounded_scale",
    "learned_scale",
    "raw_scale",
]

MIN_SCALE, MAX_SCALE = 1e-3, 1e3
MIN_RATE, MAX_RATE = 1e-6, 1e6
SPEED, PARTS = 10.0, 100


def bounded_scale(raw: Tensor, low: float = MIN_SCALE, high: float = MAX_SCALE) -> Tensor:
    r"""A scale between ``low`` and ``high``, smooth and strictly increasing in ``raw``.

    .. math:: \log\sigma = c + h \, s((r - c) / h), \quad s(u) = u / \sqrt{1 + u^2}

    with c the middle of [log low, log high] and h half its length: close to exp(raw) in the
    middle of the range, and never NaN, 0 or infinity for any finite ``raw``. Near a bound its
    gradient shrinks as a power of ``raw``, and does not vanish.

    Example:
        >>> [round(s, 3) for s in bounded_scale(torch.tensor([-1e9, 0.0, 1e9])).tolist()]
        [0.001, 1.0, 1000.0]
    """
    centre = (math.log(high) + math.log(low)) / 2
    half = (math.log(high) - math.log(low)) / 2
    return torch.exp(centre + half * _squashed((raw - centre) / half))


def bounded_rate(raw: Tensor) -> Tensor:
    """The mean of a count, between 1e-6 and 1e6: close to exp(raw) in the middle of the range.

    Example:
        >>> bounded_rate(torch.tensor([-1e9, 0.0, 1e9]))
        tensor([1.0000e-06, 1.0000e+00, 1.0000e+06])
    """
    return bounded_scale(raw, MIN_RATE, MAX_RATE)


def raw_scale(shape: tuple[int, ...], scale: float = 1.0) -> nn.Parameter:
    """The parameter of :func:`learned_scale`: one part for each of several scales, 100 for one."""
    return nn.Parameter(torch.full((1 if shape else PARTS, *shape), math.log(scale) / SPEED))


def learned_scale(raw: Tensor, low: float = MIN_SCALE, high: float = MAX_SCALE) -> Tensor:
    """A scale whose logarithm is ten times the mean of its parts, ``(parts, *shape)``.

    Adam moves every weight by about its learning rate a step; a scale often has much farther to
    go, and so its logarithm moves ten times as fast. Under SGD that factor counts twice, and the
    gradient of a lone scale sums over all dimensions; a hundred parts make up for it.
    """
    return bounded_scale(SPEED * raw.mean(0), low, high)


def bounded(raw: Tensor, limit: float = 10.0) -> Tensor:
    r"""A number between ``-limit`` and ``limit``, smooth, increasing, close to ``raw`` near 0.

    .. math:: r / \sqrt{1 + (r / l)^2}

    Example:
        >>> [round(b, 2) for b in bounded(torch.tensor([-1e9, 0.0, 1.0])).tolist()]
        [-10.0, 0.0, 1.0]
    """
    return limit * _squashed(raw / limit)


def _squashed(u: Tensor) -> Tensor:
    """Return u / sqrt(1 + u^2), written so that its gradient neither cancels nor overflows.

    A tanh has a gradient of exactly 0 in float32 beyond 10, where a parameter would stay for good.
    """
    sign = torch.where(u < 0, -1.0, 1.0).to(u)
    size = sign * u
    root = torch.hypot(size, torch.ones_like(u))
    return sign * (1 - 1 / root / (root + size))
