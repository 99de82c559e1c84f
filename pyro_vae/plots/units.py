"""Dimensions of the code, as bars: how far the data move each, and what each costs."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

from pyro_vae.plots.style import BLUE, GREY, INK, Picture, as_array, note, styled

__all__ = ["unit_bars"]

_FLOOR = 1e-6  # the least variance that is drawn on the logarithmic axis
_MOST_NAMED = 40


@styled
def unit_bars(
    variance: ArrayLike,
    threshold: float,
    kl: ArrayLike | None = None,
    *,
    title: str = "Active units",
) -> Picture:
    """The variance of E_q[z] of each dimension against a threshold, and its KL below.

    The greatest variance stands first. A variance below 1e-6 is drawn at 1e-6, and counted.

    Args:
        variance: Over x, ``(M,)``.
        threshold: Above it a unit is active.
        kl: Of each dimension in nats per datum, ``(M,)``; None leaves its panel out.
        title: Above the plot.

    Raises:
        DataError: if there is nothing to draw.

    Example:
        >>> picture = unit_bars([0.9, 1e-4], 0.01, [2.0, 0.001])
        >>> [axes.get_ylabel() for axes in picture.axes]
        ['variance of E_q[z] over x', 'KL (nats per datum)']
    """
    values = as_array(variance, "variance")
    order = np.argsort(-values)
    costs = None if kl is None else as_array(kl, "kl")[order]
    values = values[order]
    rows = 1 if costs is None else 2
    picture = Picture(min(max(5.0, 2.0 + 0.22 * len(values)), 12.0), 1.2 + 1.9 * rows)
    panels = picture.subplots(rows, 1, sharex=True, squeeze=False).ravel()
    places = np.arange(len(values))
    colours = [BLUE if value > threshold else GREY for value in values]
    panels[0].bar(places, np.maximum(values, _FLOOR), color=colours, width=0.7)
    panels[0].axhline(threshold, color=INK, lw=0.9, ls="--")
    panels[0].set(yscale="log", ylabel="variance of E_q[z] over x", title=title)
    panels[0].set_ylim(
        bottom=min(_FLOOR if (values < _FLOOR).any() else values.min(), threshold) / 2
    )
    panels[0].grid(visible=False, axis="x")
    if costs is not None:
        panels[1].bar(places, costs, color=colours, width=0.7)
        panels[1].set(ylabel="KL (nats per datum)")
    _name_dimensions(panels[-1], order)
    said = [f"dashed: the threshold, {threshold:g}; grey: inactive"]
    low = int((values < _FLOOR).sum())
    said += [f"{low} below {_FLOOR:g}, drawn there"] if low else []
    note(picture, "; ".join(said))
    return picture


def _name_dimensions(axes: Axes, order: NDArray[np.int64]) -> None:
    step = -(-len(order) // _MOST_NAMED)
    places = np.arange(0, len(order), step)
    axes.set_xticks(places, [str(order[place]) for place in places])
    axes.grid(visible=False, axis="x")
    axes.set_xlabel("dimension of the code, by variance")
