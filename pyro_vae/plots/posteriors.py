"""Codes from MCMC chains and from the guide, a panel for each datum."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

from pyro_vae.plots.style import (
    BLUE,
    ORANGE,
    Picture,
    heading,
    joint_legend,
    note,
    panels,
    same_shape,
    styled,
)

__all__ = ["posterior_panels"]

_MOST = 8
_POINTS = 1000

Floats = NDArray[np.float64]


@styled
def posterior_panels(
    chains: ArrayLike, guide: ArrayLike, *, title: str = "p(z|x) by NUTS, and q(z|x)"
) -> Picture:
    """Both sets of codes: histograms in one dimension, points in two, the two farthest apart.

    Args:
        chains: Codes of the chains, ``(N, S, M)``.
        guide: Codes of the guide, ``(N, S, M)``.
        title: Above the plot.

    Raises:
        DataError: if the shapes don't fit.

    Example:
        >>> codes = np.random.default_rng(0).normal(size=(2, 50, 3))
        >>> len(posterior_panels(codes, 2 * codes).axes)
        2
    """
    true, drawn = same_shape(chains, guide, "codes", "N, S, M")
    count = min(len(true), _MOST)
    ncols = min(count, 4)
    picture, grid = panels(count, ncols, max(2.7 * ncols, 4.6), 2.5)
    for n, axes in enumerate(grid):
        (_histograms if true.shape[-1] == 1 else _points)(axes, true[n], drawn[n])
        axes.set_title(f"#{n}", fontsize=8.5)
    joint_legend(picture, grid[0])
    heading(picture, title)
    said = "axes: the two dimensions that differ most" if true.shape[-1] > 2 else ""
    rest = f"drawn: the first {count} of {len(true)} data" if count < len(true) else ""
    note(picture, "; ".join(filter(None, (said, rest))))
    return picture


def _histograms(axes: Axes, true: Floats, drawn: Floats) -> None:
    low, high = np.quantile(np.concatenate([true, drawn]), [0.001, 0.999])
    edges = np.linspace(low, high, 40)
    for values, colour, name in ((true, BLUE, "NUTS"), (drawn, ORANGE, "q(z|x)")):
        axes.hist(values[:, 0], edges.tolist(), density=True, histtype="step", color=colour,
                  label=name, lw=1.4)  # fmt: skip
    axes.set(xlabel="z0", ylabel="density")


def _points(axes: Axes, true: Floats, drawn: Floats) -> None:
    scale = true.std(0)
    off = np.abs(drawn.mean(0) - true.mean(0)) / scale + np.abs(np.log(drawn.std(0) / scale))
    first, second = sorted(np.argsort(-off)[:2].tolist())
    for values, colour, name in ((true, BLUE, "NUTS"), (drawn, ORANGE, "q(z|x)")):
        some = values[:: max(len(values) // _POINTS, 1)]
        axes.scatter(some[:, first], some[:, second], s=7, color=colour, alpha=0.45, lw=0,
                     label=name)  # fmt: skip
    axes.set(xlabel=f"z{first}", ylabel=f"z{second}")
