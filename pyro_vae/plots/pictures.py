"""Data as pictures: images as a grid, other events as lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from pyro_vae.core.errors import DataError
from pyro_vae.plots.mosaic import MOST_IMAGES, Limits, as_pixels, mosaic
from pyro_vae.plots.style import (
    BLUE,
    ORANGE,
    Picture,
    as_array,
    heading,
    joint_legend,
    panels,
    styled,
)

__all__ = ["image_grid", "reconstructions", "samples", "traversals"]

MOST_LINES = 24
_FEW = 40  # values, each drawn as a dot


@styled
def image_grid(
    images: ArrayLike,
    titles: ArrayLike | None = None,
    ncols: int = 10,
    *,
    limits: Limits | None = None,
    title: str = "",
    ax: Axes | None = None,
) -> Figure:
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
        >>> image_grid(np.zeros((12, 1, 8, 8)), title="Noise").axes[0].get_title("left")
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
def samples(
    x: ArrayLike,
    ncols: int = 10,
    *,
    limits: Limits | None = None,
    title: str = "Samples",
    ax: Axes | None = None,
) -> Figure:
    """Draws from a model: images as a grid, any other event as a line for each datum.

    Args:
        x: ``(N, *event_shape)``. Of more than 100 images or 24 lines, the first are drawn.
        ncols: Images in a row.
        limits: The values that are black and white.
        title: Above the picture.
        ax: Where to draw images; a new figure without it.

    Raises:
        DataError: if there are none, or ``ax`` is given for lines, which take several axes.

    Example:
        >>> len(samples(np.zeros((3, 20))).axes)
        3
    """
    return _drawn({"sample": as_array(x, "x")}, (), None, ncols, limits, title, ax)


@styled
def reconstructions(
    x: ArrayLike,
    x_hat: ArrayLike,
    labels: ArrayLike | None = None,
    ncols: int = 10,
    *,
    limits: Limits | None = None,
    title: str = "Reconstructions",
    ax: Axes | None = None,
) -> Figure:
    """Data over their reconstructions: images in bands of two rows, any other event as lines.

    Args:
        x: ``(N, *event_shape)``. Of more than 50 images or 24 lines, the first are drawn.
        x_hat: Of the same shape.
        labels: One for each datum, texts or numbers.
        ncols: Images in a row.
        limits: The values that are black and white.
        title: Above the picture.
        ax: Where to draw images; a new figure without it.

    Raises:
        DataError: if there are none, the shapes differ, or ``ax`` is given for lines, which take
            several axes.

    Example:
        >>> x = np.zeros((12, 8, 8))
        >>> reconstructions(x, x).axes[0].get_title("left")
        'Reconstructions'
    """
    data, again = as_array(x, "x"), as_array(x_hat, "x_hat")
    if data.shape != again.shape:
        raise DataError(f"x_hat: expected the shape of x, {data.shape}, got {again.shape}")
    texts = _titles("labels", labels, len(data))
    rows = {"data": data, "reconstruction": again}
    return _drawn(rows, tuple(rows), texts, ncols, limits, title, ax)


@styled
def traversals(
    x: ArrayLike,
    names: Sequence[str],
    values: ArrayLike,
    *,
    limits: Limits | None = None,
    title: str = "One dimension of the code at a time",
    ax: Axes | None = None,
) -> Figure:
    """What p(x|z) becomes as one dimension of z moves: images in rows, other events as lines.

    Args:
        x: ``(D, S, *event_shape)``: for each of D dimensions, decoded at S values. At most 100
            images.
        names: Of the dimensions.
        values: Of the dimension that moves, ``(S,)``.
        limits: The values that are black and white.
        title: Above the picture.
        ax: Where to draw images; a new figure without it.

    Raises:
        DataError: if the shapes don't fit, there are too many images, or ``ax`` is given for
            lines, which take several axes.

    Example:
        >>> traversals(np.zeros((2, 3, 8, 8)), ["z0", "z1"], [-1, 0, 1]).axes[0].get_title("left")
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
    if ax is not None:
        raise DataError("ax: expected images, which fit on one axes, got other events")
    ncols = min(4, len(names))
    picture, grid = panels(len(names), ncols, 9.6, 1.8, sharex=True, sharey=True)
    colors = matplotlib.colormaps["viridis"](np.linspace(0, 0.9, moved.size))
    for axes, name, lines in zip(grid, names, data.reshape(*data.shape[:2], -1), strict=True):
        for line, color, value in zip(lines, colors, moved, strict=True):
            axes.plot(line, color=color, lw=1, label=f"{value:.3g}")
        axes.set_title(name, fontsize=8.5)
    picture.supxlabel("dimension of the event", fontsize=9)
    heading(picture, title)
    joint_legend(picture, grid[0])
    return picture


def _drawn(
    rows: Mapping[str, NDArray[np.float64]],
    names: Sequence[str],
    texts: Sequence[str] | None,
    ncols: int,
    limits: Limits | None,
    title: str,
    ax: Axes | None,
) -> Figure:
    """Images if the events are images, else lines."""
    images = [image for data in rows.values() if (image := as_pixels(data)) is not None]
    if images:
        return mosaic(images, names, titles=texts, ncols=ncols, limits=limits, heading=title,
                      ax=ax)  # fmt: skip
    if ax is not None:
        raise DataError("ax: expected images, which fit on one axes, got other events")
    flat = {name: data.reshape(len(data), -1) for name, data in rows.items()}
    return _line_panels(flat, texts, title)


def _line_panels(
    lines: Mapping[str, NDArray[np.float64]], titles: Sequence[str] | None, title: str
) -> Picture:
    """A panel for each datum, with a line for each of ``lines``, ``(N, D)``."""
    count, size = next(iter(lines.values())).shape
    drawn = min(count, MOST_LINES)
    ncols = min(4 if drawn <= 8 else 6, drawn)
    width = max(9.6 * ncols / max(ncols, 4), 4.4)
    picture, grid = panels(drawn, ncols, width, 1.3, sharex=True, sharey=True)
    for index, axes in enumerate(grid):
        for (name, values), colour in zip(lines.items(), (BLUE, ORANGE), strict=False):
            finite = np.where(np.isfinite(values[index]), values[index], np.nan)
            dots = "o" if size <= _FEW else ""
            axes.plot(finite, color=colour, lw=1.1, marker=dots, ms=2.2, label=name)
        axes.set_title(titles[index] if titles is not None else "", fontsize=8.5)
        axes.tick_params(labelbottom=index + ncols >= drawn)
    shown = np.stack([line[:drawn] for line in lines.values()])
    said = [f"drawn: the first {drawn:,} of {count:,}"] if drawn < count else []
    lost = np.count_nonzero(~np.isfinite(shown))
    if lost:
        said.append(f"{lost:,} of {shown.size:,} values are not finite (gaps)")
    picture.supxlabel("\n".join(["dimension of the event", *filter(None, ["; ".join(said)])]),
                      fontsize=9)  # fmt: skip
    picture.supylabel("value", fontsize=9)
    heading(picture, title)
    joint_legend(picture, grid[0])
    return picture


def _titles(name: str, titles: ArrayLike | None, count: int) -> list[str] | None:
    if titles is None:
        return None
    texts = [str(title) for title in np.asarray(titles).tolist()]
    if len(texts) != count:
        raise DataError(f"{name}: expected one for each datum, {count}, got {len(texts)}")
    return texts
