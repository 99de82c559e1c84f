"""The aggregate posterior beside the prior, and draws of two posteriors."""

from __future__ import annotations

import numpy as np
import pytest

from pyro_vae.core.errors import DataError
from pyro_vae.plots import plot_aggregate_posterior, plot_posterior


@pytest.fixture
def codes():
    return np.random.default_rng(0).normal(size=(200, 4))


def test_the_two_dimensions_that_differ_most_are_drawn(codes, ax, is_drawn):
    moved = codes.copy()
    moved[:, 3] += 3.0
    moved[:, 1] *= 4.0
    assert plot_posterior(codes, moved, ax=ax) is ax
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("z1", "z3")
    is_drawn(ax)


def test_one_dimension_is_a_histogram(codes, is_drawn):
    ax = plot_posterior(codes[:, :1], codes[:, :1] + 1)
    assert ax.get_ylabel() == "density"
    is_drawn(ax)


def test_unlike_shapes_are_refused(codes):
    with pytest.raises(DataError, match="two arrays of one shape"):
        plot_posterior(codes, codes[:10])


def test_bars_hold_half_of_the_draws_and_95_percent(ax, is_drawn):
    z = np.linspace(0, 1, 1001)[:, None] * [1.0, 2.0]
    assert plot_aggregate_posterior(z, z + 5, ax=ax) is ax
    thin, thick, *_ = ax.collections
    spans = [[(s[0, 1], s[1, 1]) for s in bars.get_segments()] for bars in (thin, thick)]
    np.testing.assert_allclose(spans[0], [(0.025, 0.975), (0.05, 1.95)])
    np.testing.assert_allclose(spans[1], [(0.25, 0.75), (0.5, 1.5)])
    medians = [line.get_ydata() for line in ax.lines]
    np.testing.assert_allclose(medians, [[0.5, 1.0], [5.5, 6.0]])
    is_drawn(ax)


def test_of_many_dimensions_the_first_are_drawn_and_it_is_said(ax):
    plot_aggregate_posterior(np.zeros((3, 100)), np.ones((5, 100)), ax=ax)
    assert len(ax.lines[0].get_xdata()) == 50
    assert "the first 50 of 100" in ax.get_xlabel()


@pytest.mark.parametrize(
    ("prior", "match"),
    [(np.zeros((5, 3)), r"prior: expected shape \(N, 4\), got \(5, 3\)"),
     (np.full((5, 4), np.nan), "prior: expected finite numbers")],
)  # fmt: skip
def test_other_draws_from_the_prior_are_refused(codes, prior, match):
    with pytest.raises(DataError, match=match):
        plot_aggregate_posterior(codes, prior)
