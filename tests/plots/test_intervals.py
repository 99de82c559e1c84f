import math

import pytest
from matplotlib.colors import to_hex

from pyro_vae.core.errors import DataError
from pyro_vae.plots.intervals import Z_CRIT, agrees, forest
from pyro_vae.plots.style import BAD, BLUE, Picture
from pyro_vae.report.estimate import Estimate

NAN = math.nan


@pytest.mark.parametrize(
    ("difference", "z", "verdict"),
    [
        pytest.param(Estimate(0.03, 0.02), 1.5, True, id="within"),
        pytest.param(Estimate(-Z_CRIT, 1.0), -Z_CRIT, True, id="at the edge"),
        pytest.param(Estimate(-0.5, 0.1), -5.0, False, id="beyond"),
        pytest.param(Estimate(0.0, 0.0), NAN, True, id="exact and equal"),
        pytest.param(Estimate(1e-7, 0.0), NAN, False, id="exact and not"),
        pytest.param(Estimate(NAN, 0.1), NAN, False, id="not finite"),
        pytest.param(Estimate(0.1, NAN), NAN, False, id="no error"),
        pytest.param(Estimate(math.inf, 0.1), NAN, False, id="infinite"),
    ],
)
def test_difference(difference, z, verdict):
    assert difference.z == pytest.approx(z, nan_ok=True)
    assert agrees(difference) is verdict


def test_a_given_verdict_holds_over_the_standard_error():
    rows = {"equal but for rounding": Estimate(1e-7, 0.0), "not": Estimate(1e-7, 0.0)}
    drawn = dots(forest(rows, verdicts={"equal but for rounding": True}))
    assert [to_hex(dot.get_color()) for dot in drawn] == [BLUE, BAD]


def test_into_the_callers_axes():
    picture = Picture(9, 3)
    left, right = picture.subplots(1, 2)
    assert forest({"a": Estimate(0.0, 1.0)}, ax=right) is picture
    assert (len(left.lines), right.get_title(loc="left")) == (0, "Differences between methods")


def dots(picture):
    return [line for line in picture.axes[0].lines if line.get_marker() not in {"None", "|"}]


def test_a_dot_a_row_red_if_it_does_not_agree(is_drawn):
    rows = {
        "within": Estimate(0.03, 0.02),
        "beyond": Estimate(-0.5, 0.1),
        "far beyond": Estimate(5.0, 0.01),
        "exact": Estimate(0.0, 0.0),
        "not finite": Estimate(NAN, 0.1),
    }
    picture = forest(rows)
    drawn = dots(picture)
    assert [dot.get_marker() for dot in drawn] == ["o", "o", ">", "D", "X"]
    assert [to_hex(dot.get_color()) for dot in drawn] == [BLUE, BAD, BAD, BLUE, BAD]
    assert drawn[0].get_xdata() == [1.5]
    assert picture.axes[0].get_xlabel() == "difference in standard errors (z)"
    assert [label.get_text() for label in picture.axes[0].get_yticklabels()] == list(rows)
    is_drawn(picture)


def test_the_numbers_stand_beside():
    rows = {"a": Estimate(-0.03, 0.02), "b": Estimate(1e-7, 0), "c": Estimate(NAN, 1)}
    said = [text.get_text() for text in forest(rows).axes[0].texts]
    assert said == [
        "\N{MINUS SIGN}0.030 ± 0.020", "\N{MINUS SIGN}1.5",
        "1.0e\N{MINUS SIGN}07", "—",
        "not finite", "—",
        "difference (nats per datum)", "z",
    ]  # fmt: skip


def test_the_critical_band_is_shaded():
    picture = forest({"a": Estimate(0.0, 1.0)}, critical=3.0)
    band = picture.axes[0].patches[0]
    assert band.get_x() == -3.0
    assert band.get_width() == 6.0
    assert "within 3 standard errors" in picture.texts[0].get_text()


def test_the_rows_read_from_top_to_bottom():
    bottom, top = forest({"a": Estimate(0.0, 1.0), "b": Estimate(0.0, 1.0)}).axes[0].get_ylim()
    assert bottom > top


def test_no_rows():
    with pytest.raises(DataError, match="nothing to draw"):
        forest({})


def test_in_units_the_axis_is_the_difference_itself():
    rows = {"a": Estimate(0.5, 0.1), "b": Estimate(-0.1, 0.2), "c": Estimate(math.nan, 0.1)}
    axes = forest(rows, 1.96, unit="nats", in_units=True).axes[0]
    assert axes.get_xlabel() == "difference (nats)"
    points = [line for line in axes.lines if line.get_marker() == "o"]
    assert [point.get_xdata()[0] for point in points] == [0.5, -0.1]
    assert points[0].get_color() != points[1].get_color()
    low, high = axes.get_xlim()
    assert low == -high
    assert high >= 0.5 + 1.96 * 0.1
    assert any("not finite" in text.get_text() for text in axes.texts)
