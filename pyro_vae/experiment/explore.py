"""An explorer of a trained model for Jupyter: its codes, and what it makes of them."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyro_vae.core.errors import DataError
from pyro_vae.core.modes import device_of, evaluating, seeded
from pyro_vae.core.prior import codes_of
from pyro_vae.data.conditions import conditioned
from pyro_vae.data.dataset import DataSet
from pyro_vae.data.loading import load_data
from pyro_vae.data.source import Source
from pyro_vae.data.standardization import own
from pyro_vae.diagnostics.latent_units import latent_units
from pyro_vae.distributions.by_column import typical
from pyro_vae.experiment.codes_map import MOST, shown_data
from pyro_vae.experiment.explorer_parts import clicked_map, condition_widgets, dots, image
from pyro_vae.plots.latent import class_colors, plane
from pyro_vae.plots.mosaic import as_pixels
from pyro_vae.plots.style import BLUE
from pyro_vae.report.numbers import MISSING, number
from pyro_vae.report.table import Table
from pyro_vae.training.amortization import scored_split
from pyro_vae.vae import VAE

__all__ = ["Explorer", "explore"]

SLIDERS, NEIGHBOURS, DRAWS, ROWS = 12, 5, 200, 20
SIDE = 320  # of the map, in pixels


def explore(vae: VAE, data: DataSet | Source | str | Mapping[str, Any] | Any) -> Explorer:
    """Explore a model in a notebook: end a cell with ``explore(vae, data)``.

    A slider for each dimension of z, those with the greatest KL first, and p(x|z) decoded as they
    move; a map of the codes, on which a click chooses a datum (and, in two dimensions, a click
    beside all codes chooses that z); the posterior of the chosen datum, its reconstruction, and
    the data with the nearest codes. A conditional model has a list of classes, or a slider for
    each number of the condition, too; to choose a datum chooses its condition. Without anywidget
    the map takes no clicks. A missing value is a dash in a table, and 0 in an image.

    Args:
        vae: The model.
        data: A data set, its declaration, or an array or table, as :func:`~pyro_vae.fit` takes
            them; up to 500 of its scored split are shown.

    Raises:
        DataError: if ipywidgets is not installed, or if a conditional model's data have no
            conditions.
    """
    if importlib.util.find_spec("ipywidgets") is None:
        raise DataError("explore needs ipywidgets: pip install 'pyro-vae[notebooks]'")
    found = load_data(data, vae.standardization, vae.on_missing)
    return Explorer(vae, conditioned(found, vae.condition))


class Explorer:
    """What :func:`explore` shows; its attributes may be set from another cell.

    Args:
        vae: The model.
        data: Its data.

    Attributes:
        chooser: The widget with the place of the chosen datum, from 0.
        sliders: A slider for each dimension that is shown, by its place in z.
        conditions: The widgets of the condition, one for each of its numbers; none for a model
            without.
    """

    def __init__(self, vae: VAE, data: DataSet) -> None:
        self.vae, self.limits, self.names = vae, data.identity.value_range, data.columns
        split = data.splits[scored_split(vae, data)]
        self.rows = torch.linspace(0, len(split) - 1, min(MOST, len(split))).long()
        generator = torch.Generator().manual_seed(0)
        self.x = split.batch(self.rows, generator).to(device_of(vae))
        labels = None if split.labels is None else split.labels[self.rows.to(split.x.device)]
        self.labels = labels.cpu().numpy() if labels is not None and labels.ndim == 1 else None
        self.c = split.conditions(self.rows)
        given = vae.given(self.c)
        with evaluating(vae), torch.no_grad(), seeded(0, device_of(vae)):
            self.codes = given.point_estimate(self.x)
            prior = codes_of(given.cycled(1000).prior(), 1000)
        self.project, self.axes = plane(self.codes.double().cpu().numpy())
        units = latent_units(given, self.x)
        kl = units.variance if units.kl is None else units.kl
        decoded = set(range(vae.latent_dim)[vae.code])
        order = [m for m in kl.argsort(descending=True).tolist() if m in decoded][:SLIDERS]
        name = "variance" if units.kl is None else "KL"
        self.costs = {m: f"{name} {number(kl[m].item(), 2)}" for m in order}
        self._build(order, torch.cat([self.codes, prior]))
        self._placing = False
        self._choose()

    def _build(self, order: Sequence[int], seen: Tensor) -> None:
        """Make the widgets; the sliders reach as far as these codes do, ``(N, M)``."""
        import ipywidgets as w

        low, high = seen.min(0).values.tolist(), seen.max(0).values.tolist()
        self.sliders = {m: w.FloatSlider(
            min=low[m], max=high[m], step=(high[m] - low[m]) / 200, readout_format=".2f",
            description=f"z{m}", style={"description_width": "28px"}, layout={"width": "240px"},
        ) for m in order}  # fmt: skip
        self.beside = {m: w.HTML(layout={"width": "160px"}) for m in order}
        self.chooser = w.BoundedIntText(
            0, 0, len(self.x) - 1, description="datum", layout={"width": "150px"},
            style={"description_width": "50px"},
        )  # fmt: skip
        self.decoded, self.others, self.map = w.HTML(), w.HTML(), clicked_map()
        reset, draw = (
            w.Button(description=text, layout={"width": "auto"})
            for text in ("to its code", "draw z ~ p(z)")
        )
        self.conditions = condition_widgets(self.vae.condition, self.c)
        rows = [w.HBox([slider, self.beside[m]]) for m, slider in self.sliders.items()]
        rows += self.conditions
        fixed = {"flex": "0 0 auto", "margin": "0 16px 0 0"}
        buttons = w.HBox([self.chooser, reset, draw])
        parts = [w.VBox(column, layout=fixed) for column in (rows, [self.decoded, buttons])]
        top = w.HBox([*parts, self.map], layout={"flex_flow": "row wrap"})
        self.widget = w.VBox([top, self.others])
        for slider in [*self.sliders.values(), *self.conditions]:
            slider.observe(self._moved, "value")
        self.chooser.observe(lambda change: self._choose(), "value")
        if self.map.has_trait("clicked"):
            self.map.observe(lambda change: self._clicked(*change["new"][:2]), "clicked")
        reset.on_click(lambda button: self._choose())
        draw.on_click(lambda button: self.place(codes_of(self._given().prior(), 1)[0]))

    def _repr_mimebundle_(self, **options: Any) -> Any:
        return self.widget._repr_mimebundle_(**options)

    def place(self, z: Tensor) -> None:
        """Decode this z, ``(M,)``, and move the sliders to it."""
        self.z, self._placing = z.detach().clone(), True
        for m, slider in self.sliders.items():
            value = self.z[m].item()
            slider.min, slider.max = min(slider.min, value), max(slider.max, value)
            slider.value = value
        self._placing = False
        self._show()

    def _moved(self, change: Any) -> None:
        """A slider or the condition was moved by hand."""
        if not self._placing:
            for m, slider in self.sliders.items():
                self.z[m] = slider.value
            self._show()

    def _given(self, *rows: int) -> VAE:
        """The model given the widgets' condition, and then those of these of the data."""
        if self.c is None:
            return self.vae
        values = [widget.value for widget in self.conditions]
        moved = torch.as_tensor(values, device=self.c.device)
        return self.vae.given(torch.stack([moved.reshape(self.c.shape[1:]), *self.c[[*rows]]]))

    def _choose(self) -> None:
        """Another datum was chosen: go to its code and condition, and show its posterior."""
        chosen = self.x[self.chooser.value][None]
        self._placing = True
        if self.c is not None:
            own = self.c[self.chooser.value].flatten().tolist()
            for widget, value in zip(self.conditions, own, strict=True):
                widget.value = value
        with evaluating(self.vae), torch.no_grad(), seeded(0, device_of(self.vae)):
            q = self._given().encode(chosen)
            self.draws = q.sample(torch.Size([DRAWS]))[:, 0]
        mean, spread = self.draws.mean(0), self.draws.std(0)
        for m, beside in self.beside.items():
            said = f"q: {number(mean[m].item(), 2)} ± {number(spread[m].item(), 2)}"
            beside.value = f"<small>{said}, {self.costs[m]}</small>"
        self.place(self.codes[self.chooser.value])

    def _clicked(self, x: float, y: float) -> None:
        """The datum whose code is nearest on the map; in two dimensions also any z."""
        away = np.hypot(*(self._on_map(self.codes) - [x, y]).T)
        nearest = int(away.argmin())
        if self.vae.latent_dim == 2 and away[nearest] > 8:
            low, scale = self._frame()
            at = [low[0] + x / scale, low[1] + (SIDE - y) / scale]
            self.place(self.codes.new_tensor(at))
        elif self.chooser.value == nearest:
            self._choose()
        else:
            self.chooser.value = nearest

    def _show(self) -> None:
        """Draw everything that depends on z."""
        chosen = self.chooser.value
        datum = self.x[chosen][None]
        away = (self.codes - self.z).square().sum(1)
        away[chosen] = torch.inf
        near = away.argsort()[: min(NEIGHBOURS, len(self.x) - 1)].tolist()
        codes = torch.stack([self.z, self.codes[chosen]])
        with evaluating(self.vae), torch.no_grad():
            given = self._given(chosen)
            made = typical(given.decode(codes, datum.expand(2, *datum.shape[1:])))
        x = torch.cat([made, datum.to(made.dtype), self.x[near].to(made.dtype)])
        names = ["p(x|z)" if self.c is None else "p(x|z, c)", "reconstruction", self._name(chosen),
                 *(f"near: {self._name(n)}" for n in near)]  # fmt: skip
        if as_pixels(x.cpu().numpy()) is None:
            self.decoded.value, self.others.value = self._table(x[:3], names[:3]), ""
            if near:
                self.others.value = self._table(x[3:], names[3:])
        else:
            sources = shown_data(self.vae.inverse(x).nan_to_num().cpu().numpy(), self.limits)[0]
            drawn = [image(*pair) for pair in zip(sources, names, strict=True)]
            self.decoded.value = image(sources[0], names[0], 200)
            self.others.value = "".join(drawn[1:])
        self.map.value = self._drawn_map()

    def _name(self, index: int) -> str:
        label = "" if self.labels is None else f", label {self.labels[index]}"
        return f"datum {index}{label}"

    def _table(self, x: Tensor, names: Sequence[str]) -> str:
        """A column for each datum, a row for each of the first values, in the data's units."""
        values = own(x.nan_to_num(), self.vae.standardization)
        columns = list(getattr(values, "columns", self.names or range(x[0].numel())))
        cells = values.to_numpy() if hasattr(values, "to_numpy") else values.cpu().flatten(1)
        cells = np.where(x.isnan().cpu().flatten(1), MISSING, np.asarray(cells, dtype=object))
        table = Table("", ["", *names])
        for name, row in list(zip(columns, cells.T, strict=True))[:ROWS]:
            table.add(str(name), *row)
        if len(columns) > ROWS:
            table.caption = f"the first {ROWS} of {len(columns)} values"
        return table._repr_html_()

    def _frame(self) -> tuple[Any, float]:
        """The lower left corner of the map, and its pixels for each unit."""
        points = self.project(self.codes.double().cpu().numpy())
        low, high = points.min(0), points.max(0)
        span = 1.2 * max(*(high - low), 1e-9)
        return (low + high - span) / 2, SIDE / span

    def _on_map(self, z: Tensor) -> Any:
        low, scale = self._frame()
        x, y = (scale * (self.project(z.double().cpu().numpy().reshape(len(z), -1)) - low)).T
        return np.stack([x, SIDE - y], 1)

    def _drawn_map(self) -> str:
        points, colors = self._on_map(self.codes), None
        if self.labels is not None:
            colors = class_colors(self.labels)
        groups = {"": BLUE} if colors is None else colors
        paths = [
            dots(points if colors is None else points[self.labels == label], color, 7)
            for label, color in groups.items()
        ]
        (x, y), (cx, cy) = self._on_map(torch.stack([self.z, self.codes[self.chooser.value]]))
        axes = " against ".join(name.replace("$", "").replace("_", "") for name in self.axes[::-1])
        axes = axes.replace("principal component", "component").replace(" of variance", "")
        return (
            f'<svg role="img" aria-label="map of the codes" viewBox="0 0 {SIDE} {SIDE + 32}" '
            f'width="{SIDE}" style="cursor:pointer;font:11px sans-serif" fill="currentColor">'
            f'<svg width="{SIDE}" height="{SIDE}"><rect width="100%" height="100%" fill="#8881"/>'
            f"{''.join(paths)}{dots(self._on_map(self.draws), '#d9772b', 3)}"
            f'<circle cx="{cx:.1f}" cy="{cy:.1f}" r="7" fill="none" stroke="currentColor"/>'
            f'<path d="M{x - 9:.1f} {y:.1f}h18m-9 -9v18" stroke="#cc2f3a" stroke-width="2"/></svg>'
            f'<text x="2" y="{SIDE + 13}">{axes}</text>'
            f'<text x="2" y="{SIDE + 27}">orange: q(z|x); ring: its datum; cross: z</text>'
            "</svg>"
        )
