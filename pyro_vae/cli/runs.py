"""Opens a run's folder: its model, its declaration, and its data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import typer

from pyro_vae.core.errors import CheckpointError, DataError, RunFolderError
from pyro_vae.core.messages import listed, printable
from pyro_vae.data.dataset import DataSet
from pyro_vae.data.identity import Identity
from pyro_vae.diagnostics.replicates import Replicates
from pyro_vae.diagnostics.scores import Scores
from pyro_vae.experiment.checkpoint import load, load_experiment
from pyro_vae.experiment.declaration import Experiment
from pyro_vae.experiment.run_folder import METRICS, RunFolder, runs_of_seeds
from pyro_vae.experiment.run_state import unfinished
from pyro_vae.vae import VAE


@dataclass
class OpenRun:
    """A run that has been read back."""

    folder: RunFolder
    vae: VAE
    experiment: Experiment
    data: DataSet


def open_run(path: Path, root: str | None = None) -> OpenRun:
    """Load a run's model and the data that it was trained and scored on.

    Raises:
        CheckpointError: if the folder cannot be read.
        DataError: if the data are missing, or differ from those of the run.
    """
    say_unfinished(path)
    experiment = load_experiment(path)
    if root is not None:
        known = experiment.data.arguments
        if "root" in known:
            arguments = known | {"root": root}
        elif "path" in known:
            inside = Path(root, Path(known["path"]).name)
            arguments = known | {"path": str(inside if inside.exists() else root)}
        else:
            kind = experiment.data.mapping["kind"]
            raise DataError(f"--root: expected data that are read from files, got {kind}")
        experiment = replace(experiment, data=replace(experiment.data, arguments=arguments))
    run = OpenRun(RunFolder(path), load(path), experiment, experiment.load_data())
    _check_same_data(run)
    return run


def open_seeds(path: Path, root: str | None = None) -> dict[int | None, OpenRun]:
    """The runs of a folder by seed; that of any other folder by None. Raises as ``open_run``."""
    seeds = runs_of_seeds(path)
    if not seeds:
        return {None: open_run(path, root)}
    if missing := load_experiment(path).seeds - len(seeds):
        typer.echo(f"{path}: {missing} seeds are not trained yet", err=True)
    return {seed: open_run(run, root) for seed, run in seeds.items()}


def over(scores: Mapping[int | None, Scores]) -> Scores | Replicates:
    """One run's scores as they are, several seeds' together."""
    seeds = {seed: found for seed, found in scores.items() if seed is not None}
    return Replicates(seeds) if seeds else scores[None]


def say_unfinished(path: Path) -> None:
    """Say that a run is not finished, if it is not, and how it goes on."""
    if sentence := unfinished(path):
        typer.echo(printable(sentence), err=True)


def _check_same_data(run: OpenRun) -> None:
    if METRICS not in run.folder:
        typer.echo(
            f"{run.folder.path}: stopped before it was scored, so that its data cannot be "
            f"compared with those it was trained on",
            err=True,
        )
        return
    try:
        recorded = Identity.from_dict(run.folder.read_json(METRICS)["scores"]["identity"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{run.folder.path / METRICS}: expected the identity of the data, got {error!r}; "
            f"train again"
        ) from None
    if recorded != run.data.identity:
        raise DataError(
            f"Expected the data of the run, {recorded}, got {run.data.identity}; put the same "
            f"data back, or train again"
        )


def check_suffix(option: str, path: Path, *suffixes: str) -> None:
    """Refuse a file name that does not say in which format to write.

    Raises:
        RunFolderError: listing the known suffixes.
    """
    if path.suffix not in suffixes:
        raise RunFolderError(
            f"{option}: expected a name that ends in {listed(suffixes)}, got {path}"
        )
