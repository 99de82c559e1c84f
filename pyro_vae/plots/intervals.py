"""Differences with their intervals, against the zero that they should be."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes

from pyro_vae.core.errors import DataError
from pyro_vae.plots.style import BAD, BLUE, GREY, INK, Picture, minus, note, styled
from pyro_vae.report.numbers import MISSING, nats

__all__ = ["Z_CRIT", "Difference", "forest"]

Z_CRIT = 4.42  # two-sided normal quantile: one false alarm in 1e5 comparisons


@dataclass(frozen=True)
class Difference:
    """Two methods to one number, and how far they are apart.

    Args:
        name: What was compared.
        value: The one minus the other.
        stderr: Standard error of that; 0 where both are exact.
        agrees: The verdict, where it is not for the standard error to give: without it, exact
            values agree if they are equal, and others if ``z`` is within the critical band.
    """

    name: str
    value: float
    stderr: float
    agrees: bool | None = None

    @property
    def z(self) -> float:
        """The difference in standard errors; NaN where there is no such thing.

        Example:
            >>> Difference("KL", 0.03, 0.02).z, Difference("KL", 0.0, 0.0).z
            (1.5, nan)
        """
        sound = math.isfinite(self.value) and math.isfinite(self.stderr) and self.stderr > 0
        return self.value / self.stderr if sound else math.nan

    def verdict(self, critical: float = Z_CRIT) -> bool:
        """Whether the two methods agree. What is not finite never does."""
        if self.agrees is not None:
            return self.agrees
        return self.value == 0 if self.stderr == 0 else abs(self.z) <= critical


@styled
def forest(
    rows: Sequence[Difference],
    critical: float = Z_CRIT,
    title: str = "Differences between methods",
    unit: str = "nats per datum",
    *,
    in_units: bool = False,
) -> Picture:
    """Differences against 0: in standard errors, to see which agree, or in their own unit.

    In standard errors each has an interval of one either way, and the critical band is shaded. A
    row that does not agree is red; one that lies beyond the axis stands at its edge as an arrow;
    one between exact values is a hollow diamond. In units the interval is of ``critical``
    standard errors either way, and a row whose interval holds 0 is grey.

    Args:
        rows: From top to bottom.
        critical: Half the width of the band, or of each interval, in standard errors.
        title: Above the plot.
        unit: Of the differences, written out at the right.
        in_units: Draw the differences in their unit.

    Raises:
        DataError: if there are no rows.

    Example:
        >>> forest([Difference("KL", 0.03, 0.02)]).axes[0].get_xlabel()
        'difference in standard errors (z)'
    """
    if not rows:
        raise DataError("rows: nothing to draw, there are none")
    picture = Picture(9.0, 1.5 + 0.3 * len(rows))
    axes = picture.subplots()
    axes.axvline(0, color=INK, lw=0.9)
    if in_units:
        _draw_in_units(axes, rows, critical, unit)
        note(picture, f"intervals: {critical:.3g} standard errors either way; grey: holds 0")
    else:
        _draw_in_errors(axes, rows, critical)
        note(picture, f"shaded: within {critical:g} standard errors of 0")
    axes.set(ylim=(len(rows) - 0.4, -0.6), title=title)
    axes.set_yticks(range(len(rows)), [row.name for row in rows])
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    _columns(axes, -0.85, f"difference ({unit})", "z", GREY)
    return picture


def _draw_in_errors(axes: Axes, rows: Sequence[Difference], critical: float) -> None:
    edge = 1.6 * critical
    axes.axvspan(-critical, critical, color=BLUE, alpha=0.09, lw=0)
    for place, row in enumerate(rows):
        _row(axes, place, row, critical, edge)
    axes.set(xlim=(-edge, edge), xlabel="difference in standard errors (z)")


def _draw_in_units(axes: Axes, rows: Sequence[Difference], critical: float, unit: str) -> None:
    for place, row in enumerate(rows):
        z = row.z
        if math.isfinite(row.value) and math.isfinite(row.stderr):
            colour = BLUE if row.value and not abs(z) <= critical else GREY
            axes.errorbar(row.value, place, xerr=critical * row.stderr, fmt="o", color=colour,
                          ms=5.5, elinewidth=1.4)  # fmt: skip
        _columns(axes, place, _difference(row), MISSING if math.isnan(z) else f"{z:+.1f}", INK)
    widest = max((abs(edge) for edge in axes.get_xlim()), default=1.0)
    axes.set(xlim=(-widest, widest), xlabel=f"difference ({unit})")


def _row(axes: Axes, place: int, row: Difference, critical: float, edge: float) -> None:
    colour = BLUE if row.verdict(critical) else BAD
    z = row.z
    if math.isnan(z):
        lost = not math.isfinite(row.value) or not math.isfinite(row.stderr)
        marker, face = ("X", colour) if lost else ("D", "white")
        axes.plot(0, place, marker, color=colour, mfc=face, ms=6, zorder=4)
    elif abs(z) > edge:
        side = math.copysign(1, z)
        axes.plot(0.97 * side * edge, place, "<" if side < 0 else ">", color=colour, ms=7)
    else:
        axes.errorbar(z, place, xerr=1, fmt="o", color=colour, ms=5.5, elinewidth=1.4)
    ink = INK if row.verdict(critical) else BAD
    _columns(axes, place, _difference(row), MISSING if math.isnan(z) else f"{z:+.1f}", ink)


def _columns(axes: Axes, place: float, difference: str, z: str, colour: str) -> None:
    """Two columns of text to the right of the axes."""
    for text, points in ((difference, 110), (z, 150)):
        axes.annotate(
            minus(text),
            (1, place),
            xytext=(points, 0),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            ha="right",
            va="center",
            fontsize=8,
            color=colour,
        )


def _difference(row: Difference) -> str:
    if not math.isfinite(row.value) or not math.isfinite(row.stderr):
        return "not finite"
    return f"{row.value:.1e}" if row.stderr == 0 and row.value else nats(row.value, row.stderr)
