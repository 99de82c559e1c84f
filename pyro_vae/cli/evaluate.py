"""``pyro-vae evaluate``."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated

import typer

from pyro_vae.cli.common import Imports, RunPath, console, import_components

__all__ = ["Route", "Split", "evaluate"]


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
    nll: Annotated[
        int | None,
        typer.Option(min=2, metavar="K", help="Also -log p(x), by K importance samples (5000)."),
    ] = None,
    ais: Annotated[
        int | None,
        typer.Option(min=2, metavar="T", help="Also by annealing over T temperatures (1000)."),
    ] = None,
    chains: Annotated[int, typer.Option(min=2, help="Annealed chains for each datum.")] = 16,
    sandwich: Annotated[
        int | None,
        typer.Option(min=2, metavar="N", help="Bound annealing's error on N simulated data."),
    ] = None,
    data_count: Annotated[
        int | None, typer.Option(min=1, help="Score only so many data, evenly spaced.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draws.")] = 0,
    per_dimension: Annotated[
        bool, typer.Option("--per-dimension", help="Print each dimension of the code, too.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    root: Annotated[str | None, typer.Option(help="Where the data are now (data.root).")] = None,
    imports: Imports = None,
) -> None:
    """Score a run, in nats per datum, with standard errors.

    Always: the ELBO and its terms, the reconstruction error, the active units. With --nll K: the
    negative log-likelihood by K importance samples for each datum. With --ais T: the same by
    annealed importance sampling, whose error --sandwich N bounds on data drawn from the model.
    """
    import_components(imports)
    from pyro_vae.cli.runs import open_run
    from pyro_vae.core.errors import DataError
    from pyro_vae.diagnostics.evaluate import evaluate as score
    from pyro_vae.evidence.annealed import Annealing
    from pyro_vae.training.settings import resolve_device

    if sandwich is not None and ais is None:
        raise DataError("--sandwich: expected --ais T beside it, whose error it bounds")
    where = resolve_device(device)
    opened = open_run(run, root)
    scores = score(
        opened.vae.to(where), opened.data, split=split.value, kl=kl.value, particles=particles,
        nll=nll or False, ais=Annealing(ais, chains) if ais else False,
        sandwich=sandwich or False, data_count=data_count, seed=seed,
        show_progress=not (quiet or as_json),
    )  # type: ignore[call-overload,unused-ignore]  # fmt: skip
    if as_json:
        typer.echo(json.dumps(scores.to_dict(), indent=2))
        return
    console().print(scores.table())
    if per_dimension:
        console().print(scores.units.table())
