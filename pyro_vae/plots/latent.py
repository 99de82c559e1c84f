"""Latent codes in the plane."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from numpy.typing import ArrayLike, NDArray

from pyro_vae.core.errors import DataError
from pyro_vae.plots.style import (
    BLUE,
    GREY,
    as_array,
    axes_of,
    ink,
    note,
    styled,
)

__all__ = ["class_colors", "codes_of_shape", "plane", "plot_latent"]

Floats = NDArray[np.float64]

_MOST_CLASSES = 20
_FAINT = 0.35  # opacity of draws from the prior
# Paul Tol's muted scheme, whose colors differ for colour-blind readers too, and a grey:
# https://sronpersonalpages.nl/~pault
SAFE = ("#332288", "#cc6677", "#117733", "#ddcc77", "#88ccee", "#aa4499", "#44aa99", "#882255",
        "#999933", "#777777")  # fmt: skip


@styled
def plot_latent(
    codes: ArrayLike,
    labels: ArrayLike | None = None,
    names: Sequence[str] | Mapping[Any, str] | None = None,
    *,
    prior: ArrayLike | None = None,
    title: str = "Latent codes",
    ax: Axes | None = None,
) -> Axes:
    """Codes in the plane for M = 2, on two principal components for M > 2.

    For M = 1 they are a histogram. Codes that are not finite are left out and counted.

    Args:
        codes: ``(N, M)``.
        labels: ``(N,)``. Up to 20 different ones are classes with a colour and a legend; more
            numbers than that are a colour scale.
        names: Of the classes: by label, or in the labels' sorted order.
        prior: Draws from p(z), ``(K, M)``, shown faintly below in the same projection.
        title: Above the plot.
        ax: Where to draw; a new figure without it.

    Raises:
        DataError: if the shapes don't fit, or no code is finite.

    Example:
        >>> from matplotlib.figure import Figure
        >>> ax = plot_latent(np.eye(4), [0, 0, 1, 1], ["even", "odd"], ax=Figure().subplots())
        >>> ax.get_xlabel()
        'principal component 1 (33 % of variance)'
    """
    z = codes_of_shape(codes, "codes")
    classes = None if labels is None else _labels(labels, len(z))
    known = np.isfinite(z).all(1)
    if classes is not None and np.issubdtype(classes.dtype, np.floating):
        known &= np.isfinite(classes)
    if not known.any():
        raise DataError(f"codes: nothing to draw, none of the {len(z)} codes is finite")
    classes = None if classes is None else classes[known]
    under = None if prior is None else _known(codes_of_shape(prior, "prior", z.shape[1]))
    axes, _ = axes_of(ax, 6.4, 4.8)
    axes.set_title(title)
    if z.shape[1] == 1:
        _histogram(axes, z[known, 0], classes, names, under)
    else:
        _scatter(axes, z[known], classes, names, under)
    if not known.all():
        note(axes, f"left out, as not finite: {(~known).sum():,} of {len(z):,} codes")
    return axes


def codes_of_shape(values: ArrayLike, name: str, size: int | None = None) -> Floats:
    """Convert codes of ``size`` dimensions, ``(N, M)``."""
    z = as_array(values, name)
    if z.ndim != 2 or size not in {None, z.shape[1]}:
        raise DataError(f"{name}: expected shape (N, {size or 'M'}), got {z.shape}")
    return z


def _known(prior: Floats) -> Floats | None:
    finite = prior[np.isfinite(prior).all(1)]
    return finite if len(finite) else None


def _labels(labels: Any, count: int) -> NDArray[Any]:
    found = np.asarray(labels.detach().cpu() if hasattr(labels, "detach") else labels)
    if found.shape != (count,):
        raise DataError(f"labels: expected one for each code, ({count},), got {found.shape}")
    return found


def _scatter(
    axes: Axes, z: Floats, labels: NDArray[Any] | None, names: Any, prior: Floats | None
) -> None:
    project, axis_names = plane(z)
    axes.set(xlabel=axis_names[0], ylabel=axis_names[1], aspect="equal")
    axes.set_adjustable("datalim")
    style: dict[str, Any] = {"s": float(np.clip(20000 / len(z), 3, 22)), "linewidths": 0}
    if prior is not None:
        axes.scatter(*project(prior).T, color=GREY, alpha=_FAINT, zorder=1, **style)
    order = np.random.default_rng(0).permutation(len(z))  # so that no class covers the others
    x, y = project(z)[order].T
    if labels is None:
        axes.scatter(x, y, color=BLUE, alpha=0.7, **style)
        _legend(axes, {}, prior)
        return
    classes = _classes(labels, names)
    if classes is None:
        drawn = axes.scatter(x, y, c=labels[order].astype(float), cmap="viridis", **style)
        axes.figure.colorbar(drawn, ax=axes, label="label", shrink=0.8)
        _legend(axes, {}, prior, beside=False)
        return
    colours = {label: colour for label, (_, colour) in classes.items()}
    axes.scatter(x, y, color=[colours[label] for label in labels[order]], alpha=0.8, **style)
    for label, (name, _) in classes.items():  # by name too, where colors look alike
        own = labels[order] == label
        place = (np.median(x[own]), np.median(y[own]))
        halo = [withStroke(linewidth=2.5, foreground=axes.get_facecolor(), alpha=0.8)]
        axes.annotate(name, place, ha="center", va="center", weight="bold",
                      color=ink(axes), path_effects=halo)  # fmt: skip
    _legend(axes, dict(classes.values()), prior)


def plane(z: Floats) -> tuple[Callable[[Floats], Floats], tuple[str, str]]:
    """The projection to the plane, and its axis labels."""
    if z.shape[1] == 2:
        return (lambda points: points), ("$z_1$", "$z_2$")
    mean = z.mean(0)
    _, scales, directions = np.linalg.svd(z - mean, full_matrices=False)
    basis = np.zeros((2, z.shape[1]))  # one code alone has one direction
    basis[: len(directions)] = directions[:2]
    largest = np.abs(basis).argmax(1)
    basis *= np.where(basis[np.arange(2), largest] < 0, -1.0, 1.0)[:, None]
    shares = np.zeros(2)
    shares[: len(scales)] = (scales**2 / max((scales**2).sum(), 1e-300))[:2]
    names = (f"principal component {i + 1} ({shares[i]:.0%} of variance)" for i in range(2))
    first, second = (name.replace("%", " %") for name in names)
    return (lambda points: (points - mean) @ basis.T), (first, second)


def class_colors(labels: NDArray[Any]) -> dict[Any, Any] | None:
    """The colour of each class; None where the labels are a scale, not classes."""
    classes = _classes(labels, None)
    return classes and {label: colour for label, (_, colour) in classes.items()}


def _histogram(
    axes: Axes, z: Floats, labels: NDArray[Any] | None, names: Any, prior: Floats | None
) -> None:
    bins = _bins(z if prior is None else np.append(z, prior))
    axes.set(xlabel="$z$", ylabel="density")
    if prior is not None:
        axes.hist(prior.ravel(), bins, density=True, color=GREY, alpha=_FAINT)
    classes = None if labels is None else _classes(labels, names)
    if labels is None or classes is None:
        axes.hist(z, bins, density=True, histtype="step", color=BLUE, lw=1.6)
        _legend(axes, {}, prior)
        return
    for label, (_, colour) in classes.items():
        own = z[labels == label]
        axes.hist(own, bins, density=True, histtype="step", color=colour, lw=1.4)
    _legend(axes, dict(classes.values()), prior)


def _bins(values: Floats) -> list[float]:
    """Edges by Freedman and Diaconis, within reason."""
    edges = np.histogram_bin_edges(values, "fd")
    found: list[float] = np.linspace(edges[0], edges[-1], min(max(len(edges), 12), 60)).tolist()
    return found


def _classes(labels: NDArray[Any], names: Any) -> dict[Any, tuple[str, Any]] | None:
    """Name and colour of each class; None where the labels are a scale, not classes."""
    found = np.unique(labels)
    if len(found) > _MOST_CLASSES:
        if np.issubdtype(labels.dtype, np.number):
            return None
        raise DataError(f"labels: expected at most {_MOST_CLASSES} classes, got {len(found)}")
    colours = SAFE if len(found) <= len(SAFE) else matplotlib.color_sequences["tab20"]
    named = names if isinstance(names, Mapping) else dict(zip(found, names or (), strict=False))
    return {
        label: (str(named.get(label, label)), colours[index]) for index, label in enumerate(found)
    }


def _legend(
    axes: Axes, colours: Mapping[str, Any], prior: Floats | None, *, beside: bool = True
) -> None:
    entries = dict(colours) if prior is None else {**colours, "prior": GREY}
    dots = [Line2D([], [], ls="", marker="o", color=c, label=n,
                   alpha=_FAINT if n == "prior" else 1.0) for n, c in entries.items()]  # fmt: skip
    if dots and beside:
        axes.legend(handles=dots, loc="upper left", bbox_to_anchor=(1, 1))
    elif dots:
        axes.legend(handles=dots, loc="upper right")
