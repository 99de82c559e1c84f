"""Data as pictures: images as a grid, other events as profiles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike, NDArray

from pyro_vae.core.errors import DataError
from pyro_vae.plots.mosaic import MOST_IMAGES, Limits, as_pixels, mosaic
from pyro_vae.plots.style import (
    BLUE,
    ORANGE,
    as_array,
    axes_of,
    minus,
    name_rows,
    note,
    styled,
)

__all__ = ["plot_images", "plot_reconstructions", "plot_samples", "plot_traversals"]

MOST_LINES = 24
_FEW = 40  # values, each drawn as a dot


@styled
def plot_images(
    images: ArrayLike,
    titles: ArrayLike | None = None,
    ncols: int = 10,
    *,
    limits: Limits | None = None,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Images side by side, all on one scale, which is stated below them.

    Args:
        images: ``(N, C, H, W)`` with C = 1 (grey) or 3 (red, green, blue), or ``(N, H, W)``.
            Of more than 100, the first 100 are drawn.
        titles: One for each image, texts or numbers.
        ncols: Images in a row.
        limits: The values that are black and white; 0 and 1 where all values lie there, the
            least and the greatest otherwise.
        title: Above the grid.
        ax: Where to draw; a new figure without it.

    Raises:
        DataError: if these are no images, or if there are none.

    Example:
        >>> from matplotlib.figure import Figure
        >>> plot_images(np.zeros((12, 1, 8, 8)), title="Noise", ax=Figure().subplots()).get_title()
        'Noise'
    """
    data = as_array(images, "images")
    pixels = as_pixels(data)
    if pixels is None:
        raise DataError(
            f"images: expected shape (N, H, W), (N, 1, H, W) or (N, 3, H, W), got {data.shape}"
        )
    texts = _titles("titles", titles, len(pixels))
    return mosaic([pixels], titles=texts, ncols=ncols, limits=limits, heading=title, ax=ax)


@styled
def plot_samples(
    x: ArrayLike,
    ncols: int = 10,
    *,
    limits: Limits | None = None,
    title: str = "Samples",
    ax: Axes | None = None,
) -> Axes:
    """Draws from a model: images as a grid, any other event as a profile for each datum.

    Args:
        x: ``(N, *event_shape)``. Of more than 100 images or 24 profiles, the first are drawn.
        ncols: Images in a row.
        limits: The values that are black and white.
        title: Above the picture.
        ax: Where to draw; a new figure without it.

    Raises:
        DataError: if there are none.

    Example:
        >>> from matplotlib.figure import Figure
        >>> len(plot_samples(np.zeros((3, 20)), ax=Figure().subplots()).lines)
        3
    """
    return _drawn({"sample": as_array(x, "x")}, (), None, ncols, limits, title, ax)


@styled
def plot_reconstructions(
    x: ArrayLike,
    x_hat: ArrayLike,
    labels: ArrayLike | None = None,
    ncols: int = 10,
    *,
    limits: Limits | None = None,
    title: str = "Reconstructions",
    ax: Axes | None = None,
) -> Axes:
    """Data over their reconstructions: images in bands of two rows, any other event as profiles.

    Args:
        x: ``(N, *event_shape)``. Of more than 50 images or 24 profiles, the first are drawn.
        x_hat: Of the same shape.
        labels: One for each datum, texts or numbers.
        ncols: Images in a row.
        limits: The values that are black and white.
        title: Above the picture.
        ax: Where to draw; a new figure without it.

    Raises:
        DataError: if there are none, or the shapes differ.

    Example:
        >>> from matplotlib.figure import Figure
        >>> x = np.zeros((12, 8, 8))
        >>> plot_reconstructions(x, x, ax=Figure().subplots()).get_title()
        'Reconstructions'
    """
    data, again = as_array(x, "x"), as_array(x_hat, "x_hat")
    if data.shape != again.shape:
        raise DataError(f"x_hat: expected the shape of x, {data.shape}, got {again.shape}")
    texts = _titles("labels", labels, len(data))
    rows = {"data": data, "reconstruction": again}
    return _drawn(rows, tuple(rows), texts, ncols, limits, title, ax)


