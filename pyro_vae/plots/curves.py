"""Curves: a training run's, and a Monte Carlo error's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from pyro_vae.core.errors import DataError
from pyro_vae.plots.style import (
    BLUE,
    GREY,
    INK,
    ORANGE,
    Picture,
    as_array,
    axes_or_new,
    joint_legend,
    minus,
    panels,
    plain_ticks,
    styled,
)
from pyro_vae.report.numbers import nats, number

__all__ = ["elbo_curves", "monte_carlo_error"]

Floats = NDArray[np.float64]
Curve = tuple[Floats, Floats]

_TERMS = {"elbo": "ELBO", "log_likelihood": "log-likelihood", "kl": "KL"}
_SETTLED = 0.2  # of the run, before which values may be cut off
_FEW = 30  # epochs, each drawn as a dot
_COLOURS = (BLUE, ORANGE, "#3b9a5d", "#8d5fb0", "#a8633b", "#4aa3a8")


@styled
def elbo_curves(history: Sequence[Mapping[str, Any]]) -> Picture:
    """The ELBO and its two terms over a training run, in nats per datum.

    Early epochs that would flatten the rest are cut off, and reported. The best validation epoch
    is marked.

    Args:
        history: For each epoch a mapping with ``epoch``, ``elbo``, ``log_likelihood`` and ``kl``,
            and optionally ``validation_elbo`` and so on. None is skipped; NaN and infinity leave
            a gap, and are counted.

    Raises:
        DataError: if there are no epochs, or one lacks a term.

    Example:
        >>> terms = {"elbo": -95.0, "log_likelihood": -70.0, "kl": 25.0}
        >>> len(elbo_curves([{"epoch": 1, **terms}, {"epoch": 2, **terms}]).axes)
        3
    """
    if not history:
        raise DataError("history: nothing to draw, it has no epochs")
    for index, row in enumerate(history):
        lacking = [key for key in ("epoch", *_TERMS) if key not in row]
        if lacking:
            raise DataError(f"history[{index}]: expected {', '.join(lacking)}, got {list(row)}")
    picture, drawn = panels(3, 3, 10, 2.6, sharex=True)
    for axes, (key, name) in zip(drawn, _TERMS.items(), strict=True):
        _term_panel(axes, _curve(history, key), _curve(history, f"validation_{key}"))
        axes.set(title=name, xlabel="epoch", ylabel="nats per datum")
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    _mark_best(drawn, *_curve(history, "validation_elbo"))
    joint_legend(picture, drawn[0], "outside upper left")
    return picture


def _curve(history: Sequence[Mapping[str, Any]], key: str) -> Curve:
    """Epochs at which a term was measured, and its values, NaN if not finite."""
    measured = [(row["epoch"], row[key]) for row in history if row.get(key) is not None]
    if not measured:
        return np.empty(0), np.empty(0)
    epochs, values = as_array(measured, key).T
    return epochs, np.where(np.isfinite(values), values, np.nan)


def _term_panel(axes: Axes, train: Curve, validation: Curve) -> None:
    for (epochs, values), name, colour in ((train, "train", BLUE),
                                           (validation, "validation", ORANGE)):  # fmt: skip
        if epochs.size:
            dots = "o" if len(epochs) <= _FEW else ""
            axes.plot(epochs, values, color=colour, label=name, marker=dots, ms=3)
    epochs, values = (np.concatenate(pair) for pair in zip(train, validation, strict=True))
    finite = np.isfinite(values)
    remarks = [] if values.size else ["not measured"]
    if finite.any():
        low, high = _limits(epochs[finite], values[finite])
        axes.set_ylim(low, high)
        cut = epochs[(values < low) | (values > high)]
        remarks = [f"up to epoch {cut.max():g} off the scale"] if cut.size else []
    if not finite.all():
        remarks.append(f"not finite: {np.count_nonzero(~finite):,} of {len(values):,}")
    axes.set_title("; ".join(remarks), loc="right", fontsize=7.5, color=GREY)


def _limits(epochs: Floats, values: Floats) -> tuple[float, float]:
    """Limits that give the settled part of the run half of the axis or more."""
    late = epochs >= epochs.min() + _SETTLED * np.ptp(epochs)
    low, high = float(values[late].min()), float(values[late].max())
    span = high - low
    if span > 0:
        low = max(float(values.min()), low - span / 2)
        high = min(float(values.max()), high + span / 2)
    else:
        low, high = float(values.min()), float(values.max())
    margin = 0.08 * (high - low) or max(abs(high), 1.0) * 0.01
    return low - margin, high + margin


def _mark_best(drawn: Sequence[Axes], epochs: Floats, validation: Floats) -> None:
    if not np.isfinite(validation).any():
        return
    best = int(np.nanargmax(validation))
    for axes in drawn:
        axes.axvline(epochs[best], color=GREY, lw=0.9, ls=(0, (4, 3)), zorder=1)
    label = minus(f"best validation: epoch {epochs[best]:g}, ELBO {nats(validation[best])}")
    style: Any = {"color": ORANGE, "markeredgecolor": INK, "ls": "", "zorder": 5}
    drawn[0].plot(epochs[best], validation[best], "o", ms=6, label=label, **style)


@styled
def monte_carlo_error(
    terms: Mapping[str, tuple[ArrayLike, ArrayLike, float]],
    title: str = "Monte Carlo error",
    unit: str = "nats per datum",
    ax: Axes | None = None,
) -> Figure:
    """RMS error against the number of particles, log-log, beside the slope -1/2 of theory.

    Args:
        terms: By name: the numbers of particles K, the RMS errors at each, and the fitted slope
            of log error in log K. A term without error appears in the legend alone.
        title: Above the plot.
        unit: Of the errors.
        ax: Where to draw; a new figure without it.

    Raises:
        DataError: if there are no terms, or K and errors differ in shape.

    Example:
        >>> picture = monte_carlo_error({"ELBO": ([1, 4, 16], [1.0, 0.5, 0.25], -0.5)})
        >>> picture.axes[0].get_xscale()
        'log'
    """
    if not terms:
        raise DataError("terms: nothing to draw, there are none")
    picture, axes = axes_or_new(ax, 7.6, 4.0)
    axes.set(xscale="log", yscale="log")
    for index, (name, (particles, errors, slope)) in enumerate(terms.items()):
        k, rms = _paired(name, particles, errors)
        _error_line(axes, name, k, rms, slope, _COLOURS[index % len(_COLOURS)])
    axes.plot([], [], color=GREY, ls=(0, (4, 3)), lw=1, label=minus("slope -1/2"))
    plain_ticks(axes.xaxis)
    plain_ticks(axes.yaxis)
    axes.set(title=title, xlabel="particles K", ylabel=f"RMS error ({unit})")
    if ax is None:
        picture.legend(loc="outside right upper")
    else:
        axes.legend()
    return picture


def _paired(name: str, particles: ArrayLike, errors: ArrayLike) -> tuple[Floats, Floats]:
    k, rms = as_array(particles, f"{name}: particles"), as_array(errors, f"{name}: errors")
    if k.shape != rms.shape or k.ndim != 1:
        raise DataError(f"{name}: expected an error for each K, got {rms.shape} for {k.shape}")
    if not (k > 0).all():
        raise DataError(f"{name}: expected numbers of particles > 0, got {k.min():g}")
    return k, rms


def _error_line(axes: Axes, name: str, k: Floats, rms: Floats, slope: float, colour: str) -> None:
    drawn = np.isfinite(rms) & (rms > 0)
    if not drawn.any():
        why = "no error" if (rms == 0).all() else "no finite error"
        axes.plot([], [], "o", color=colour, ms=5, mfc="none", label=f"{name}: {why}")
        return
    k, rms = k[drawn], rms[drawn]
    ends = np.array([k.min(), k.max()])
    middle = np.log(k).mean(), np.log(rms).mean()
    label = f"{name}: slope {minus(number(slope, 3))}"
    axes.plot(k, rms, "o", color=colour, ms=5, label=label)
    for gradient, style in (
        (slope, {"color": colour}),
        (-0.5, {"color": GREY, "ls": (0, (4, 3))}),
    ):
        if np.isfinite(gradient):
            line = np.exp(middle[1] + gradient * (np.log(ends) - middle[0]))
            axes.plot(ends, line, lw=1, zorder=1, **style)
