"""The table of a model's components."""

from __future__ import annotations

from typing import Any

from torch import nn

from pyro_vae.core.parts import FAMILIES, declaration_of
from pyro_vae.report.table import Table

__all__ = ["component_table"]


def component_table(model: Any) -> Table:
    """What each component of a VAE is, and how many parameters it has."""
    sizes = f"x of shape {model.event_shape}, z of size {model.latent_dim}"
    gaps = "" if model.missing == "none" else f", missing values: {model.missing}"
    title = f"{type(model).__name__}: {sizes}{gaps}, {_count(model):,} parameters"
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


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
