"""``pyro-vae list``."""

from __future__ import annotations

from typing import Annotated

import typer

from pyro_vae.cli.common import Imports, console, import_components

__all__ = ["list_components"]


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
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown.")] = False,
    imports: Imports = None,
) -> None:
    """List every component: its name, what it is, and its arguments."""
    import_components(imports)
    from pyro_vae.experiment.catalogue import catalogue
    from pyro_vae.objectives.compatibility import kl_matrix

    tables = [kl_matrix()] if matrix else catalogue(family)
    for table in tables:
        if markdown:
            typer.echo(table.markdown() + "\n")
        else:
            console().print(table)
