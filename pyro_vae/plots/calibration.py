"""Ranks against their band, and the tails of importance weights."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from pyro_vae.plots.style import (
    BLUE,
    GREY,
    ORANGE,
    as_array,
    axes_of,
    ink,
    minus,
    note,
    part_of,
    same_shape,
    styled,
)

__all__ = ["plot_calibration", "plot_importance_weights"]

_MOST = 6  # ranks that are named
_NAMED = ("#cc2f3a", ORANGE, "#882255", "#999933", "#117733", "#332288")
_DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (1, 1)))


@styled
def plot_calibration(found: Any, *, title: str | None = None, ax: Axes | None = None) -> Axes:
    """The ECDF of each rank less the uniform one, in the band that holds it if q is p(z|x).

    The six ranks of the least p-values among those that are not uniform are named; the others
    are blue, or grey.

    Args:
        found: From :func:`~pyro_vae.calibrate`.
        title: Above the plot; the verdict without it.
        ax: Where to draw; a new figure without it.

    Raises:
        DataError: if it is another result.
    """
    at, low, high = part_of(found, "band", "calibrate")
    at, low = same_shape(at, low, "band", "G")
    at, high = same_shape(at, high, "band", "G")
    ranks = dict(zip(found.names, as_array(found.ranks, "ranks").T, strict=True))
    worst = sorted(found.failures, key=lambda name: found.p_values[name])
    ax, _ = axes_of(ax, 6.4, 3.6)
    ax.fill_between(at, low - at, high - at, color=GREY, alpha=0.25, lw=0, label="band")
    named = dict(zip(worst, zip(_NAMED, _DASHES, strict=True), strict=False))
    for name in [*(n for n in ranks if n not in named), *named]:
        values = np.sort(ranks[name])
        share = np.searchsorted(values, at, side="right") / len(values)
        colour, dash = named.get(name, (GREY if name in worst else BLUE, "-"))
        style: Any = {"color": colour, "ls": dash, "lw": 1.6 if name in named else 0.9}
        ax.plot(at, share - at, label=f"not uniform: {name}" if name in named else "", **style)
    ax.axhline(0, color=ink(ax), lw=0.6)
    if len(ranks) > len(worst):
        ax.plot([], [], color=BLUE, lw=0.9, label=f"uniform: {len(ranks) - len(worst)} ranks")
    verdict = f"FAILED for {len(worst)} of {len(ranks)} ranks" if worst else "PASSED"
    ax.set(xlim=(0, 1), xlabel="rank", ylabel="ECDF less uniform")
    ax.set_title(f"Calibration of q(z|x): {verdict}" if title is None else title)
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
    rest = len(worst) - len(named)
    note(ax, f"grey: {rest} more that are not uniform" if rest else "")
    return ax


@styled
def plot_importance_weights(
    found: Any, *, title: str = "Importance weights", ax: Axes | None = None
) -> Axes:
    """Histograms of the Pareto k-hat of each datum's importance weights, and its threshold.

    Values below -0.5 or above 1.5, infinite ones too, are drawn at these ends.

    Args:
        found: From :func:`~pyro_vae.calibrate`.
        title: Above the plot.
        ax: Where to draw; a new figure without it.

    Raises:
        DataError: if it is another result.
    """
    tails = part_of(found, "pareto_k", "calibrate")
    ax, _ = axes_of(ax, 6.4, 3.6)
    for (name, given), colour, dash in zip(tails.items(), (BLUE, ORANGE), ("-", "--"),
                                           strict=False):  # fmt: skip
        drawn = np.clip(as_array(given, name), -0.5, 1.5)
        over = (drawn > found.threshold).mean()
        ax.hist(drawn, np.linspace(-0.5, 1.5, 41).tolist(), histtype="step", color=colour, ls=dash,
                weights=np.full(len(drawn), 1 / len(drawn)), lw=1.4,
                label=f"{name}: {over:.1%} above")  # fmt: skip
    ax.axvline(found.threshold, color=GREY, ls=(0, (4, 3)), lw=1,
               label=f"threshold: {found.threshold:.2f}")  # fmt: skip
    ax.set(title=title, xlabel=minus("Pareto k-hat"), ylabel="share of data")
    ax.legend(loc="best")
    return ax
