"""The aggregate posterior beside the prior, and one q(z|x) beside the true posterior."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from pyro_vae.core.errors import DataError
from pyro_vae.plots.latent import codes_of_shape
from pyro_vae.plots.style import BLUE, GREY, ORANGE, axes_of, note, same_shape, styled

__all__ = ["plot_aggregate_posterior", "plot_posterior"]

Floats = NDArray[np.float64]

_MOST_DIMENSIONS = 50
_POINTS = 1000  # of each cloud


@styled
def plot_aggregate_posterior(
    codes: ArrayLike,
    prior: ArrayLike,
    *,
    title: str = "Aggregate posterior and prior",
    ax: Axes | None = None,
) -> Axes:
    """Each dimension of q(z), the mean of q(z|x) over x, beside p(z).

    The dots are medians; the thick bars hold half of the draws, the thin ones 95 %.

    Args:
        codes: Draws from q(z|x) of many x, ``(N, M)``; the first 50 dimensions are drawn.
        prior: Draws from p(z), ``(K, M)``.
        title: Above the plot.
        ax: Where to draw; a new figure without it.

    Raises:
        DataError: if the shapes don't fit, or a draw is not finite.

    Example:
        >>> from matplotlib.figure import Figure
        >>> z = np.random.default_rng(0).normal(size=(100, 3))
        >>> plot_aggregate_posterior(z / 2, z, ax=Figure().subplots()).get_xlabel()
        'dimension of the code'
    """
    z = codes_of_shape(codes, "codes")
    under = codes_of_shape(prior, "prior", z.shape[1])
    for name, drawn in (("codes", z), ("prior", under)):
        if not np.isfinite(drawn).all():
            raise DataError(f"{name}: expected finite numbers, got NaN or infinity")
    count = min(z.shape[1], _MOST_DIMENSIONS)
    ax, _ = axes_of(ax, min(max(5.0, 2.0 + 0.3 * count), 12.0), 3.4)
    for drawn, colour, marker, name, shift in ((z, BLUE, "o", "q(z)", -0.17),
                                               (under, GREY, "s", "p(z)", 0.17)):  # fmt: skip
        low, first, middle, third, high = np.quantile(
            drawn[:, :count], [0.025, 0.25, 0.5, 0.75, 0.975], axis=0
        )
        at = np.arange(count) + shift
        ax.vlines(at, low, high, color=colour, lw=1)
        ax.vlines(at, first, third, color=colour, lw=3.5)
        ax.plot(at, middle, marker, color=colour, ms=5, mec=ax.get_facecolor(), label=name)
    ax.xaxis.set_major_locator(MaxNLocator(min(count, 25), integer=True))
    ax.set(title=title, xlabel="dimension of the code", ylabel="$z$")
    ax.grid(visible=False, axis="x")
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
    note(ax, f"the first {count} of {z.shape[1]:,}" if count < z.shape[1] else "")
    return ax


@styled
def plot_posterior(
    chain: ArrayLike, guide: ArrayLike, *, title: str = "", ax: Axes | None = None
) -> Axes:
    """Draws from p(z|x) and from q(z|x): histograms in one dimension, points in two.

    Of more dimensions, the two that are farthest apart.

    Args:
        chain: Draws from p(z|x) for one x, ``(S, M)``, as of :func:`~pyro_vae.compare_with_mcmc`.
        guide: Draws from q(z|x), ``(S, M)``.
        title: Above the plot.
        ax: Where to draw; a new figure without it.

    Raises:
        DataError: if the shapes don't fit.

    Example:
        >>> from matplotlib.figure import Figure
        >>> codes = np.random.default_rng(0).normal(size=(50, 1))
        >>> plot_posterior(codes, 2 * codes, ax=Figure().subplots()).get_ylabel()
        'density'
    """
    true, drawn = same_shape(chain, guide, "codes", "S, M")
    ax, _ = axes_of(ax, 4.8, 3.6)
    (_two_histograms if true.shape[-1] == 1 else _points)(ax, true, drawn)
    ax.set_title(title)
    for handle in ax.legend(loc="best").legend_handles:
        if handle is not None:
            handle.set_alpha(1.0)
    return ax


def _two_histograms(axes: Axes, true: Floats, drawn: Floats) -> None:
    low, high = np.quantile(np.concatenate([true, drawn]), [0.001, 0.999])
    edges = np.linspace(low, high, 40)
    for values, colour, name in ((true, BLUE, "p(z|x)"), (drawn, ORANGE, "q(z|x)")):
        axes.hist(values[:, 0], edges.tolist(), density=True, histtype="step", color=colour,
                  label=name, lw=1.4)  # fmt: skip
    axes.set(xlabel="z0", ylabel="density")


def _points(axes: Axes, true: Floats, drawn: Floats) -> None:
    scale = true.std(0)
    off = np.abs(drawn.mean(0) - true.mean(0)) / scale + np.abs(np.log(drawn.std(0) / scale))
    first, second = sorted(np.argsort(-off)[:2].tolist())
    for values, colour, name, marker in ((true, BLUE, "p(z|x)", "o"),
                                         (drawn, ORANGE, "q(z|x)", "^")):  # fmt: skip
        some = values[:: max(len(values) // _POINTS, 1)]
        size = float(np.clip(4000 / len(some), 7, 25))
        axes.scatter(some[:, first], some[:, second], s=size, color=colour, alpha=0.6, lw=0,
                     marker=marker, label=name)  # fmt: skip
    axes.set(xlabel=f"z{first}", ylabel=f"z{second}")
