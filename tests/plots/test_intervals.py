"""Rows of an audit and of a comparison: what is drawn, and what is said of the rest."""

import math
from types import SimpleNamespace

import pytest
from matplotlib.colors import to_hex

from pyro_vae.auditing.checks import Check, finding
from pyro_vae.core.errors import DataError
from pyro_vae.plots import plot_audit, plot_comparison
from pyro_vae.plots.style import BAD, BLUE
from pyro_vae.report.estimate import Estimate

NAN = math.nan


def check(z=0.0, worst=0.0, method="m", critical=4.0, **more):
    found = Check("kl", method, 1.0, "r", Estimate(0.0, 1.0), z=z, worst_z=worst, **more)
    found.judge(critical)
    return found


def audit(*checks):
    return SimpleNamespace(checks=list(checks), critical=4.0)


def dots(ax):
    return [line for line in ax.lines if line.get_marker() not in {"None", "|"}]


def test_a_dot_a_row_and_another_one_where_it_disagrees(ax, is_drawn):
    rows = audit(
        check(1.5, -2.0),
        check(-5.0, -6.0),
        check(0.5, 30.0),
        check(NAN, NAN),
        check(relative=1e-9, tolerance=1e-6),
        check(relative=1e-3, tolerance=1e-6),
    )
    assert plot_audit(rows, ax=ax) is ax
    drawn = dots(ax)
    assert [dot.get_marker() for dot in drawn] == ["o", "s", ">", "s", ">", "D", "X"]
    colours = [BLUE, BAD, BAD, BAD, BAD, BLUE, BAD]
    assert [to_hex(dot.get_color()) for dot in drawn] == colours
    assert drawn[0].get_xdata() == [1.5]
    worst = [line.get_xdata()[1] for line in ax.lines if line.get_marker() == "|"]
    assert worst[:2] == [-2.0, -6.0]
    assert ax.get_title() == "Audit: 4 of 6 rows DISAGREE"
    is_drawn(ax)


def test_a_statement_stands_there_if_it_fails(ax):
    held, failed = finding("plates", "as declared", []), finding("plates", "", ["one is missing"])
    failed.judge(4.0)
    plot_audit(audit(check(), held, failed), ax=ax)
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names == ["kl: m", "plates: one is missing"]
    assert dots(ax)[-1].get_marker() == "X"


def test_the_critical_band_is_shaded_and_rows_read_downwards(ax):
    plot_audit(audit(check(), check()), ax=ax)
    (band,) = ax.patches
    assert (band.get_x(), band.get_width()) == (-4.0, 8.0)
    bottom, top = ax.get_ylim()
    assert bottom > top


def comparison(**gaps):
    return SimpleNamespace(differences={"elbo": gaps}, reference="first", confidence=0.95)


def test_differences_of_models_stand_with_their_intervals(ax, is_drawn):
    gaps = {"a": Estimate(0.5, low=0.25, high=1.0), "b": Estimate(-0.1, 0.2, low=-0.5, high=0.3),
            "c": Estimate(NAN, 0.1)}  # fmt: skip
    assert plot_comparison(comparison(**gaps), ax=ax) is ax
    apart, touching = [line for line in ax.lines if line.get_marker() == "o"]
    assert (apart.get_xdata()[0], touching.get_xdata()[0]) == (0.5, -0.1)
    assert apart.get_markerfacecolor() != "none" == touching.get_markerfacecolor()
    (segment,) = ax.collections[0].get_segments()
    assert segment[:, 0].tolist() == [0.25, 1.0]
    low, high = ax.get_xlim()
    assert low == -high
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names[2] == "c: elbo\nnot finite"
    assert names[1] == "b: elbo\n\N{MINUS SIGN}0.10 ± 0.20"
    is_drawn(ax)


def test_other_results_are_refused():
    with pytest.raises(DataError, match="the result of audit_elbo or audit, got dict"):
        plot_audit({})
    with pytest.raises(DataError, match="the result of compare, got dict"):
        plot_comparison({})
