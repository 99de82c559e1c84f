"""Panels of intervals: what is drawn, and what is said of the rest."""

import math

import pytest

from pyro_vae.core.errors import DataError
from pyro_vae.plots import gradient_panels
from pyro_vae.report.estimate import Estimate


def estimates(*rows):
    return [Estimate(value, low=low, high=high) for value, low, high in rows]


NAMES = ["ELBO: one", "ELBO: two", "IWAE: one"]
SIGNED = estimates((0.1, -0.2, 0.4), (-0.3, -0.5, -0.1), (0.0, 0.0, 0.0))
POSITIVE = estimates((0.1, 0.05, 0.2), (0.0, 0.0, 0.0), (30.0, 20.0, 40.0))


def texts(axes):
    return [text.get_text() for text in axes.texts]


def test_a_panel_for_each_quantity_and_a_row_for_each_name():
    picture = gradient_panels(NAMES, {"bias": SIGNED, "noise": POSITIVE}, remark="95% intervals")
    bias, noise = picture.axes
    assert [tick.get_text() for tick in bias.get_yticklabels()] == NAMES
    assert bias.get_xlabel() == "bias"
    assert len(bias.containers) == 3
    assert bias.get_xscale() == "linear"
    assert noise.get_xscale() == "log"
    assert len(noise.containers) == 2
    assert texts(noise) == ["0"]  # of no noise at all
    low, high = noise.get_xlim()
    assert low < 0.05 < 40 < high
    assert len(picture._repr_png_()) > 1000


def test_one_colour_for_each_bound():
    axes = gradient_panels(NAMES, {"bias": SIGNED}).axes[0]
    colours = [container.lines[0].get_color() for container in axes.containers]
    assert colours[0] == colours[1] != colours[2]


def test_a_narrow_range_begins_at_0():
    axes = gradient_panels(["a", "b"], {"ms": estimates((8, 7, 9), (9, 8, 10))}).axes[0]
    assert axes.get_xscale() == "linear"
    assert axes.get_xlim()[0] == 0


def test_intervals_of_very_different_widths_are_all_seen():
    rows = estimates((0.01, -0.01, 0.03), (0.0, -0.02, 0.02), (50.0, -100.0, 200.0))
    axes = gradient_panels(NAMES, {"bias": rows}).axes[0]
    assert axes.get_xscale() == "symlog"
    low, high = axes.get_xlim()
    assert low < -100
    assert high > 200


def test_what_is_not_finite_is_named():
    nothing = (math.nan, math.nan, math.nan)
    axes = gradient_panels(["a", "b"], {"bias": estimates(nothing, (1.0, -1.0, 2.0))}).axes[0]
    assert texts(axes) == ["not finite"]
    assert gradient_panels(["a"], {"bias": estimates(nothing)})._repr_png_()


@pytest.mark.parametrize(
    ("names", "panels", "message"),
    [
        ([], {"bias": SIGNED}, "nothing to draw"),
        (NAMES, {}, "nothing to draw"),
        (NAMES, {"bias": SIGNED[:2]}, "bias: expected .* each of 3 names, got 2"),
    ],
)
def test_what_cannot_be_drawn_is_refused(names, panels, message):
    with pytest.raises(DataError, match=message):
        gradient_panels(names, panels)
