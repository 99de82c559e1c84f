"""Ranks in their band, and the tails of importance weights."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.colors import to_hex

from pyro_vae.core.errors import DataError
from pyro_vae.plots import plot_calibration, plot_importance_weights
from pyro_vae.plots.style import BLUE

AT = np.linspace(0.1, 0.9, 9)
EVEN = (np.arange(200) + 0.5) / 200


def calibration(ranks, failures=(), **changes):
    return SimpleNamespace(**{
        "names": list(ranks), "ranks": np.stack(list(ranks.values()), -1),
        "failures": list(failures), "p_values": dict.fromkeys(ranks, 1e-09),
        "band": (AT, AT - 0.1, AT + 0.1), "threshold": 0.7,
        "pareto_k": {"simulated": [0.1, -np.inf, 0.3], "given": [0.9, np.inf]},
    } | changes)  # fmt: skip


def test_ranks_that_are_not_uniform_are_named_and_the_others_blue(ax, is_drawn):
    found = calibration({"z0": EVEN, "z1": EVEN**2, "z2": EVEN}, ["z1"])
    assert plot_calibration(found, ax=ax) is ax
    assert ax.get_title() == "Calibration of q(z|x): FAILED for 1 of 3 ranks"
    first, _, worst, *_ = ax.lines
    assert to_hex(first.get_color()) == BLUE != to_hex(worst.get_color())
    np.testing.assert_allclose(first.get_ydata(), 0, atol=0.005)
    np.testing.assert_allclose(worst.get_ydata(), np.sqrt(AT) - AT, atol=0.005)
    said = [text.get_text() for text in ax.get_legend().get_texts()]
    assert said == ["band", "not uniform: z1", "uniform: 2 ranks"]
    is_drawn(ax)


def test_of_many_that_fail_six_are_named_and_it_is_said(ax):
    ranks = {f"z{m}": EVEN**2 for m in range(20)}
    plot_calibration(calibration(ranks, ranks), ax=ax)
    assert len(ax.get_legend().get_texts()) == 7
    assert "14 more that are not uniform" in ax.get_xlabel()


def test_every_k_hat_is_drawn_infinite_ones_at_the_ends(ax, is_drawn):
    assert plot_importance_weights(calibration({"z0": EVEN}), ax=ax) is ax
    given, simulated = (patch.get_xy()[:, 1].max() for patch in ax.patches)
    assert max(given, simulated) == 0.5  # one of two
    said = [text.get_text() for text in ax.get_legend().get_texts()]
    assert said == ["simulated: 0.0% above", "given: 100.0% above", "threshold: 0.70"]
    is_drawn(ax)


def test_refusals():
    with pytest.raises(DataError, match="band: expected two arrays of one shape"):
        plot_calibration(calibration({"z0": EVEN}, band=(AT, AT[1:], AT)))
    for draw in (plot_calibration, plot_importance_weights):
        with pytest.raises(DataError, match="the result of calibrate, got list"):
            draw([0.1, 0.2])
