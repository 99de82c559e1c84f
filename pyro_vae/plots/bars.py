"""Bars: the inference gaps of each datum, the dimensions of the code, and topics."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from pyro_vae.core.errors import DataError
from pyro_vae.plots.style import (
    BLUE,
    GREY,
    ORANGE,
    as_array,
    axes_of,
    choice,
    ink,
    name_rows,
    note,
    part_of,
    same_shape,
    styled,
)

__all__ = ["plot_active_units", "plot_gaps", "plot_kl_per_dimension", "plot_topics"]

Floats = NDArray[np.float64]

_MOST = 40  # bars of gaps, and names below bars
_MOST_UNITS = 200
_UNITS = "evaluate: its units"
_FLOOR = 1e-6  # smallest variance on the logarithmic axis


@styled
def plot_gaps(gaps: Any, *, title: str = "Inference gaps", ax: Axes | None = None) -> Axes:
    """The approximation and the amortization gap of each datum, the 40 greatest first.

    Args:
        gaps: From :func:`~pyro_vae.inference_gaps`.
        title: Above the plot.
        ax: Where to draw; a new figure without it.

    Raises:
        DataError: if it is another result.
    """
    maker = "inference_gaps"
    family, encoder = same_shape(part_of(gaps, "approximation", maker),
                                 part_of(gaps, "amortization", maker), "gaps", "N")  # fmt: skip
    ax, _ = axes_of(ax, 6.4, 3.4)
    order = np.argsort(-(family + encoder))[:_MOST]
    _bars(ax, family[order], order, "#", color=BLUE,
          label=f"approximation: the family, {family.mean():.3g} on average")  # fmt: skip
    _bars(ax, encoder[order], order, "#", color=ORANGE, bottom=np.maximum(family[order], 0),
          label=f"amortization: the encoder, {encoder.mean():.3g} on average")  # fmt: skip
    ax.axhline(0, color=ink(ax), lw=0.8)
    ax.set(ylabel="nats", xlabel="datum, by both gaps", title=title)
    ax.legend(loc="upper right")
    note(ax, f"the {_MOST} greatest of {len(family):,}" if len(family) > _MOST else "")
    return ax


@styled
def plot_active_units(units: Any, *, title: str = "Active units", ax: Axes | None = None) -> Axes:
    """The variance of E_q[z] over x of each dimension, greatest first, against the threshold.

    Dimensions below the threshold are hollow. A variance below 1e-6 is drawn there, and counted.

    Args:
        units: From ``evaluate(...).units``.
        title: Above the plot.
        ax: Where to draw; a new figure without it.

    Raises:
        DataError: if it is another result.
    """
    values = as_array(part_of(units, "variance", _UNITS), "variance")
    threshold = units.threshold
    ax, order = _units(ax, values, np.maximum(values, _FLOOR), values > threshold)
    ax.axhline(threshold, color=ink(ax), lw=0.9, ls="--")
    drawn = values[order]
    least = _FLOOR if (drawn < _FLOOR).any() else drawn.min()
    ax.set(yscale="log", ylabel="variance of E_q[z] over x", title=title)
    ax.set_ylim(bottom=min(least, threshold) / 2)
    low = int((drawn < _FLOOR).sum())
    note(
        ax,
        f"dashed: the threshold, {threshold:g}",
        f"{low} below {_FLOOR:g}, drawn there" if low else "",
    )
    return ax


@styled
def plot_kl_per_dimension(
    units: Any, *, title: str = "KL of each dimension", ax: Axes | None = None
) -> Axes:
    """The KL of each dimension of the code, greatest first; inactive ones are hollow.

    Args:
        units: From ``evaluate(...).units``.
        title: Above the plot.
        ax: Where to draw; a new figure without it.

    Raises:
        DataError: if it is another result, or if the KL of a dimension is not defined.
    """
    kl = part_of(units, "kl", _UNITS)
    if kl is None:
        raise DataError(f"units.kl: expected a KL for each dimension, got none: {units.kl_method}")
    values = as_array(kl, "kl")
    ax, _ = _units(ax, values, values, np.asarray(units.active.cpu()))
    ax.axhline(0, color=ink(ax), lw=0.8)
    ax.set(ylabel="nats per datum", title=title)
    return ax


@styled
def plot_topics(
    topics: Any,
    quantity: Literal["npmi", "share"] = "npmi",
    *,
    title: str = "Topics",
    ax: Axes | None = None,
) -> Axes:
    """The coherence of each topic beside its words, or its share of the documents.

    Args:
        topics: From :func:`~pyro_vae.topics`; the 40 most coherent are drawn.
        quantity: ``npmi``, in [-1, 1], or ``share``.
        title: Above the plot.
        ax: Where to draw; a new figure without it.

    Raises:
        DataError: if it is another result, or if the topics have no shares.
    """
    choice("quantity", quantity, ("npmi", "share"))
    words, given = part_of(topics, "words", "topics"), getattr(topics, quantity)
    if given is None:
        raise DataError("quantity: expected 'npmi', since a linear decoder's codes are no shares")
    order = topics.order[:_MOST]
    names = [f"{k}: {' '.join(words[k][:4])}" for k in order]
    ax, _ = axes_of(ax, 6.4, 0.9 + 0.2 * len(order))
    label, color = {"npmi": ("NPMI of its words", BLUE),
                    "share": ("share of the documents", ORANGE)}[quantity]  # fmt: skip
    ax.barh(range(len(order)), as_array(given, quantity)[order], 0.75, color=color)
    ax.axvline(0, color=ink(ax), lw=0.8)
    ax.set(xlabel=label, title=title)
    ax.grid(visible=False, axis="y")
    name_rows(ax, names)
    note(ax, f"the first {_MOST} of {len(words)}" if len(words) > _MOST else "")
    return ax


def _units(
    ax: Axes | None, values: Floats, heights: Floats, active: NDArray[np.bool_]
) -> tuple[Axes, NDArray[np.int64]]:
    """A bar for each dimension, greatest first, and the dimensions in this order."""
    order = np.argsort(-values)[:_MOST_UNITS]
    ax, _ = axes_of(ax, min(max(5.0, 2.0 + 0.22 * len(order)), 12.0), 2.8)
    faces = [BLUE if active[m] else "none" for m in order]
    edges = [BLUE if active[m] else GREY for m in order]
    _bars(ax, heights[order], order, "", color=faces, edgecolor=edges)
    ax.set_xlabel("dimension of the code" + (", hollow: inactive" if not active.all() else ""))
    note(ax, f"the {_MOST_UNITS} greatest of {len(values):,}" if len(values) > len(order) else "")
    return ax, order


def _bars(axes: Axes, heights: Floats, order: NDArray[np.int64], sign: str, **style: Any) -> None:
    """Bars side by side, named by their place before sorting."""
    places = np.arange(len(heights))
    axes.bar(places, heights, 0.75, **style)
    step = -(-len(order) // (8 if sign else 40 if len(order) <= 40 else 20))
    axes.set_xticks(places[::step], [f"{sign}{place}" for place in order[::step]])
    axes.grid(visible=False, axis="x")
