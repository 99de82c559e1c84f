"""A grid of images on one Axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray
from torchvision.utils import make_grid

from pyro_vae.core.errors import DataError, at_least
from pyro_vae.plots.style import BAD, DPI, GREY, as_array, axes_of, ink, minus, styled

__all__ = ["MOST_IMAGES", "Limits", "as_pixels", "mosaic", "plot_manifold"]

Floats = NDArray[np.float64]
Limits = tuple[float, float]

MOST_IMAGES = 100
# In dots of the picture:
_PAGE = 960
_MARGIN = 10
_NAMES = 124
_GAP = 6
_LARGEST = 112
_LINE = 22  # of text
_TILE = 32  # an image of the plane, at least


def as_pixels(data: Floats) -> Floats | None:
    """Images as (N, H, W) or (N, H, W, 3); None where the event is not an image."""
    if data.ndim == 4 and data.shape[1] == 3:
        return np.moveaxis(data, 1, -1)
    if data.ndim == 4 and data.shape[1] == 1:
        data = data[:, 0]
    return data if data.ndim == 3 and min(data.shape[1:]) > 1 else None


def mosaic(
    rows: Sequence[Floats],
    names: Sequence[str] = (),
    *,
    titles: Sequence[str] | None = None,
    ncols: int = 10,
    limits: Limits | None = None,
    heading: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw a grid with a column of images for each datum, one image from each of ``rows``.

    Small images are enlarged by a whole factor, so that their pixels stay sharp.

    Args:
        rows: Each ``(N, H, W)`` or ``(N, H, W, 3)``.
        names: Of the rows.
        titles: Of the data.
        ncols: Data side by side.
        limits: The values that are black and white, for all images.
        heading: The title.
        ax: Where to draw; a new figure without it.

    Raises:
        DataError: if ``ncols`` is less than 1, or ``limits`` are no interval.
    """
    at_least(1, ncols=ncols)
    count = min(len(rows[0]), MOST_IMAGES // len(rows))
    shown = np.stack([row[:count] for row in rows])
    low, high = _limits(shown) if limits is None else limits
    if not -math.inf < low < high < math.inf:
        raise DataError(f"limits: expected two finite numbers, low < high, got {limits}")
    ncols, left = min(ncols, count), _NAMES if names else _MARGIN
    room = (_PAGE - left - _MARGIN) / ncols - _GAP
    scale = min(room / shown.shape[3], _LARGEST / max(shown.shape[2:4]))
    enlarged, shrunk = max(int(scale), 1), min(scale, 1)
    gap, strip = math.ceil(_GAP / shrunk), math.ceil(_LINE / shrunk)
    strip = strip if titles is not None else 2 * gap if len(rows) > 1 else 0
    images = _painted(shown, (low, high)).repeat(enlarged, 2).repeat(enlarged, 3)
    height, width = images.shape[2:4]
    above = [strip, *[gap] * (len(rows) - 1)]  # each of a datum's images
    parts = [
        np.pad(row, ((0, 0), (space, 0), (0, 0), (0, 0)), constant_values=0.0)  # transparent
        for row, space in zip(images, above, strict=True)
    ]
    columns = torch.as_tensor(np.moveaxis(np.concatenate(parts, axis=1), -1, 1))
    grid = make_grid(columns, ncols, padding=gap, pad_value=0.0).permute(1, 2, 0).numpy()
    frame = gap if count > 1 else 0  # make_grid gives a single image none
    ax = _sized(ax, grid.shape[1] * shrunk, grid.shape[0] * shrunk, left)
    ax.imshow(grid, extent=(0, grid.shape[1], grid.shape[0], 0))
    ax.set_axis_off()
    ax.set_title(heading)
    for index, text in enumerate((titles or ())[:count]):
        band, column = divmod(index, ncols)
        x = frame + column * (width + gap) + width / 2
        y = frame + band * (columns.shape[2] + gap) + strip - 5 / shrunk
        ax.text(x, y, text, fontsize=8, ha="center", color=ink(ax))
    for index, name in enumerate(names):
        tops = range(frame, grid.shape[0] - gap, columns.shape[2] + gap)
        for top in tops:
            y = top + strip + index * (height + gap) + height / 2
            ax.text(-gap / 2, y, name, ha="right", va="center", fontsize=8.5, color=ink(ax))
    said = _small_print(shown, len(rows[0]), (low, high))
    place: Any = {"xycoords": "axes fraction", "textcoords": "offset points", "va": "top"}
    ax.annotate(said, (0, 0), xytext=(2, -2), fontsize=7.5, color=GREY, **place)
    return ax


@styled
def plot_manifold(
    x: ArrayLike,
    horizontal: ArrayLike,
    vertical: ArrayLike,
    *,
    limits: Limits | None = None,
    title: str = "The plane of codes, decoded",
    names: tuple[str, str] = ("$z_1$", "$z_2$"),
    ax: Axes | None = None,
) -> Axes:
    """Images decoded on a grid of the plane, each where its code is.

    Args:
        x: ``(R, C, H, W)``, ``(R, C, 1, H, W)`` or ``(R, C, 3, H, W)``: at ``[r, c]`` the image of
            the code ``(horizontal[c], vertical[r])``.
        horizontal: First coordinates of the codes, ``(C,)``, evenly spaced upwards.
        vertical: Second coordinates, ``(R,)``, evenly spaced upwards.
        limits: The values that are black and white.
        title: Above the picture.
        names: Of the coordinates.
        ax: Where to draw; a new figure without it.

    Raises:
        DataError: if these are no images, or their number is not that of the codes.

    Example:
        >>> from matplotlib.figure import Figure
        >>> ax = Figure().subplots()
        >>> plot_manifold(np.zeros((3, 4, 8, 8)), np.arange(4.0), np.arange(3.0), ax=ax) is ax
        True
    """
    data, across, up = (
        as_array(x, "x"),
        as_array(horizontal, "horizontal"),
        as_array(vertical, "y"),
    )
    images = as_pixels(data.reshape(-1, *data.shape[2:])) if data.ndim > 3 else None
    if images is None or data.shape[:2] != (up.size, across.size):
        raise DataError(
            f"x: expected images (R, C, H, W) for R = {up.size} vertical and C = {across.size} "
            f"horizontal coordinates, got shape {data.shape}"
        )
    grid = images.reshape(*data.shape[:2], *images.shape[1:])[::-1]  # the first row is the lowest
    painted = _painted(grid, _limits(grid) if limits is None else limits)  # (R, C, H, W, 4)
    enlarged = max(_TILE // max(painted.shape[2:4]), 1)
    painted = painted.repeat(enlarged, 2).repeat(enlarged, 3)
    painted = np.pad(painted, ((0, 0), (0, 0), (1, 1), (1, 1), (0, 0)), constant_values=0.0)
    rows, columns, height, width, _ = painted.shape
    tiled = painted.swapaxes(1, 2).reshape(rows * height, columns * width, 4)
    edges = [_edges(across), _edges(up)]
    axes, _ = axes_of(ax, 5.6, 5.6)
    axes.imshow(tiled, extent=(*edges[0], *edges[1]), interpolation="nearest", aspect="auto")
    axes.set(title=title, xlabel=names[0], ylabel=names[1])
    axes.grid(visible=False)
    return axes


def _edges(places: Floats) -> tuple[float, float]:
    """Half a step beyond the first and the last."""
    half = (places[-1] - places[0]) / max(2 * (places.size - 1), 1) or 0.5
    return float(places[0] - half), float(places[-1] + half)


def _sized(ax: Axes | None, width: float, height: float, left: float) -> Axes:
    """Axes of this size in dots where the figure's is free: an image's pixels are whole dots."""
    page = max(left + width + _MARGIN, _PAGE / 2), height + 2.5 * _LINE
    axes, free = axes_of(ax, page[0] / DPI, page[1] / DPI)
    if free:
        figure = cast("Figure", axes.figure)
        figure.set_dpi(DPI)
        figure.set_layout_engine("none")
        axes.set_position((left / page[0], _LINE / page[1], width / page[0], height / page[1]))
    return axes


def _painted(images: Floats, limits: Limits) -> Floats:
    """Opaque colours, ``(R, N, H, W, 4)``; what is not finite is red."""
    low, high = limits
    known = np.isfinite(images)
    scaled = np.clip((np.where(known, images, low) - low) / (high - low), 0, 1)
    if images.ndim == 4:
        scaled, known = np.repeat(scaled[..., None], 3, axis=-1), known[..., None]
    colours = np.where(known.all(axis=-1, keepdims=True), scaled, to_rgb(BAD))
    return np.concatenate([colours, np.ones_like(colours[..., :1])], axis=-1)


def _limits(values: Floats) -> Limits:
    finite = values[np.isfinite(values)]
    low, high = (finite.min(), finite.max()) if finite.size else (0.0, 1.0)
    if low >= 0 and high <= 1:
        return 0.0, 1.0
    return (float(low), float(high)) if high > low else (float(low) - 0.5, float(low) + 0.5)


def _small_print(shown: Floats, count: int, limits: Limits) -> str:
    low, high = (minus(f"{limit:.4g}") for limit in limits)
    grey = shown.ndim == 4
    said = [
        f"{'black' if grey else 'each channel from'} {low}{', white' if grey else ' to'} {high}"
    ]
    if shown.shape[1] < count:
        said.append(f"the first {shown.shape[1]:,} of {count:,}")
    lost = np.count_nonzero(~np.isfinite(shown))
    if lost:
        said.append(f"{lost:,} of {shown.size:,} values are not finite (red)")
    return "; ".join(said)
