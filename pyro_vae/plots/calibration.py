"""Ranks against their bands, and the tails of importance weights."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from pyro_vae.core.errors import DataError
from pyro_vae.plots.style import (
    BAD,
    BLUE,
    GREY,
    INK,
    ORANGE,
    Picture,
    as_array,
    heading,
    minus,
    note,
    panels,
    same_shape,
    styled,
)

__all__ = ["calibration_panels"]

_MOST = 7  # panels of ranks


@styled
def calibration_panels(
    ranks: Mapping[str, ArrayLike],
    band: tuple[ArrayLike, ArrayLike, ArrayLike],
    khats: Mapping[str, ArrayLike],
    threshold: float,
    *,
    title: str = "Calibration",
) -> Picture:
    """The ECDF of each rank less the uniform one, in its band, and histograms of Pareto k-hat.

    An ECDF that leaves the band is red. Values of k-hat below -0.5 or above 1.5, infinite ones
    too, are drawn at these ends.

    Args:
        ranks: Ranks between 0 and 1, by what is ranked; the first seven are drawn.
        band: Points u, and the least and the greatest ECDF at each, each ``(G,)``.
        khats: Pareto k-hat of each datum, ``(N,)``, by whose data they are.
        threshold: Of k-hat.
        title: Above the plot.

    Raises:
        DataError: if there is nothing to draw, or the band's parts differ in shape.

    Example:
        >>> u = np.linspace(0.1, 0.9, 9)
        >>> picture = calibration_panels({"z0": u}, (u, u - 0.3, u + 0.3), {"simulated": u}, 0.7)
        >>> [axes.get_title("left") for axes in picture.axes]
        ['z0', 'Pareto k-hat']
    """
    if not ranks or not khats:
        raise DataError("ranks, khats: nothing to draw, there are none")
    at, low = same_shape(band[0], band[1], "band", "G")
    at, high = same_shape(band[0], band[2], "band", "G")
    names = list(ranks)[:_MOST]
    count = len(names) + 1
    ncols = min(count, 4)
    picture, (*grid, tails) = panels(count, ncols, max(2.6 * ncols, 5.2), 2.1)
    for axes, name in zip(grid, names, strict=True):
        values = np.sort(as_array(ranks[name], name))
        share = np.searchsorted(values, at, side="right") / len(values)
        outside = bool(((share < low) | (share > high)).any())
        axes.fill_between(at, low - at, high - at, color=GREY, alpha=0.25, lw=0)
        axes.plot(at, share - at, color=BAD if outside else BLUE, lw=1.2)
        axes.axhline(0, color=INK, lw=0.6)
        axes.set(title=name, xlim=(0, 1))
    for axes in grid[::ncols]:
        axes.set_ylabel("ECDF less uniform")
    for axes in grid[-ncols:]:
        axes.set_xlabel("rank")
    for (name, given), colour in zip(khats.items(), (BLUE, ORANGE), strict=False):
        drawn = np.clip(as_array(given, name), -0.5, 1.5)
        tails.hist(drawn, np.linspace(-0.5, 1.5, 41).tolist(), histtype="step", color=colour,
                   weights=np.full(len(drawn), 1 / len(drawn)), label=name, lw=1.4)  # fmt: skip
    tails.axvline(threshold, color=GREY, ls=(0, (4, 3)), lw=1)
    tails.set(title="Pareto k-hat", xlabel=minus("k-hat"), ylabel="share of data")
    tails.legend(loc="best")
    heading(picture, minus(title))
    rest = len(ranks) - len(names)
    note(picture, f"drawn: {len(names)} of {len(ranks)} ranks, worst first" if rest else "")
    return picture