@styled
def plot_traversals(
    x: ArrayLike,
    names: Sequence[str],
    values: ArrayLike,
    *,
    limits: Limits | None = None,
    title: str = "One dimension of the code at a time",
    ax: Axes | None = None,
) -> Axes:
    """What p(x|z) becomes as one dimension of z moves: images in rows, other events as profiles.

    Args:
        x: ``(D, S, *event_shape)``: for each of D dimensions, decoded at S values. At most 100
            images.
        names: Of the dimensions.
        values: Of the dimension that moves, ``(S,)``.
        limits: The values that are black and white.
        title: Above the picture.
        ax: Where to draw; a new figure without it.

    Raises:
        DataError: if the shapes don't fit, or there are too many images.

    Example:
        >>> from matplotlib.figure import Figure
        >>> x = np.zeros((2, 3, 8, 8))
        >>> plot_traversals(x, ["z0", "z1"], [-1, 0, 1], ax=Figure().subplots()).get_title()
        'One dimension of the code at a time'
    """
    data, moved = as_array(x, "x"), as_array(values, "values")
    if data.ndim < 3 or data.shape[:2] != (len(names), moved.size):
        raise DataError(
            f"x: expected shape (D, S, *event_shape) for D = {len(names)} names and S = "
            f"{moved.size} values, got {data.shape}"
        )
    images = [as_pixels(row) for row in data]
    rows = [row for row in images if row is not None]
    if rows:
        if data.shape[0] * data.shape[1] > MOST_IMAGES:
            raise DataError(
                f"x: expected at most {MOST_IMAGES} images, got {data.shape[0]} x "
                f"{data.shape[1]}; choose some of the dimensions, or fewer values"
            )
        said = [f"{value:.3g}" for value in moved]
        return mosaic(rows, names, titles=said, ncols=moved.size, limits=limits, heading=title,
                      ax=ax)  # fmt: skip
    colours = matplotlib.colormaps["viridis"](np.linspace(0, 0.9, moved.size))
    styles = [(f"{value:.3g}", colour, "-") for value, colour in zip(moved, colours, strict=True)]
    return _profiles(data.reshape(*data.shape[:2], -1), names, styles, len(data), title, ax)


def _drawn(
    rows: Mapping[str, NDArray[np.float64]],
    names: Sequence[str],
    texts: Sequence[str] | None,
    ncols: int,
    limits: Limits | None,
    title: str,
    ax: Axes | None,
) -> Axes:
    """Images if the events are images, else profiles."""
    images = [image for data in rows.values() if (image := as_pixels(data)) is not None]
    if images:
        return mosaic(images, names, titles=texts, ncols=ncols, limits=limits, heading=title,
                      ax=ax)  # fmt: skip
    lines = np.stack([data.reshape(len(data), -1) for data in rows.values()], axis=1)
    shown = lines[:MOST_LINES]
    said = [str(n) for n in range(len(shown))] if texts is None else texts[: len(shown)]
    styles = zip(rows, (BLUE, ORANGE), ("-", "--"), strict=False)
    return _profiles(shown, said, list(styles), len(lines), title, ax)


def _profiles(
    rows: NDArray[np.float64],
    names: Sequence[str],
    styles: Sequence[tuple[str, Any, str]],
    count: int,
    title: str,
    ax: Axes | None,
) -> Axes:
    """A row for each datum, all on one scale, with a line for each style, ``(N, L, D)``."""
    axes, _ = axes_of(ax, 7.0, 1.4 + 0.36 * len(rows))
    finite = rows[np.isfinite(rows)]
    low, high = (finite.min(), finite.max()) if finite.size else (0.0, 1.0)
    unit = (high - low) or 1.0
    dots = "o" if rows.shape[-1] <= _FEW else ""
    for place, lines in enumerate(rows):
        for line, (_, colour, dash) in zip(lines, styles, strict=True):
            height = np.where(np.isfinite(line), place + 0.45 - 0.9 * (line - low) / unit, np.nan)
            axes.plot(height, dash, color=colour, lw=1.1, marker=dots, ms=2.2, alpha=0.8)
    if len(styles) > 1:
        handles = [Line2D([], [], color=c, ls=dash, label=name) for name, c, dash in styles]
        axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1, 1))
    name_rows(axes, names, 0.6)
    axes.set(title=title, xlabel="dimension of the event")
    lost = rows.size - finite.size
    note(axes, f"each row from {minus(f'{low:.4g}')} to {minus(f'{high:.4g}')}",
         f"the first {len(rows):,} of {count:,}" if len(rows) < count else "",
         f"{lost:,} of {rows.size:,} values are not finite (gaps)" if lost else "")  # fmt: skip
    return axes


def _titles(name: str, titles: ArrayLike | None, count: int) -> list[str] | None:
    if titles is None:
        return None
    texts = [str(title) for title in np.asarray(titles).tolist()]
    if len(texts) != count:
        raise DataError(f"{name}: expected one for each datum, {count}, got {len(texts)}")
    return texts
