"""Data as pictures: images as a grid, other events as lines."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from pyro_vae.core.errors import DataError
from pyro_vae.plots.lines import line_panels
from pyro_vae.plots.mosaic import Limits, as_pixels, mosaic
from pyro_vae.plots.style import as_array, styled

__all__ = ["image_grid", "reconstructions", "samples"]

_ROWS = ("data", "reconstruction")


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
    x: ArrayLike, ncols: int = 10, *, limits: Limits | None = None, title: str = "Samples"
) -> Figure:
    """Draws from a model: images as a grid, any other event as a line for each datum.

    Args:
        x: ``(N, *event_shape)``. Of more than 100 images or 24 lines, the first are drawn.
        ncols: Images in a row.
        limits: The values that are black and white.
        title: Above the picture.

    Raises:
        DataError: if there are none.

    Example:
        >>> len(samples(np.zeros((3, 20))).axes)
        3
    """
    data = as_array(x, "x")
    pixels = as_pixels(data)
    if pixels is None:
        return line_panels({"sample": _flat(data)}, heading=title)
    return mosaic([pixels], ncols=ncols, limits=limits, heading=title)


@styled
def reconstructions(
    x: ArrayLike,
    x_hat: ArrayLike,
    labels: ArrayLike | None = None,
    ncols: int = 10,
    *,
    limits: Limits | None = None,
    title: str = "Reconstructions",
) -> Figure:
    """Data over their reconstructions: images in bands of two rows, any other event as lines.

    Args:
        x: ``(N, *event_shape)``. Of more than 50 images or 24 lines, the first are drawn.
        x_hat: Of the same shape.
        labels: One for each datum, texts or numbers.
        ncols: Images in a row.
        limits: The values that are black and white.
        title: Above the picture.

    Raises:
        DataError: if there are none, or the shapes differ.

    Example:
        >>> x = np.zeros((12, 8, 8))
        >>> reconstructions(x, x).axes[0].get_title("left")
        'Reconstructions'
    """
    data, again = as_array(x, "x"), as_array(x_hat, "x_hat")
    if data.shape != again.shape:
        raise DataError(f"x_hat: expected the shape of x, {data.shape}, got {again.shape}")
    texts = _titles("labels", labels, len(data))
    rows = [as_pixels(data), as_pixels(again)]
    images = [row for row in rows if row is not None]
    if not images:
        lines = dict(zip(_ROWS, (_flat(data), _flat(again)), strict=True))
        return line_panels(lines, titles=texts, heading=title)
    return mosaic(images, _ROWS, titles=texts, ncols=ncols, limits=limits, heading=title)


def _flat(data: NDArray[np.float64]) -> NDArray[np.float64]:
    return data.reshape(len(data), -1)


def _titles(name: str, titles: ArrayLike | None, count: int) -> list[str] | None:
    if titles is None:
        return None
    texts = [str(title) for title in np.asarray(titles).tolist()]
    if len(texts) != count:
        raise DataError(f"{name}: expected one for each datum, {count}, got {len(texts)}")
    return texts
