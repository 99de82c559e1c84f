"""Estimates with their intervals: an audit's rows, models and gradient estimators compared."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray

from pyro_vae.plots.style import (
    BAD,
    BLUE,
    GREY,
    STYLES,
    axes_of,
    choice,
    ink,
    minus,
    name_rows,
    note,
    part_of,
    plain_ticks,
    styled,
)

__all__ = ["Quantity", "plot_audit", "plot_comparison", "plot_gradients"]


@styled
def plot_audit(audit: Any, *, title: str | None = None, ax: Axes | None = None) -> Axes:
    """What an audit compares: each difference in its standard errors, in the critical band.

    The bar beside a dot ends at the row's worst z-score. A row that disagrees is red, its dot a
    square; one beyond the axis is an arrow at its edge; values that must be equal to rounding are
    a hollow diamond, a cross if they are not. A statement about the program stands there only if
    it fails.

    Args:
        audit: From :func:`~pyro_vae.audit_elbo` or :func:`~pyro_vae.audit`.
        title: Above the plot; the verdict without it.
        ax: Where to draw; a new figure without it.

    Raises:
        DataError: if it is another result.
    """
    checks = part_of(audit, "checks", "audit_elbo or audit")
    rows = [check for check in checks if check.problems is None or not check.passed]
    critical = audit.critical
    edge = 1.6 * critical
    ax, _ = axes_of(ax, 8.0, 1.4 + 0.24 * len(rows))
    ax.axvline(0, color=ink(ax), lw=0.9)
    ax.axvspan(-critical, critical, color=BLUE, alpha=0.18, lw=0)
    for place, row in enumerate(rows):
        colour = BLUE if row.passed else BAD
        if row.is_exact or row.problems is not None:
            marker, face = ("D", "none") if row.passed else ("X", BAD)
            ax.plot(0, place, marker, color=colour, mfc=face, ms=6, zorder=4)
        else:
            _z_score(ax, place, (row.z, row.worst_z), edge, colour, "o" if row.passed else "s")
    failed = sum(not check.passed for check in checks)
    said = (
        f"{failed} of {len(checks)} rows DISAGREE" if failed else f"all {len(checks)} rows agree"
    )
    ax.set(xlim=(-edge, edge), xlabel="difference in standard errors (z)")
    ax.set_title(f"Audit: {said}" if title is None else title)
    name_rows(ax, [f"{row.quantity}: {row.method}" for row in rows], 0.6)
    ax.tick_params(axis="y", labelsize="small")
    ax.grid(visible=False, axis="y")
    note(ax, f"shaded: |z| up to {critical:.2f}; diamonds: equal to rounding")
    return ax


def _z_score(
    axes: Axes, place: int, scores: tuple[float, float], edge: float, colour: str, marker: str
) -> None:
    """The row's z-score, and a line to its worst."""
    z, worst = (math.copysign(edge, s) if not abs(s) < edge else s for s in scores)
    axes.plot([z, worst], [place, place], color=colour, lw=1.2, marker="|", ms=5)
    beyond = max(scores, key=abs)
    if not abs(beyond) < edge:
        side = math.copysign(1, beyond)
        axes.plot(0.97 * side * edge, place, "<" if side < 0 else ">", color=colour, ms=7)
    if abs(z) < edge:
        axes.plot(z, place, marker, color=colour, ms=5.5, zorder=4)


