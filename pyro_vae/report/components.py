"""The table of a model's components."""

from __future__ import annotations

import base64
import html
import importlib.util
import shutil
from typing import Any

import torch
from torch import nn

from pyro_vae.core.modes import device_of, evaluating, seeded
from pyro_vae.core.parts import FAMILIES, declaration_of
from pyro_vae.report.table import Table

__all__ = ["component_table", "model_graph"]


def component_table(model: Any) -> Table:
    """What each component of a VAE is, and how many parameters it has."""
    sizes = f"x of shape {model.event_shape}, z of size {model.latent_dim}"
    gaps = "" if model.missing == "none" else f", missing values: {model.missing}"
    depends = "" if model.condition is None else f", condition: {model.condition.declaration}"
    why = declaration_of(model.missing_model)
    depends += "" if why is None else f", missing model: {why}"
    title = f"{type(model).__name__}: {sizes}{gaps}{depends}, {_count(model):,} parameters"
    table = Table(title, ["component", "kind", "arguments", "parameters"])
    for name in FAMILIES:
        part = getattr(model, name)
        declared = declaration_of(part)
        given = dict(declared) if isinstance(declared, dict) else {"kind": type(declared).__name__}
        kind = given.pop("kind")
        if "path" in given:  # of a plain module, whose arguments may be a tree
            given = {"module": given["path"].rpartition(".")[2]}
        arguments = ", ".join(f"{key}={value}" for key, value in given.items())
        table.add(name, kind, arguments, f"{_count(part):,}")
    return table


def model_graph(model: Any) -> str:
    """The graph of ``model.model``, by ``pyro.render_model``, as HTML that opens on a click."""
    said = (
        "It needs Graphviz: the Python package (pip install graphviz) and the program dot "
        "(graphviz.org/download)"
    )
    if importlib.util.find_spec("graphviz") is not None and shutil.which("dot") is not None:
        try:
            said = _graph(model)
        except Exception as error:  # the end of a cell shows what is wrong, and raises nothing
            said = html.escape(f"It cannot be drawn: {type(error).__name__}: {error}")
    return f"<details><summary>Graph of the model</summary>\n{said}\n</details>"


def _graph(model: Any) -> str:
    import pyro

    with torch.no_grad(), evaluating(model), seeded(0, device_of(model)):
        x = model.generate(2, sample=True, standardized=True)
        graph = pyro.render_model(model.model, model_args=(x,), render_distributions=True)
    source = base64.b64encode(graph.pipe(format="svg")).decode()
    return f'<img alt="graph of the Pyro model" src="data:image/svg+xml;base64,{source}">'


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
