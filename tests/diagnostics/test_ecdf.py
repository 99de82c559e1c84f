"""The simultaneous bands, against simulation, scipy and ArviZ."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from arviz_stats.ecdf_utils import ecdf_pit
from scipy import stats

from pyro_vae.diagnostics.ecdf import GRID, ecdf_band, ecdf_counts, ecdf_p_value


def uniform(*shape):
    return np.random.default_rng(1).random(shape)


def leaves(values, low, high):
    share = ecdf_counts(values) / len(values)
    return bool(((share < low) | (share > high)).any())


@pytest.mark.parametrize(("count", "false_alarm"), [(100, 0.2), (997, 0.05), (250, 0.01)])
def test_uniform_values_leave_the_band_at_the_stated_rate(count, false_alarm):
    _, low, high = ecdf_band(count, false_alarm)
    left = sum(leaves(values, low, high) for values in uniform(4000, count))
    assert stats.binomtest(left, 4000, false_alarm, "greater").pvalue > 1e-5
    # counts are whole numbers, so that it is a little less often
    assert stats.binomtest(left, 4000, 0.8 * false_alarm, "less").pvalue > 1e-5


def test_the_probability_is_exact_where_every_path_can_be_counted(monkeypatch):
    from pyro_vae.diagnostics import ecdf

    monkeypatch.setattr(ecdf, "POINTS", 3)
    monkeypatch.setattr(ecdf, "GRID", np.array([1, 2]) / 3)
    gamma, outside = 0.3, 0.0
    low, high = ecdf._ends(6, gamma)
    for thirds in itertools.product(range(7), repeat=3):
        if sum(thirds) == 6:
            counts = np.cumsum(thirds)[:2]
            if (counts < low).any() or (counts > high).any():
                outside += stats.multinomial(6, [1 / 3] * 3).pmf(thirds)
    assert ecdf._leaving(6, gamma) == pytest.approx(outside, rel=1e-9)
    assert 0 < outside < 1


def test_the_band_is_that_of_arviz_by_simulation():
    count = 100  # for which its points and ours are the same
    points, _, low, high = ecdf_pit(uniform(count), 0.95, 4000)
    grid, ours_low, ours_high = ecdf_band(count, 0.05)
    assert np.allclose(points, grid)
    assert abs(low - ours_low).max() < 0.021  # two steps
    assert abs(high - ours_high).max() < 0.021


def test_p_values_are_uniform_or_larger():
    found = np.array([ecdf_p_value(values) for values in uniform(500, 200)])
    for level in (0.02, 0.1, 0.5):
        below = int((found <= level).sum())
        assert stats.binomtest(below, 500, level, "greater").pvalue > 1e-5
        assert stats.binomtest(below, 500, 0.8 * level, "less").pvalue > 1e-5  # not far larger


def test_p_value_and_band_agree():
    _, low, high = ecdf_band(300, 0.1)
    for values in uniform(100, 300):
        assert (ecdf_p_value(values) <= 0.1) == leaves(values, low, high)


def test_a_tiny_p_value_is_a_bound():
    assert ecdf_p_value(np.full(5000, 0.005)) == 0.0
    shifted = uniform(5000) ** 1.3
    found = ecdf_counts(shifted)
    tail = stats.binom(5000, GRID)
    single = 2 * min(tail.cdf(found).min(), tail.sf(found - 1).min())
    assert single <= ecdf_p_value(shifted) <= 99 * single