@styled
def plot_comparison(comparison: Any, *, title: str | None = None, ax: Axes | None = None) -> Axes:
    """How models differ from the first, in nats per datum, with confidence intervals.

    A row whose interval contains 0 is hollow.

    Args:
        comparison: From :func:`~pyro_vae.compare`.
        title: Above the plot.
        ax: Where to draw; a new figure without it.

    Raises:
        DataError: if it is another result.
    """
    differences = part_of(comparison, "differences", "compare")
    rows = {f"{name}: {quantity}": gap for quantity, gaps in differences.items()
            for name, gap in gaps.items()}  # fmt: skip
    ax, _ = axes_of(ax, 8.0, 1.5 + 0.36 * len(rows))
    ax.axvline(0, color=ink(ax), lw=0.9)
    for place, row in enumerate(rows.values()):
        low, high = row.interval
        if math.isfinite(low) and math.isfinite(high):
            apart = not low <= 0 <= high
            ax.errorbar(row.value, place, xerr=[[row.value - low], [high - row.value]], fmt="o",
                        ms=5.5, color=BLUE if apart else GREY, mfc=None if apart else "none",
                        elinewidth=1.4)  # fmt: skip
    widest = max(abs(edge) for edge in ax.get_xlim())
    ax.set(xlim=(-widest, widest), xlabel="difference (nats per datum)")
    by_default = f"Difference from {comparison.reference}, {comparison.confidence:.0%} intervals"
    ax.set_title(by_default if title is None else title)
    said = (f"{name}\n{row if math.isfinite(row.value) else 'not finite'}"
            for name, row in rows.items())  # fmt: skip
    name_rows(ax, [minus(text) for text in said], 0.6)
    ax.grid(visible=False, axis="y")
    note(ax, "hollow: the interval contains 0")
    return ax


Quantity = Literal["bias", "noise", "time"]
_QUANTITIES: dict[str, tuple[str, str, float]] = {
    "bias": ("relative_bias", "bias, in % of the gradient", 100.0),
    "noise": ("noise", "noise, in lengths of the gradient", 1.0),
    "time": ("seconds", "ms a gradient", 1e3),
}


@styled
def plot_gradients(
    found: Any,
    quantity: Quantity = "noise",
    *,
    group: str = "all",
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """The bias, the noise or the cost of each gradient estimator, a dot with its interval.

    The color and the marker are those of the bound. A bias has a zero line, and an axis that is
    linear around 0 and logarithmic beyond if its intervals differ more than tenfold. The others
    have an axis from 0, or a logarithmic one if they span more than a factor of four, with exact
    zeros as hollow diamonds at the left edge. What is not finite is left out and labelled.

    Args:
        found: From :func:`~pyro_vae.compare_gradients`.
        quantity: ``bias``, ``noise`` or ``time``.
        group: Of parameters, one of ``found.groups``.
        title: Above the plot.
        ax: Where to draw; a new figure without it.

    Raises:
        DataError: if it is another result, or if there is no such quantity or group.
    """
    choice("quantity", quantity, _QUANTITIES)
    rows = part_of(found, "of", "compare_gradients")(group)
    attribute, label, unit = _QUANTITIES[quantity]
    estimates = [getattr(row, attribute).times(unit) for row in rows]
    ax, _ = axes_of(ax, 6.4, 1.4 + 0.28 * len(rows))
    bounds = list(dict.fromkeys(row.bound for row in rows))
    styles = [STYLES[bounds.index(row.bound) % len(STYLES)] for row in rows]
    _panel(ax, np.array([[e.value, *e.interval] for e in estimates]), styles)
    ax.set(xlabel=label, title=f"{group} parameters" if title is None else title)
    name_rows(ax, [row.name for row in rows])
    return ax


def _panel(axes: Axes, values: NDArray[np.float64], styles: Sequence[tuple[str, str]]) -> None:
    finite = np.asarray(np.isfinite(values).all(axis=1))
    signed = bool((values[finite] < 0).any())
    shown = np.asarray(finite & (signed | (values[:, 0] > 0)))
    _scale(axes, values[shown], signed)
    edge = axes.get_yaxis_transform()
    for place, ((value, low, high), style) in enumerate(zip(values, styles, strict=True)):
        colour, marker = style
        if shown[place]:
            spread = [[max(value - low, 0.0)], [max(high - value, 0.0)]]
            axes.errorbar(
                value, place, xerr=spread, fmt=marker, ms=5, color=colour, elinewidth=1.5
            )
        elif finite[place]:
            axes.plot(0.02, place, "D", color=colour, mfc="none", ms=6, transform=edge)
            axes.text(0.06, place, "0", transform=edge, va="center", color=ink(axes))
        else:
            axes.text(0.03, place, "not finite", transform=edge, va="center", color=GREY,
                      fontsize=7.5)  # fmt: skip


def _scale(axes: Axes, values: NDArray[np.float64], signed: bool) -> None:
    if not values.size:
        return
    low, high = float(values[:, 1].min()), float(values[:, 2].max())
    if signed:
        axes.axvline(0, color=ink(axes), lw=0.9)
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
