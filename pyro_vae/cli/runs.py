"""Opens a run's folder: its model, its declaration, and the same data again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from pyro_vae.core.errors import CheckpointError, DataError
from pyro_vae.data.dataset import DataSet
from pyro_vae.data.identity import Identity
from pyro_vae.experiment.checkpoint import load, load_experiment
from pyro_vae.experiment.declaration import Experiment
from pyro_vae.experiment.run_folder import METRICS, RunFolder
from pyro_vae.vae import VAE

__all__ = ["OpenRun", "open_run"]


@dataclass
class OpenRun:
    """A run that has been read back."""

    vae: VAE
    experiment: Experiment
    data: DataSet


def open_run(path: Path, root: str | None = None) -> OpenRun:
    """Read a run back, and its data, which must be the very same.

    Raises:
        CheckpointError: if the folder cannot be read.
        DataError: if the data are missing, or are not those that the run was scored on.
    """
    experiment = load_experiment(path)
    if root is not None:
        if "root" not in experiment.data.arguments:
            kind = experiment.data.mapping["kind"]
            raise DataError(f"--root: expected data that are read from a folder, got {kind}")
        arguments = experiment.data.arguments | {"root": root}
        experiment = replace(experiment, data=replace(experiment.data, arguments=arguments))
    vae = load(path)
    data = experiment.load_data()
    _check_same(path, data)
    return OpenRun(vae, experiment, data)


def _check_same(path: Path, data: DataSet) -> None:
    try:
        recorded = RunFolder(path).read_json(METRICS)["scores"]["data"]
    except (CheckpointError, KeyError, TypeError):
        return  # a run that was stopped before it was scored
    if Identity.from_dict(recorded) != data.identity:
        raise DataError(
            f"Expected the data of the run, {Identity.from_dict(recorded)}, got "
            f"{data.identity}; put the same data back, or train again"
        )
