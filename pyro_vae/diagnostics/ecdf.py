"""Simultaneous bands about the empirical distribution function of uniform values, and tests."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import stats

__all__ = ["POINTS", "ecdf_band", "ecdf_counts", "ecdf_p_value"]

POINTS = 100
GRID = np.arange(1, POINTS) / POINTS
LEAST = 1e-10  # probability that sums of doubles tell from 0

Numbers = NDArray[np.float64]


def ecdf_counts(values: Numbers) -> NDArray[np.int64]:
    """How many of the values are at most 0.01, 0.02, ..., 0.99: ``(99,)``."""
    return np.searchsorted(np.sort(values), GRID, side="right")


@lru_cache(maxsize=32)
def ecdf_band(count: int, false_alarm: float) -> tuple[Numbers, Numbers, Numbers]:
    r"""The band that the ECDF of uniform values stays in, except with a given probability.

    At each u of the grid the count of values below u is Binomial(N, u), and the band holds its
    central 1 - gamma. Gamma is as large as ``false_alarm`` allows for all u together, which is
    computed without simulation: the increments of the counts are Poisson, given their sum.

    Args:
        count: Number N of values.
        false_alarm: Probability that the ECDF leaves the band anywhere, at least 1e-10.

    Returns:
        The grid, and the least and the greatest ECDF at each of its points, each ``(99,)``.

    References:
        | Graphical test for discrete uniformity and its applications in goodness-of-fit
        | evaluation and multiple sample comparison (Säilynoja et al., 2022)
        | https://arxiv.org/abs/2103.10522

    Example:
        >>> grid, low, high = ecdf_band(1000, 0.05)
        >>> [round(float(end[49]), 3) for end in (grid, low, high)]
        [0.5, 0.453, 0.547]
    """
    narrow, wide = math.log(false_alarm), math.log(false_alarm / POINTS)  # the union bound holds
    for _ in range(20):
        middle = (narrow + wide) / 2
        holds = _leaving(count, math.exp(middle)) <= false_alarm
        narrow, wide = (narrow, middle) if holds else (middle, wide)
    low, high = _ends(count, math.exp(wide))
    return GRID, low / count, high / count


def ecdf_p_value(values: Numbers) -> float:
    """Probability that uniform values leave the widest band that these leave.

    A tiny one is the union bound over the grid, which is too large by a factor of at most 99.

    Example:
        >>> even = (np.arange(500) + 0.5) / 500
        >>> round(ecdf_p_value(even), 3), ecdf_p_value(even**1.5) < 1e-6
        (1.0, True)
    """
    count, found = len(values), ecdf_counts(values)
    each = stats.binom(count, GRID)
    gamma = 2 * min(each.cdf(found).min(), each.sf(found - 1).min())
    if gamma < LEAST:
        return float(len(GRID) * gamma)
    strictly = min(gamma * (1 + 1e-9), 1.0)  # so that the values leave it
    return float(min(max(_leaving(count, strictly), gamma), 1.0))


def _ends(count: int, gamma: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Least and greatest count in the central 1 - gamma at each point of the grid."""
    each = stats.binom(count, GRID)
    return each.ppf(gamma / 2).astype(int), each.isf(gamma / 2).astype(int)


def _leaving(count: int, gamma: float) -> float:
    """Probability that the counts of uniform values leave the band somewhere."""
    low, high = ([0, *end.tolist(), count] for end in _ends(count, gamma))
    high[0] = 0
    low[-1] = count
    step = stats.poisson.pmf(np.arange(count + 1), count / POINTS)
    inside = np.ones(1)  # probabilities of the counts low..high, so far always in the band
    for before, least, most in zip(low, low[1:], high[1:], strict=False):
        moved = np.convolve(inside, step[: most - before + 1])
        inside = moved[least - before : most - before + 1]
    return float(1 - inside[0] / stats.poisson.pmf(count, count))
