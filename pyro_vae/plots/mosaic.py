"""Many images in one set of axes, each pixel of theirs a whole number of the picture's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from numpy.typing import NDArray

from pyro_vae.core.errors import DataError
from pyro_vae.plots.style import BAD, DPI, GREY, INK, Picture, minus

__all__ = ["MOST_IMAGES", "Limits", "as_pixels", "mosaic"]

Floats = NDArray[np.float64]
Limits = tuple[float, float]

MOST_IMAGES = 100
# In dots of the picture.
_PAGE = 960
_MARGIN = 10
_GAP = 6
_LARGEST = 112
_LINE = 22  # of text


def as_pixels(data: Floats) -> Floats | None:
    """Images as (N, H, W) or (N, H, W, 3); None where the event is not an image."""
    if data.ndim == 4 and data.shape[1] == 3:
        return np.moveaxis(data, 1, -1)
    if data.ndim == 4 and data.shape[1] == 1:
        data = data[:, 0]
    return data if data.ndim == 3 and min(data.shape[1:]) > 1 else None


@dataclass(frozen=True)
class _Layout:
    """Where each image stands, in dots from the upper left corner.

    Args:
        count: Data.
        rows: Images of each datum, one above the other.
        size: Height and width of an image, in its own pixels.
        ncols: Data in a band.
        left: Room for the rows' names.
        top: Room for the heading.
        titled: Whether each datum has a title.
    """

    count: int
    rows: int
    size: tuple[int, int]
    ncols: int
    left: int
    top: int
    titled: bool

    @property
    def tile(self) -> tuple[float, float]:
        """Height and width of an image; a whole multiple of its pixels, if it is small."""
        room = (_PAGE - self.left - _MARGIN) / self.ncols - _GAP
        scale = min(room / self.size[1], _LARGEST / max(self.size))
        scale = math.floor(scale) if scale >= 1 else scale
        return self.size[0] * scale, self.size[1] * scale

    @property
    def band(self) -> float:
        """Height of a band of rows, with the gap below it."""
        between = 2 * _GAP if self.rows > 1 else 0
        return self.rows * (self.tile[0] + _GAP) + between + (_LINE if self.titled else 0)

    @property
    def page(self) -> tuple[float, float]:
        """Width and height of it all, with a line of text below."""
        width = self.left + self.ncols * (self.tile[1] + _GAP) + _MARGIN
        height = self.top + math.ceil(self.count / self.ncols) * self.band + _LINE
        return max(width, _PAGE / 2), height

    def corner(self, index: int, row: int) -> tuple[float, float]:
        """Left and top of an image."""
        band, column = divmod(index, self.ncols)
        down = row * (self.tile[0] + _GAP) + (_LINE if self.titled else 0)
        return self.left + column * (self.tile[1] + _GAP), self.top + band * self.band + down


def mosaic(
    rows: Sequence[Floats],
    names: Sequence[str] = (),
    *,
    titles: Sequence[str] | None = None,
    ncols: int = 10,
    limits: Limits | None = None,
    heading: str = "",
) -> Picture:
    """Bands of images, with one row in a band for each of ``rows``.

    Args:
        rows: Each ``(N, H, W)`` or ``(N, H, W, 3)``.
        names: Of the rows.
        titles: Of the data.
        ncols: Data in a band.
        limits: The values that are black and white, for all images alike.
        heading: Stands above.

    Raises:
        DataError: if ``ncols`` or ``limits`` make no sense.
    """
    if ncols < 1:
        raise DataError(f"ncols: expected at least 1, got {ncols}")
    count = min(len(rows[0]), MOST_IMAGES // len(rows))
    shown = [row[:count] for row in rows]
    low, high = _limits(np.stack(shown)) if limits is None else limits
    if not -math.inf < low < high < math.inf:
        raise DataError(f"limits: expected two finite numbers, low < high, got {limits}")
    layout = _Layout(
        count=count,
        rows=len(rows),
        size=rows[0].shape[1:3],
        ncols=min(ncols, count),
        left=124 if names else _MARGIN,
        top=_LINE + 2 * _GAP if heading else _MARGIN,
        titled=titles is not None,
    )
    picture, axes = _page(layout)
    _draw_images(axes, layout, shown, (low, high))
    _draw_text(axes, layout, names, (titles or ())[:count], heading)
    said = _small_print(np.stack(shown), len(rows[0]), (low, high))
    axes.text(layout.left, layout.page[1] - _GAP, said, fontsize=7.5, color=GREY)
    return picture


def _page(layout: _Layout) -> tuple[Picture, Axes]:
    """A new picture and axes over the whole of it, whose data units are its dots."""
    width, height = layout.page
    picture = Picture(width / DPI, height / DPI)
    picture.set_layout_engine("none")
    axes = picture.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(height, 0), autoscale_on=False)
    axes.set_axis_off()
    return picture, axes


def _draw_images(axes: Axes, layout: _Layout, rows: Sequence[Floats], limits: Limits) -> None:
    height, width = layout.tile
    for row, images in enumerate(rows):
        for index, image in enumerate(images):
            left, top = layout.corner(index, row)
            extent = (left, left + width, top + height, top)
            axes.imshow(_painted(image, limits), extent=extent, aspect="auto")


def _draw_text(
    axes: Axes, layout: _Layout, names: Sequence[str], titles: Sequence[str], heading: str
) -> None:
    height, width = layout.tile
    axes.text(_MARGIN, _LINE, heading, fontsize=10)
    for index, title in enumerate(titles):
        left, top = layout.corner(index, 0)
        axes.text(left + width / 2, top - 5, title, fontsize=8, ha="center")
    for index in range(0, layout.count, layout.ncols):
        for row, name in enumerate(names):
            left, top = layout.corner(index, row)
            style: Any = {"ha": "right", "va": "center", "fontsize": 8.5, "color": INK}
            axes.text(left - _GAP * 1.5, top + height / 2, name, **style)


def _painted(image: Floats, limits: Limits) -> Floats:
    """Colours of an image, (H, W, 3); what is not finite is red."""
    low, high = limits
    known = np.isfinite(image)
    scaled = np.clip((np.where(known, image, low) - low) / (high - low), 0, 1)
    if image.ndim == 2:
        scaled, known = np.repeat(scaled[..., None], 3, axis=2), known[..., None]
    return np.where(known.all(axis=2, keepdims=True), scaled, to_rgb(BAD))


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
