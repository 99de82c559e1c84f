"""A data set as HTML, for the end of a notebook cell."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from pyro_vae.report.html import figure_uri
from pyro_vae.report.table import Table

if TYPE_CHECKING:
    from pyro_vae.data.dataset import DataSet

__all__ = ["as_html"]

IMAGES = 20
COLUMNS = 10


def as_html(data: DataSet) -> str:
    """The splits, then the first training images, or the range of the first columns."""
    said = f"{data.identity}; event shape {data.event_shape}"
    table = Table(data.identity.name, ["split", "data", "labels", "values"], caption=said)
    for name, split in data.splits.items():
        labels = "no" if split.labels is None else "yes"
        values = "redrawn for every batch" if split.dynamic else "fixed"
        table.add(name, len(split), labels, values)
    x, limits = data.train.x, data.identity.value_range
    return table._repr_html_() + (_images(x, limits) or _columns(x)._repr_html_())


def _images(x: Tensor, limits: tuple[float, float] | None) -> str:
    """The first images, or nothing if the data are no images."""
    if x.dim() != 4 or x.shape[1] not in (1, 3):
        return ""
    from pyro_vae.plots import plot_images
    from pyro_vae.plots.style import panels

    count = min(IMAGES, len(x))
    picture, (ax,) = panels()
    plot_images(x[:count], limits=limits, ax=ax)
    said = f"the first {count} training images"
    return f'<img alt="{said}" title="{said}" src="{figure_uri(picture)}">'


def _columns(x: Tensor) -> Table:
    """The range of the first columns of the training data, as the model sees them."""
    values = x.reshape(len(x), -1)
    shown = values[:, :COLUMNS].cpu().double().numpy()
    title = f"Training data, the first {shown.shape[1]} of {values.shape[1]:,} columns"
    table = Table(title, ["column", "least", "mean", "greatest"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a column may have no value at all
        for index, column in enumerate(shown.T):
            table.add(str(index), np.nanmin(column), np.nanmean(column), np.nanmax(column))
    return table
