"""Declarations that ship with the package: ``pyro-vae train NAME``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pyro_vae.core.errors import DeclarationError
from pyro_vae.core.messages import nearest
from pyro_vae.experiment.yaml_file import read_yaml

__all__ = ["presets", "read_declaration"]


def presets() -> dict[str, Path]:
    """The files of the presets, by name.

    Example:
        >>> sorted(presets())
        ['digits', 'documents', 'mnist', 'neuroscience', 'vision']
    """
    return {path.stem: path for path in sorted(Path(__file__).parent.glob("*.yaml"))}


def read_declaration(name: str) -> dict[str, Any]:
    """The mapping of a YAML file, or of a preset.

    Raises:
        DeclarationError: if neither exists, or it is not a YAML mapping.
    """
    path, known = Path(name), presets()
    if not path.exists() and path.suffix not in (".yaml", ".yml"):
        if name not in known:
            raise DeclarationError(
                f"{name}: expected a YAML file, or a preset ({', '.join(known)})"
                f"{nearest(name, known)}",
                "The command line",
            )
        path = known[name]
    return read_yaml(path)
