"""Bars: the inference gaps of each datum, the dimensions of the code, and topics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

from pyro_vae.plots.style import (
    BLUE,
    GREY,
    INK,
    ORANGE,
    Picture,
    as_array,
    heading,
    name_rows,
    note,
    panels,
    same_shape,
    styled,
)

__all__ = ["gap_bars", "topic_bars", "unit_bars"]

_MOST = 40  # bars of gaps, and names below bars
_FLOOR = 1e-6  # smallest variance on the logarithmic axis


@styled
def gap_bars(
    approximation: ArrayLike,
    amortization: ArrayLike,
    curve: Sequence[float] = (),
    *,
    title: str = "log p(x) - ELBO, and where it is lost",
) -> Picture:
    """The two gaps of each datum, largest total first, beside the refinement's ELBO.

    Args:
        approximation: Gap of the family, ``(N,)``, in nats.
        amortization: Gap of the encoder, ``(N,)``.
        curve: Mean ELBO at each step of the refinement; empty leaves its panel out.
        title: Above the plot.

    Raises:
        DataError: if there is nothing to draw, or the two differ in shape.

    Example:
        >>> [axes.get_ylabel() for axes in gap_bars([0.1, 0.2], [0.4, 0.1], [-3.0, -2.5]).axes]
        ['nats', 'mean ELBO (nats per datum)']
    """
    family, encoder = same_shape(approximation, amortization, "gaps", "N")
    said = f"means over {len(family)} data: {family.mean():.3g} and {encoder.mean():.3g} nats"
    order = np.argsort(-(family + encoder))[:_MOST]
    if len(order) < len(family):
        said += f"; drawn: the {len(order)} greatest"
    widths = [2, 1] if len(curve) else [1]
    count = len(widths)
    picture, (axes, *rest) = panels(count, count, 3.2 + 3.2 * count, 2.6, width_ratios=widths)
    family, encoder = family[order], encoder[order]
    _bars(axes, family, order, "#", color=BLUE, label="approximation: the family")
    _bars(axes, encoder, order, "#", color=ORANGE, label="amortization: the encoder",
          bottom=np.maximum(family, 0))  # fmt: skip
    axes.axhline(0, color=INK, lw=0.8)
    axes.set(ylabel="nats", xlabel="datum, by both gaps", title=title)
    axes.legend()
    for steps in rest:
        steps.plot(np.arange(1, len(curve) + 1), curve, color=BLUE, lw=1.2)
        steps.set(xlabel="step of the refinement", ylabel="mean ELBO (nats per datum)")
    note(picture, said)
    return picture


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
    width = min(max(5.0, 2.0 + 0.22 * len(values)), 12.0)
    picture, drawn = panels(rows, 1, width, 2.1, sharex=True)
    colours = [BLUE if value > threshold else GREY for value in values]
    top, bottom = drawn[0], drawn[-1]
    _bars(top, np.maximum(values, _FLOOR), order, "", color=colours)
    top.axhline(threshold, color=INK, lw=0.9, ls="--")
    least = _FLOOR if (values < _FLOOR).any() else values.min()
    top.set(yscale="log", ylabel="variance of E_q[z] over x", title=title)
    top.set_ylim(bottom=min(least, threshold) / 2)
    if costs is not None:
        _bars(bottom, costs, order, "", color=colours)
        bottom.set(ylabel="KL (nats per datum)")
    bottom.set_xlabel("dimension of the code, by variance")
    said = [f"dashed: the threshold, {threshold:g}; grey: inactive"]
    low = int((values < _FLOOR).sum())
    said += [f"{low} below {_FLOOR:g}, drawn there"] if low else []
    note(picture, "; ".join(said))
    return picture


@styled
def topic_bars(
    names: Sequence[str],
    npmi: ArrayLike,
    share: ArrayLike | None = None,
    *,
    title: str = "Topics",
) -> Picture:
    """The coherence of each topic, and its share of the documents beside it.

    Args:
        names: Of the topics, from top to bottom; the first 40 are drawn.
        npmi: Normalized pointwise mutual information of each, ``(K,)``, in [-1, 1].
        share: Of each, ``(K,)``; None leaves its panel out.
        title: Above the plot.

    Raises:
        DataError: if there is nothing to draw, or the two differ in shape.

    Example:
        >>> picture = topic_bars(["god faith", "space orbit"], [0.2, 0.1], [0.6, 0.4])
        >>> [axes.get_xlabel() for axes in picture.axes]
        ['NPMI of its words', 'share of the documents']
    """
    columns = [(as_array(npmi, "npmi"), "NPMI of its words", BLUE)]
    if share is not None:
        npmi, share = same_shape(npmi, share, "npmi and share", "K")
        columns.append((share, "share of the documents", ORANGE))
    drawn = list(names)[:_MOST]
    count = len(columns)
    picture, panes = panels(count, count, 4.5 + 2.0 * count, 0.2 * len(drawn), sharey=True)
    for axes, (values, label, color) in zip(panes, columns, strict=True):
        axes.barh(range(len(drawn)), values[:_MOST], 0.75, color=color)
        axes.axvline(0, color=INK, lw=0.8)
        axes.set_xlabel(label)
        axes.grid(visible=False, axis="y")
        name_rows(axes, drawn)
    heading(picture, title)
    note(picture, f"drawn: the first {_MOST} of {len(names)}" if len(names) > _MOST else "")
    return picture


def _bars(
    axes: Axes, heights: NDArray[np.float64], order: NDArray[np.int64], sign: str, **style: Any
) -> None:
    """Bars side by side, named by their place before sorting."""
    places = np.arange(len(heights))
    axes.bar(places, heights, 0.75, **style)
    step = -(-len(order) // (10 if sign else _MOST))
    axes.set_xticks(places[::step], [f"{sign}{place}" for place in order[::step]])
    axes.grid(visible=False, axis="x")
