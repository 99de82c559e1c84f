import math

import pytest
from matplotlib.colors import to_hex

from pyro_vae.core.errors import DataError
from pyro_vae.plots.intervals import Z_CRIT, Difference, forest
from pyro_vae.plots.style import BAD, BLUE

NAN = math.nan


@pytest.mark.parametrize(
    ("difference", "z", "verdict"),
    [
        (Difference("within", 0.03, 0.02), 1.5, True),
        (Difference("at the edge", -Z_CRIT, 1.0), -Z_CRIT, True),
        (Difference("beyond", -0.5, 0.1), -5.0, False),
        (Difference("exact and equal", 0.0, 0.0), NAN, True),
        (Difference("exact and not", 1e-7, 0.0), NAN, False),
        (Difference("exact but for rounding", 1e-7, 0.0, agrees=True), NAN, True),
        (Difference("not finite", NAN, 0.1), NAN, False),
        (Difference("no error", 0.1, NAN), NAN, False),
        (Difference("infinite", math.inf, 0.1), NAN, False),
    ],
    ids=lambda value: value.name if isinstance(value, Difference) else None,
)
def test_difference(difference, z, verdict):
    assert difference.z == pytest.approx(z, nan_ok=True)
    assert difference.verdict() is verdict


def dots(picture):
    return [line for line in picture.axes[0].lines if line.get_marker() not in {"None", "|"}]


def test_a_dot_a_row_red_if_it_does_not_agree(is_drawn):
    rows = [
        Difference("within", 0.03, 0.02),
        Difference("beyond", -0.5, 0.1),
        Difference("far beyond", 5.0, 0.01),
        Difference("exact", 0.0, 0.0),
        Difference("not finite", NAN, 0.1),
    ]
    picture = forest(rows)
    drawn = dots(picture)
    assert [dot.get_marker() for dot in drawn] == ["o", "o", ">", "D", "X"]
    assert [to_hex(dot.get_color()) for dot in drawn] == [BLUE, BAD, BAD, BLUE, BAD]
    assert drawn[0].get_xdata() == [1.5]
    assert picture.axes[0].get_xlabel() == "difference in standard errors (z)"
    assert [label.get_text() for label in picture.axes[0].get_yticklabels()] == [
        row.name for row in rows
    ]
    is_drawn(picture)


def test_the_numbers_stand_beside():
    rows = [Difference("a", -0.03, 0.02), Difference("b", 1e-7, 0), Difference("c", NAN, 1)]
    said = [text.get_text() for text in forest(rows).axes[0].texts]
    assert said == [
        "\N{MINUS SIGN}0.030 ± 0.020", "\N{MINUS SIGN}1.5",
        "1.0e\N{MINUS SIGN}07", "—",
        "not finite", "—",
        "difference (nats per datum)", "z",
    ]  # fmt: skip


def test_the_critical_band_is_shaded():
    picture = forest([Difference("a", 0.0, 1.0)], critical=3.0)
    band = picture.axes[0].patches[0]
    assert band.get_x() == -3.0
    assert band.get_width() == 6.0
    assert "within 3 standard errors" in picture.texts[0].get_text()


def test_the_rows_read_from_top_to_bottom():
    bottom, top = forest([Difference("a", 0.0, 1.0), Difference("b", 0.0, 1.0)]).axes[0].get_ylim()
    assert bottom > top


def test_no_rows():
    with pytest.raises(DataError, match="nothing to draw"):
        forest([])


def test_in_units_the_axis_is_the_difference_itself():
    rows = [Difference("a", 0.5, 0.1), Difference("b", -0.1, 0.2), Difference("c", math.nan, 0.1)]
    axes = forest(rows, 1.96, unit="nats", in_units=True).axes[0]
    assert axes.get_xlabel() == "difference (nats)"
    points = [line for line in axes.lines if line.get_marker() == "o"]
    assert [point.get_xdata()[0] for point in points] == [0.5, -0.1]
    assert points[0].get_color() != points[1].get_color()
    low, high = axes.get_xlim()
    assert low == -high
    assert high >= 0.5 + 1.96 * 0.1
    assert any("not finite" in text.get_text() for text in axes.texts)
