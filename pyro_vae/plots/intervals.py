"""Estimates with their intervals: differences against 0, and estimators side by side."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray

from pyro_vae.core.errors import DataError
from pyro_vae.plots.style import (
    BAD,
    BLUE,
    GREY,
    INK,
    ORANGE,
    Picture,
    axes_or_new,
    heading,
    minus,
    name_rows,
    note,
    panels,
    plain_ticks,
    styled,
)
from pyro_vae.report.estimate import Estimate
from pyro_vae.report.numbers import MISSING

__all__ = ["Z_CRIT", "agrees", "forest", "gradient_panels"]

Z_CRIT = 4.42  # two-sided normal quantile: one false alarm in 1e5 comparisons


def agrees(difference: Estimate, critical: float = Z_CRIT) -> bool:
    """Whether a difference is compatible with 0; one that is not finite never is.

    Exact values, whose standard error is 0, must be equal.
    """
    if difference.stderr == 0:
        return difference.value == 0
    return abs(difference.z) <= critical


@styled
def forest(
    rows: Mapping[str, Estimate],
    critical: float = Z_CRIT,
    title: str = "Differences between methods",
    unit: str = "nats per datum",
    *,
    in_units: bool = False,
    verdicts: Mapping[str, bool] | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Differences against 0: in standard errors, to see which agree, or in their own unit.

    In standard errors, each interval is one standard error either way and the critical band is
    shaded. A row that disagrees is red; one beyond the axis is an arrow at its edge; exact values
    are a hollow diamond. In units, the interval is the row's own, or ``critical`` standard
    errors either way, and a row whose interval contains 0 is grey.

    Args:
        rows: The differences by name, from top to bottom.
        critical: Half the width of the band, or of each interval, in standard errors.
        title: Above the plot.
        unit: Of the differences, written out at the right.
        in_units: Draw the differences in their unit.
        verdicts: Whether a row agrees, by name, where the standard error does not decide.
        ax: Where to draw; a new figure without it.

    Raises:
        DataError: if there are no rows.

    Example:
        >>> forest({"KL": Estimate(0.03, 0.02)}).axes[0].get_xlabel()
        'difference in standard errors (z)'
    """
    if not rows:
        raise DataError("rows: nothing to draw, there are none")
    picture, axes = axes_or_new(ax, 9.0, 1.5 + 0.3 * len(rows))
    axes.axvline(0, color=INK, lw=0.9)
    if not in_units:
        axes.axvspan(-critical, critical, color=BLUE, alpha=0.09, lw=0)
    for place, (name, row) in enumerate(rows.items()):
        agreed = (verdicts or {}).get(name, agrees(row, critical))
        if in_units:
            _interval(axes, place, row, critical)
        else:
            _z_score(axes, place, row, 1.6 * critical, BLUE if agreed else BAD)
        z = MISSING if math.isnan(row.z) else f"{row.z:+.1f}"
        _columns(axes, place, _difference(row), z, INK if agreed or in_units else BAD)
    if in_units:
        widest = max(abs(edge) for edge in axes.get_xlim())
        axes.set(xlim=(-widest, widest), xlabel=f"difference ({unit})")
        known = all(row.high is not None for row in rows.values())
        width = "" if known else f"intervals: {critical:.3g} standard errors either way; "
        note(picture, f"{width}grey: the interval contains 0")
    else:
        axes.set(xlim=(-1.6 * critical, 1.6 * critical))
        axes.set_xlabel("difference in standard errors (z)")
        note(picture, f"shaded: within {critical:g} standard errors of 0")
    axes.set_title(title)
    name_rows(axes, list(rows), 0.6)
    axes.grid(visible=False, axis="y")
    _columns(axes, -0.85, f"difference ({unit})", "z", GREY)
    return picture


def _interval(axes: Axes, place: int, row: Estimate, critical: float) -> None:
    if math.isfinite(row.value) and math.isfinite(row.stderr):
        half = critical * row.stderr if row.high is None else row.high - row.value
        colour = BLUE if row.value and not abs(row.value) <= half else GREY
        axes.errorbar(row.value, place, xerr=half, fmt="o", color=colour, ms=5.5, elinewidth=1.4)


def _z_score(axes: Axes, place: int, row: Estimate, edge: float, colour: str) -> None:
    if math.isnan(row.z):
        lost = not math.isfinite(row.value) or not math.isfinite(row.stderr)
        marker, face = ("X", colour) if lost else ("D", "white")
        axes.plot(0, place, marker, color=colour, mfc=face, ms=6, zorder=4)
    elif abs(row.z) > edge:
        side = math.copysign(1, row.z)
        axes.plot(0.97 * side * edge, place, "<" if side < 0 else ">", color=colour, ms=7)
    else:
        axes.errorbar(row.z, place, xerr=1, fmt="o", color=colour, ms=5.5, elinewidth=1.4)


