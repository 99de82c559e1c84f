"""``pyro-vae evaluate``."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from pyro_vae.cli import options
from pyro_vae.cli.common import import_components, show, show_json


def evaluate(
    run: options.RunPath,
    split: options.Split = "test",
    kl: Annotated[
        Literal["auto", "exact", "sampled"], typer.Option(help="Method for the KL.")
    ] = "auto",
    particles: options.Particles = 1,
    nll: options.Samples = None,
    ais: Annotated[
        int | None,
        typer.Option(
            min=2, max=10**7, metavar="T", help="Also by annealing over T temperatures (1000)."
        ),
    ] = None,
    chains: Annotated[
        int, typer.Option(min=2, max=10**6, help="Annealed chains for each datum.")
    ] = 16,
    sandwich: Annotated[
        int | None,
        typer.Option(
            min=2, max=10**7, metavar="N", help="Bound annealing's error on N simulated data."
        ),
    ] = None,
    against: Annotated[
        Literal["independent"] | None,
        typer.Option(help="Counts: also bits per spike, beside independent Poisson counts."),
    ] = None,
    data_count: options.DataCount = None,
    seed: options.Seed = 0,
    per_dimension: Annotated[
        bool, typer.Option("--per-dimension", help="Also print each dimension of the code.")
    ] = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    device: options.Device = "auto",
    root: options.Root = None,
    imports: options.Imports = None,
) -> None:
    """Score a run, in nats per datum, with standard errors.

    Always: the ELBO and its terms, the reconstruction error, the active units. With --nll K: the
    negative log-likelihood by K importance samples for each datum. With --ais T: the same by
    annealed importance sampling, whose error --sandwich N bounds on data drawn from the model.
    The folder of several seeds' runs (seeds=N): each score with its interval over the seeds.
    Processes that torchrun started share what --nll, --ais and --sandwich compute.
    """
    import_components(imports)
    from pyro_vae.cli.runs import open_seeds, over
    from pyro_vae.core.errors import DataError
    from pyro_vae.core.processes import joined
    from pyro_vae.diagnostics.evaluate import evaluate as score
    from pyro_vae.diagnostics.replicates import Replicates
    from pyro_vae.evidence.annealed import Annealing
    from pyro_vae.training.settings import resolve_device

    if sandwich is not None and ais is None:
        raise DataError("--sandwich: expected --ais T beside it, whose error it bounds")
    where = resolve_device(device)
    scores = over({
        number: score(
            opened.vae.to(where), opened.data, split=split, kl=kl, particles=particles,
            nll=nll or False, ais=Annealing(ais, chains) if ais else False,
            sandwich=sandwich or False, against=against, data_count=data_count, seed=seed,
            show_progress=not (quiet or as_json), processes=True,
        )
        for number, opened in open_seeds(run, root).items()
    })  # fmt: skip
    if not joined().first:
        return
    if as_json:
        show_json(scores.to_dict())
        return
    show(scores.table())
    if per_dimension:
        for each in scores.scores.values() if isinstance(scores, Replicates) else [scores]:
            show(each.units.table())
