"""Gradient estimators and their intervals: what is drawn, and what is said of the rest."""

import math
from types import SimpleNamespace

import pytest

from pyro_vae.core.errors import DataError
from pyro_vae.plots import plot_gradients
from pyro_vae.report.estimate import Estimate

NAMES = ["ELBO: one", "ELBO: two", "IWAE: one"]
SIGNED = [(0.1, -0.2, 0.4), (-0.3, -0.5, -0.1), (0.0, 0.0, 0.0)]
POSITIVE = [(0.1, 0.05, 0.2), (0.0, 0.0, 0.0), (30.0, 20.0, 40.0)]


def comparison(*noises, names=NAMES):
    rows = [
        SimpleNamespace(name=name, bound=name.partition(":")[0],
                        noise=Estimate(value, low=low, high=high))
        for name, (value, low, high) in zip(names, noises, strict=False)
    ]  # fmt: skip
    return SimpleNamespace(of=lambda group: rows)


def texts(ax):
    return [text.get_text() for text in ax.texts]


def test_a_row_for_each_estimator(ax, is_drawn):
    assert plot_gradients(comparison(*POSITIVE), ax=ax) is ax
    assert [tick.get_text() for tick in ax.get_yticklabels()] == NAMES
    assert ax.get_xscale() == "log"
    assert len(ax.containers) == 2
    assert texts(ax) == ["0"]  # of no noise at all
    low, high = ax.get_xlim()
    assert low < 0.05 < 40 < high
    is_drawn(ax)


def test_one_colour_and_marker_for_each_bound(ax, is_drawn):
    plot_gradients(comparison(*SIGNED), ax=ax)
    assert ax.get_xscale() == "linear"
    looks = [(c.lines[0].get_color(), c.lines[0].get_marker()) for c in ax.containers]
    assert looks[0] == looks[1]
    assert looks[0][0] != looks[2][0]
    assert looks[0][1] != looks[2][1]
    is_drawn(ax)


def test_a_narrow_range_begins_at_0(ax):
    plot_gradients(comparison((8, 7, 9), (9, 8, 10)), ax=ax)
    assert ax.get_xscale() == "linear"
    assert ax.get_xlim()[0] == 0


def test_intervals_of_very_different_widths_are_all_seen(ax):
    rows = (0.01, -0.01, 0.03), (0.0, -0.02, 0.02), (50.0, -100.0, 200.0)
    plot_gradients(comparison(*rows), ax=ax)
    assert ax.get_xscale() == "symlog"
    low, high = ax.get_xlim()
    assert low < -100
    assert high > 200


def test_what_is_not_finite_is_named(ax, is_drawn):
    nothing = (math.nan, math.nan, math.nan)
    plot_gradients(comparison(nothing, (1.0, -1.0, 2.0)), ax=ax)
    assert texts(ax) == ["not finite"]
    is_drawn(plot_gradients(comparison(nothing)))


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(DataError, match="the result of compare_gradients, got list"):
        plot_gradients([])
    with pytest.raises(DataError, match="must be bias, noise or time, got 'cost'"):
        plot_gradients(comparison(*POSITIVE), "cost")
