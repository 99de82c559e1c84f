"""An interactive map of the codes: the pointer over a code shows its datum."""

from __future__ import annotations

import importlib.util
import io
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from pyro_vae.core.errors import DataError
from pyro_vae.core.modes import device_of, evaluating
from pyro_vae.data.dataset import DataSet
from pyro_vae.plots.latent import class_colors, plane
from pyro_vae.plots.mosaic import as_pixels
from pyro_vae.plots.style import BLUE
from pyro_vae.report.html import data_uri
from pyro_vae.training.amortization import scored_split
from pyro_vae.vae import VAE

__all__ = ["MOST", "check_bokeh", "codes_map", "shown_data"]

MOST = 500  # data, which all travel in the page
VALUES = 8  # of a datum that is no image
HOVER = '<div style="color:#1d2127;font:12px sans-serif">{shown}<br>{label}datum @row</div>'


def check_bokeh() -> None:
    """Refuse to draw a map without Bokeh.

    Raises:
        DataError: saying how to install it.
    """
    if importlib.util.find_spec("bokeh") is None:
        raise DataError("The map of the codes needs Bokeh: pip install 'pyro-vae[report]'")


@torch.no_grad()
def codes_map(vae: VAE, data: DataSet) -> dict[str, str]:
    """A map of the point estimates of z for up to 500 scored data, evenly spaced.

    Two dimensions are shown as they are, more on their two principal components.

    Args:
        vae: The model.
        data: Its data.

    Returns:
        ``html`` where the map stands, ``script`` for the head of the page, and ``caption``.

    Raises:
        DataError: if the code has one dimension.
    """
    from bokeh import embed
    from bokeh.models import HoverTool
    from bokeh.plotting import figure
    from bokeh.resources import Resources

    if vae.latent_dim < 2:
        raise DataError("The map of the codes: expected a code of 2 dimensions or more, got 1")
    split = data.splits[scored_split(vae, data)]
    split = replace(split, condition=vae.completed(split.x.to(device_of(vae)), split.condition))
    rows = torch.linspace(0, len(split) - 1, min(MOST, len(split))).long()
    x = split.batch(rows, torch.Generator().manual_seed(0))
    with evaluating(vae):
        z = vae.given(split.conditions(rows)).point_estimate(x).double().numpy()
    project, names = plane(z)
    shown, template = shown_data(vae.inverse(x).numpy(), data.identity.value_range)
    labels = None if split.labels is None else split.labels[rows].numpy()
    source = dict(zip("xy", project(z).T, strict=True), datum=shown, row=rows.numpy())
    source["color"] = np.full(len(rows), BLUE)
    label = ""
    if labels is not None and labels.ndim == 1:
        source["label"], label = labels.astype(str), "label @label, "
        if (found := class_colors(labels)) is not None:
            source["color"] = np.array([found[value] for value in labels])
    picture = figure(
        width=640, height=520, x_axis_label=_plain(names[0]), y_axis_label=_plain(names[1]),
        tools="pan,wheel_zoom,box_zoom,reset", toolbar_location="above", match_aspect=True,
    )  # fmt: skip
    picture.toolbar.logo = None
    picture.scatter("x", "y", color="color", source=source, size=8, alpha=0.85)
    picture.add_tools(HoverTool(tooltips=HOVER.format(shown=template, label=label)))
    script, div = embed.components(picture)
    return {
        "html": div + script,
        "script": "\n".join(Resources(mode="inline", components=["bokeh"]).js_raw),
        "caption": f"Map of the codes of {len(rows)} of {len(split)} scored data: point at one to "
        f"see its datum. It needs a script, which is in this file.",
    }


def shown_data(x: NDArray[Any], limits: tuple[float, float] | None) -> tuple[list[str], str]:
    """Each datum as text or as a picture, and the template that shows it."""
    pixels = as_pixels(x)
    if pixels is None:
        more = ", ..." if x[0].size > VALUES else ""
        values = x.reshape(len(x), -1)[:, :VALUES]
        return [", ".join(f"{value:.4g}" for value in row) + more for row in values], "@datum"
    low, high = limits or (float(pixels.min()), float(pixels.max()))
    scaled = np.clip((pixels - low) / max(high - low, 1e-12), 0, 1)
    found = []
    for image in (255 * scaled).round().astype(np.uint8):
        stream = io.BytesIO()
        Image.fromarray(image).save(stream, format="png")
        found.append(data_uri(stream.getvalue()))
    style = "height:96px;image-rendering:pixelated"
    return found, f'<img src="@datum" alt="the datum" style="{style}">'


def _plain(name: str) -> str:
    return name.replace("$", "").replace("_", "")
