"""``pyro-vae train``."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pyro_vae.cli import options
from pyro_vae.cli.common import assignments, import_components, say, show
from pyro_vae.core.errors import DeclarationError

if TYPE_CHECKING:
    from pyro_vae.experiment.declaration import Experiment


def train(
    context: typer.Context,
    declaration: Annotated[
        str | None,
        typer.Argument(
            metavar="[FILE] [PATH=VALUE ...]",
            help="A YAML file or preset (digits, mnist, documents, neuroscience), and overrides.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the run; by default a new one in runs/.")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Go on with a run, from its checkpoint.")
    ] = None,
    audit: Annotated[bool, typer.Option(help="Audit the ELBO after training.")] = True,
    quiet: options.Quiet = False,
    imports: options.Imports = None,
) -> int:
    """Train a VAE as declared, and write its run folder.

    Without FILE, every setting has its default: a small VAE on scikit-learn's handwritten digits.
    A run that was stopped or killed goes on with --resume RUN, to the same result as if it never
    had been; train.epochs=N beside it extends a run. Several processes share each batch by
    torchrun --nproc-per-node=N -m pyro_vae train ... seeds=N trains N runs, from N seeds, and
    gives every number an interval over them.

    Examples:
      pyro-vae train digits
      pyro-vae train vae.yaml train.epochs=100 model.prior=diagonal_normal
      pyro-vae train data.kind=mnist data.root=DIR data.binarization=dynamic
      model.likelihood=bernoulli
      pyro-vae train digits seeds=5
      pyro-vae train --resume RUN
    """
    arguments = [*([declaration] if declaration else []), *context.args]
    file = arguments.pop(0) if arguments and _is_file(arguments[0]) else None
    overrides = assignments(arguments)
    import_components(imports)
    from pyro_vae.experiment.declaration import DEFAULTS, Experiment
    from pyro_vae.experiment.presets import read_declaration
    from pyro_vae.experiment.run import run_experiment
    from pyro_vae.experiment.run_folder import DECLARATION, RunFolder
    from pyro_vae.experiment.run_state import declared_again
    from pyro_vae.experiment.shared_run import take_part
    from pyro_vae.experiment.yaml_file import override
    from pyro_vae.training.processes import check_restarts, joined, restarted
    from pyro_vae.training.settings import resolve_device

    check_restarts(out or resume)
    if out is not None and restarted() and (out / DECLARATION).is_file():
        file, out, resume = None, None, out
    processes = joined()
    if resume is not None:
        if file or out:
            given = f"file ({file})" if file else f"--out {out}"
            raise DeclarationError(
                f"--resume: expected no {given} beside it, since the run has its own declaration "
                f"and folder; leave it out",
                "The command line",
            )
        before, folder = resume, resume
        read = processes.of_first(lambda: declared_again(before, overrides).mapping)
        experiment = Experiment.read(read)
    else:
        experiment = Experiment.read(
            override(read_declaration(file) if file else {}, overrides, DEFAULTS)
        )
        folder = out or new_folder(experiment.data.mapping["kind"])
        processes.of_first(lambda: RunFolder.check_new(folder))
    resolve_device(experiment.train.device)
    if experiment.seeds > 1:
        if processes.size > 1:
            raise DeclarationError(
                f"seeds: must stay 1 where {processes.size} processes share a training, got "
                f"{experiment.seeds}; leave torchrun out, or train each seed by itself",
                "The command line",
            )
        return _train_seeds(experiment, folder, resume is not None, audit, not quiet)
    if not processes.first:
        raise typer.Exit(130 if take_part(experiment, folder).interrupted else 0)
    run = run_experiment(
        experiment, folder, audit=audit, show_progress=not quiet, say=say,
        resume=resume is not None,
    )  # fmt: skip
    show(run.result.table())
    if run.audit is not None:
        show(run.audit.table(verdict=False))
        say(f"Audit {run.audit.verdict}")
    say(
        f"{run.scores.split.capitalize()} ELBO: {run.scores.elbo} nats per datum "
        f"({run.scores.estimator}; {run.scores.count} data of {run.scores.identity})"
    )
    say(f"Pictures: {run.folder / 'pictures'}/ ({', '.join(run.pictures)})")
    if run.result.interrupted:
        say(f"Go on with: pyro-vae train --resume {run.folder}")
        return 130
    return 0 if run.audit is None or run.audit.passed else 1


def _train_seeds(
    experiment: Experiment, folder: Path, resume: bool, audit: bool, show_progress: bool
) -> int:
    """Train from several seeds, and print what came of them over the seeds."""
    from pyro_vae.experiment.run_folder import WEIGHTS
    from pyro_vae.experiment.seeds import run_seeds, table_of_seeds

    if (folder / WEIGHTS).exists():
        raise DeclarationError(
            f"seeds: must stay 1, since {folder} is the run of one seed, got {experiment.seeds}; "
            f"train a new folder",
            "Resuming",
        )
    runs = run_seeds(
        experiment, folder, audit=audit, show_progress=show_progress, say=say, resume=resume
    )
    if runs and runs[-1].result.interrupted:
        say(f"Go on with: pyro-vae train --resume {folder}")
        return 130
    show(table_of_seeds(folder))
    audits = {run.folder: run.audit for run in runs if run.audit is not None}
    for place, found in audits.items():
        say(f"Audit {found.verdict} ({place})")
    return int(not all(found.passed for found in audits.values()))


def _is_file(argument: str) -> bool:
    """Whether an argument is the declaration's file rather than an override."""
    return "=" not in argument and not argument.startswith("-")


def new_folder(name: str) -> Path:
    """A new folder in runs/, named for the time and the data, and by chance."""
    from datetime import datetime

    return Path("runs", f"{datetime.now():%Y%m%d-%H%M%S}-{name}-{secrets.token_hex(3)}")
