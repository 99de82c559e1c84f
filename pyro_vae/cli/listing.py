"""``pyro-vae list`` and ``pyro-vae schema``."""

from __future__ import annotations

from typing import Annotated

import typer

from pyro_vae.cli import options
from pyro_vae.cli.common import import_components, show, show_json


def list_components(
    family: Annotated[
        str | None,
        typer.Argument(
            help="One of data, prior, likelihood, posterior, network, objective, schedule."
        ),
    ] = None,
    matrix: Annotated[
        bool,
        typer.Option("--matrix", help="Prior by posterior: the method of the KL, or why not."),
    ] = False,
    markdown: options.Markdown = False,
    imports: options.Imports = None,
) -> None:
    """List every component: its name, what it is, and its arguments."""
    import_components(imports)
    from pyro_vae.experiment.catalogue import catalogue
    from pyro_vae.objectives.compatibility import kl_matrix

    for table in [kl_matrix()] if matrix else catalogue(family):
        show(table, markdown=markdown)


def schema(imports: options.Imports = None) -> None:
    """Print the JSON schema of a declaration, with which an editor completes a YAML file.

    Write it to a file, and name that file in the first line of your declaration:

      # yaml-language-server: $schema=pyro-vae.schema.json
    """
    import_components(imports)
    from pyro_vae.experiment.declaration import json_schema

    show_json(json_schema())
