"""Curves: a training run's, and a Monte Carlo error's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from pyro_vae.core.errors import DataError
from pyro_vae.plots.style import (
    BLUE,
    GREY,
    ORANGE,
    STYLES,
    as_array,
    axes_of,
    choice,
    ink,
    minus,
    note,
    plain_ticks,
    styled,
)
from pyro_vae.report.numbers import nats, number

__all__ = ["Term", "plot_history", "plot_monte_carlo_error"]

Floats = NDArray[np.float64]
Term = Literal["elbo", "log_likelihood", "kl"]
Curve = tuple[Floats, Floats]

_TERMS = {"elbo": "ELBO", "log_likelihood": "log-likelihood", "kl": "KL"}
_SETTLED = 0.2  # of the run, before which values may be cut off
_FEW = 30  # epochs, each drawn as a dot


@styled
def plot_history(
    history: Sequence[Mapping[str, Any]],
    term: Term = "elbo",
    *,
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """The ELBO or one of its terms over a training run, in nats per datum.

    Early epochs that would flatten the rest are cut off, and reported. The best validation epoch
    is marked.

    Args:
        history: For each epoch a mapping with ``epoch``, ``elbo``, ``log_likelihood`` and ``kl``,
            and optionally ``validation_elbo`` and so on, as ``fit(...).history``. None is
            skipped; NaN and infinity leave a gap, and are counted.
        term: Which of the three.
        title: Above the plot; the term's name without it.
        ax: Where to draw; a new figure without it.

    Raises:
        DataError: if there are no epochs, one lacks a term, or there is no such term.

    Example:
        >>> from matplotlib.figure import Figure
        >>> terms = {"elbo": -95.0, "log_likelihood": -70.0, "kl": 25.0}
        >>> rows = [{"epoch": 1, **terms}, {"epoch": 2, **terms}]
        >>> plot_history(rows, "kl", ax=Figure().subplots()).get_ylabel()
        'nats per datum'
    """
    choice("term", term, _TERMS)
    if not history:
        raise DataError("history: nothing to draw, it has no epochs")
    for index, row in enumerate(history):
        lacking = [key for key in ("epoch", *_TERMS) if key not in row]
        if lacking:
            raise DataError(f"history[{index}]: expected {', '.join(lacking)}, got {list(row)}")
    ax, _ = axes_of(ax, 6.4, 3.4)
    validation = _curve(history, f"validation_{term}")
    ax.set(title=_TERMS[term] if title is None else title, ylabel="nats per datum")
    ax.set_xlabel("epoch")
    _lines(ax, _curve(history, term), validation)
    ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    _mark_best(ax, validation, *_curve(history, "validation_elbo"))
    if len(ax.get_legend_handles_labels()[0]) > 1:
        ax.legend(loc="best")
    return ax


def _curve(history: Sequence[Mapping[str, Any]], key: str) -> Curve:
    """Epochs at which a term was measured, and its values, NaN if not finite."""
    measured = [(row["epoch"], row[key]) for row in history if row.get(key) is not None]
    if not measured:
        return np.empty(0), np.empty(0)
    epochs, values = as_array(measured, key).T
    return epochs, np.where(np.isfinite(values), values, np.nan)


def _lines(axes: Axes, train: Curve, validation: Curve) -> None:
    for (epochs, values), name, colour, dash in (
        (train, "train", BLUE, "-"),
        (validation, "validation", ORANGE, "--"),
    ):
        if epochs.size:
            dots = "o" if len(epochs) <= _FEW else ""
            axes.plot(epochs, values, dash, color=colour, label=name, marker=dots, ms=3)
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
    note(axes, *remarks)


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


def _mark_best(axes: Axes, validation: Curve, epochs: Floats, elbo: Floats) -> None:
    if not np.isfinite(elbo).any():
        return
    best = epochs[int(np.nanargmax(elbo))]
    axes.axvline(best, color=GREY, lw=0.9, ls=(0, (4, 3)), zorder=1)
    value = validation[1][validation[0] == best]
    if value.size:
        label = minus(f"best epoch: {best:g}, {nats(float(value[0]))}")
        axes.plot(best, value[0], "o", ms=6, label=label, color=ORANGE, mec=ink(axes), zorder=5)


@styled
def plot_monte_carlo_error(
    terms: Mapping[str, tuple[ArrayLike, ArrayLike, float]],
    *,
    title: str = "Monte Carlo error",
    unit: str = "nats per datum",
    ax: Axes | None = None,
) -> Axes:
    """RMS error against the number of particles, log-log, beside the slope -1/2 of theory.

    Args:
        terms: By name: the numbers of particles K, the RMS errors at each, and the fitted slope
            of log error in log K, as ``audit.monte_carlo_error()``. A term without error appears
            in the legend alone.
        title: Above the plot.
        unit: Of the errors.
        ax: Where to draw; a new figure without it.

    Raises:
        DataError: if there are no terms, or K and errors differ in shape.

    Example:
        >>> from matplotlib.figure import Figure
        >>> terms = {"ELBO": ([1, 4, 16], [1.0, 0.5, 0.25], -0.5)}
        >>> plot_monte_carlo_error(terms, ax=Figure().subplots()).get_xscale()
        'log'
    """
    if not terms:
        raise DataError("terms: nothing to draw, there are none")
    axes, _ = axes_of(ax, 6.4, 4.0)
    axes.set(xscale="log", yscale="log")
    for index, (name, (particles, errors, slope)) in enumerate(terms.items()):
        k, rms = _paired(name, particles, errors)
        _error_line(axes, name, k, rms, slope, STYLES[index % len(STYLES)])
    axes.plot([], [], color=GREY, ls=(0, (4, 3)), lw=1, label=minus("slope -1/2"))
    plain_ticks(axes.xaxis)
    plain_ticks(axes.yaxis)
    axes.set(title=title, xlabel="particles K", ylabel=f"RMS error ({unit})")
    axes.legend(loc="best")
    return axes


def _paired(name: str, particles: ArrayLike, errors: ArrayLike) -> tuple[Floats, Floats]:
    k, rms = as_array(particles, f"{name}: particles"), as_array(errors, f"{name}: errors")
    if k.shape != rms.shape or k.ndim != 1:
        raise DataError(f"{name}: expected an error for each K, got {rms.shape} for {k.shape}")
    if not (k > 0).all():
        raise DataError(f"{name}: expected numbers of particles > 0, got {k.min():g}")
    return k, rms


def _error_line(
    axes: Axes, name: str, k: Floats, rms: Floats, slope: float, style: tuple[str, str]
) -> None:
    colour, marker = style
    drawn = np.isfinite(rms) & (rms > 0)
    if not drawn.any():
        why = "no error" if (rms == 0).all() else "no finite error"
        axes.plot([], [], marker, color=colour, ms=5, mfc="none", label=f"{name}: {why}")
        return
    k, rms = k[drawn], rms[drawn]
    ends = np.array([k.min(), k.max()])
    middle = np.log(k).mean(), np.log(rms).mean()
    label = f"{name}: slope {minus(number(slope, 3))}"
    axes.plot(k, rms, marker, color=colour, ms=5, label=label)
    for gradient, drawn_as in (
        (slope, {"color": colour}),
        (-0.5, {"color": GREY, "ls": (0, (4, 3))}),
    ):
        if np.isfinite(gradient):
            line = np.exp(middle[1] + gradient * (np.log(ends) - middle[0]))
            axes.plot(ends, line, lw=1, zorder=1, **drawn_as)
