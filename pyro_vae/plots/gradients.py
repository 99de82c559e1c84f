"""Panels of intervals side by side: what each estimator's bias, noise and cost are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator
from numpy.typing import NDArray

from pyro_vae.core.errors import DataError
from pyro_vae.plots.style import (
    BLUE,
    GREY,
    INK,
    ORANGE,
    Picture,
    as_array,
    minus,
    note,
    styled,
)

__all__ = ["gradient_panels"]

Floats = NDArray[np.float64]
_COLOURS = (BLUE, ORANGE)


@styled
def gradient_panels(
    names: Sequence[str],
    panels: Mapping[str, Sequence[tuple[float, float, float]]],
    *,
    title: str = "Gradient estimators",
    remark: str = "",
) -> Picture:
    """A panel for each quantity, a row for each estimator, a dot with its interval.

    A quantity that takes both signs has a zero line, and where its intervals differ by more than
    ten times an axis that is linear around 0 and logarithmic beyond. One that is positive has an
    axis from 0, or a logarithmic one where it spans more than four times, and what is 0 stands
    at the left edge as a hollow diamond. What is not finite is left out, and named.

    Args:
        names: Of the estimators, from top to bottom; what stands before a colon has one colour.
        panels: By the quantity's name: value, lower end and upper end for each estimator.
        title: Above the plot.
        remark: In small print.

    Raises:
        DataError: if there is nothing to draw, or a panel has not one interval for each name.

    Example:
        >>> rows = [(0.1, -0.2, 0.4), (-0.3, -0.5, -0.1)]
        >>> len(gradient_panels(["a", "b"], {"bias": rows, "time": [(1, 1, 2), (2, 1, 3)]}).axes)
        2
    """
    if not names or not panels:
        raise DataError("names, panels: nothing to draw, there are none")
    families = list(dict.fromkeys(name.partition(":")[0] for name in names))
    colours = [_COLOURS[families.index(n.partition(":")[0]) % len(_COLOURS)] for n in names]
    picture = Picture(2.6 + 3.0 * len(panels), 1.5 + 0.32 * len(names))
    drawn = picture.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (name, rows) in zip(drawn, panels.items(), strict=True):
        values = as_array(rows, name)
        if values.shape != (len(names), 3):
            raise DataError(
                f"{name}: expected a value and two ends for each of {len(names)} names, got shape "
                f"{values.shape}"
            )
        _panel(axes, values, colours)
        axes.set_xlabel(name)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
    drawn[0].set_ylim(len(names) - 0.5, -0.5)
    drawn[0].set_yticks(range(len(names)), names)
    picture.suptitle(title, x=0.01, ha="left", fontsize=10)
    note(picture, remark)
    return picture


def _panel(axes: Axes, values: Floats, colours: Sequence[str]) -> None:
    finite = np.asarray(np.isfinite(values).all(axis=1))
    signed = bool((values[finite] < 0).any())
    shown = np.asarray(finite & (signed | (values[:, 0] > 0)))
    _scale(axes, values[shown], signed)
    for place, ((value, low, high), colour) in enumerate(zip(values, colours, strict=True)):
        if shown[place]:
            spread = [[max(value - low, 0.0)], [max(high - value, 0.0)]]
            axes.errorbar(value, place, xerr=spread, fmt="o", ms=5, color=colour, elinewidth=1.5)
        elif finite[place]:
            axes.plot(0.02, place, "D", color=colour, mfc="white", ms=6,
                      transform=axes.get_yaxis_transform())  # fmt: skip
            axes.text(0.06, place, "0", transform=axes.get_yaxis_transform(), va="center")
        else:
            axes.text(0.03, place, "not finite", transform=axes.get_yaxis_transform(),
                      va="center", color=GREY, fontsize=7.5)  # fmt: skip


def _scale(axes: Axes, values: Floats, signed: bool) -> None:
    if not values.size:
        return
    if signed:
        axes.axvline(0, color=INK, lw=0.9)
        reach = np.abs(values).max()
        widths = values[:, 2] - values[:, 1]
        near = max(float(np.median(widths)), float(reach) * 1e-3)
        if reach > 10 * near:
            axes.set_xscale("symlog", linthresh=_round(near))
        axes.set_xlim(-1.3 * reach, 1.3 * reach)
    else:
        low, high = float(values[:, 1].min()), float(values[:, 2].max())
        if high < 4 * low:
            axes.set_xlim(0, 1.15 * high)
        else:
            axes.set_xscale("log")
            axes.set_xlim(low / 1.6, high * 1.6)
            _plain_ticks(axes, low / 1.6, high * 1.6)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: minus(f"{value:g}")))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _plain_ticks(axes: Axes, low: float, high: float) -> None:
    """At 1, 2 and 5 of each decade where there are few, at 1 alone where there are many."""
    steps = (1, 2, 5) if high < 50 * low else (1,)
    decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    ticks = [step * 10.0**decade for decade in decades for step in steps]
    axes.set_xticks([tick for tick in ticks if low <= tick <= high])
    axes.xaxis.set_minor_locator(NullLocator())


def _round(value: float) -> float:
    """The power of ten at or below a positive number."""
    return float(10.0 ** np.floor(np.log10(value)))
