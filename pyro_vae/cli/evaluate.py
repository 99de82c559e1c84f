"""``pyro-vae evaluate``."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated

import typer

from pyro_vae.cli.common import Imports, RunPath, console, import_components

__all__ = ["evaluate"]


class Split(StrEnum):
    """A part of a data set."""

    train = "train"
    validation = "validation"
    test = "test"


class Route(StrEnum):
    """How the KL is found."""

    auto = "auto"
    exact = "exact"
    sampled = "sampled"


def evaluate(
    run: RunPath,
    split: Annotated[Split, typer.Option(help="Which data.")] = Split.test,
    kl: Annotated[Route, typer.Option(help="How the KL is found.")] = Route.auto,
    particles: Annotated[int, typer.Option(min=1, help="Draws from q(z|x) for each datum.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draws.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    root: Annotated[str | None, typer.Option(help="Where the data are now (data.root).")] = None,
    imports: Imports = None,
) -> None:
    """Score a run: the ELBO and its terms, in nats per datum, with standard errors."""
    import_components(imports)
    from pyro_vae.cli.runs import open_run
    from pyro_vae.evaluation.evaluate import evaluate as score

    opened = open_run(run, root)
    scores = score(
        opened.vae, opened.data, split=split.value, kl=kl.value, particles=particles, seed=seed
    )  # type: ignore[call-overload,unused-ignore]
    if as_json:
        typer.echo(json.dumps(scores.to_dict(), indent=2))
    else:
        console().print(scores.table())