def _columns(axes: Axes, place: float, difference: str, z: str, colour: str) -> None:
    """Two columns of text to the right of the axes."""
    for text, points in ((difference, 110), (z, 150)):
        axes.annotate(
            minus(text), (1, place), xytext=(points, 0), xycoords=("axes fraction", "data"),
            textcoords="offset points", ha="right", va="center", fontsize=8, color=colour,
        )  # fmt: skip


def _difference(row: Estimate) -> str:
    if not math.isfinite(row.value) or not math.isfinite(row.stderr):
        return "not finite"
    return f"{row.value:.1e}" if row.stderr == 0 and row.value else str(row)


@styled
def gradient_panels(
    names: Sequence[str],
    quantities: Mapping[str, Sequence[Estimate]],
    *,
    title: str = "Gradient estimators",
    remark: str = "",
) -> Picture:
    """A panel for each quantity, a row for each estimator, a dot with its interval.

    A quantity of both signs has a zero line, and an axis that is linear around 0 and logarithmic
    beyond if its intervals differ more than tenfold. A positive one has an axis from 0, or a
    logarithmic one if it spans more than a factor of four, with exact zeros as hollow diamonds at
    the left edge. What is not finite is left out and labelled.

    Args:
        names: Of the estimators, from top to bottom; the part before a colon sets the colour.
        quantities: By name, an estimate with its interval for each estimator.
        title: Above the plot.
        remark: In small print.

    Raises:
        DataError: if there is nothing to draw, or a panel has not one estimate for each name.

    Example:
        >>> rows = [Estimate(0.1, low=-0.2, high=0.4), Estimate(-0.3, low=-0.5, high=-0.1)]
        >>> len(gradient_panels(["a", "b"], {"bias": rows, "time": rows}).axes)
        2
    """
    if not names or not quantities:
        raise DataError("names, quantities: nothing to draw, there are none")
    bounds = [name.partition(":")[0] for name in names]
    first, count = bounds[0], len(quantities)
    colours = [BLUE if bound == first else ORANGE for bound in bounds]
    height = 0.7 + 0.32 * len(names)
    picture, drawn = panels(count, count, 2.6 + 3.0 * count, height, sharey=True)
    for axes, (name, rows) in zip(drawn, quantities.items(), strict=True):
        if len(rows) != len(names):
            raise DataError(
                f"{name}: expected an estimate for each of {len(names)} names, got {len(rows)}"
            )
        _panel(axes, np.array([[row.value, *row.interval] for row in rows]), colours)
        axes.set_xlabel(name)
        name_rows(axes, names)
    heading(picture, title)
    note(picture, remark)
    return picture


def _panel(axes: Axes, values: NDArray[np.float64], colours: Sequence[str]) -> None:
    finite = np.asarray(np.isfinite(values).all(axis=1))
    signed = bool((values[finite] < 0).any())
    shown = np.asarray(finite & (signed | (values[:, 0] > 0)))
    _scale(axes, values[shown], signed)
    edge = axes.get_yaxis_transform()
    for place, ((value, low, high), colour) in enumerate(zip(values, colours, strict=True)):
        if shown[place]:
            spread = [[max(value - low, 0.0)], [max(high - value, 0.0)]]
            axes.errorbar(value, place, xerr=spread, fmt="o", ms=5, color=colour, elinewidth=1.5)
        elif finite[place]:
            axes.plot(0.02, place, "D", color=colour, mfc="white", ms=6, transform=edge)
            axes.text(0.06, place, "0", transform=edge, va="center")
        else:
            axes.text(0.03, place, "not finite", transform=edge, va="center", color=GREY,
                      fontsize=7.5)  # fmt: skip


def _scale(axes: Axes, values: NDArray[np.float64], signed: bool) -> None:
    if not values.size:
        return
    low, high = float(values[:, 1].min()), float(values[:, 2].max())
    if signed:
        axes.axvline(0, color=INK, lw=0.9)
        reach = float(np.abs(values).max())
        near = max(float(np.median(values[:, 2] - values[:, 1])), reach * 1e-3)
        if reach > 10 * near:
            axes.set_xscale("symlog", linthresh=10.0 ** math.floor(math.log10(near)))
        axes.set_xlim(-1.3 * reach, 1.3 * reach)
    elif high < 4 * low:
        axes.set_xlim(0, 1.15 * high)
    else:
        axes.set_xscale("log")
        axes.set_xlim(low / 1.6, high * 1.6)
        plain_ticks(axes.xaxis)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: minus(f"{value:g}")))
