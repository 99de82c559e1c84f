"""``pyro-vae schema``."""

from __future__ import annotations

import json

import typer

from pyro_vae.cli.common import Imports, import_components

__all__ = ["schema"]


def schema(imports: Imports = None) -> None:
    """Print the JSON schema of a declaration, from which an editor completes a YAML file.

    Write it to a file, and name it in the first line of your declaration:

      # yaml-language-server: $schema=pyro-vae.schema.json
    """
    import_components(imports)
    from pyro_vae.experiment.declaration import json_schema

    typer.echo(json.dumps(json_schema(), indent=2))
