"""Whether a run is finished, and how an unfinished one is resumed."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from pyro_vae.core.errors import CheckpointError, DeclarationError
from pyro_vae.core.files import is_locked, read_file
from pyro_vae.experiment.checkpoint import load_experiment
from pyro_vae.experiment.declaration import Experiment
from pyro_vae.experiment.run_folder import STATE, RunFolder
from pyro_vae.experiment.yaml_file import override
from pyro_vae.training.resuming import ADVICE, changes
from pyro_vae.training.snapshot import Snapshot

__all__ = ["STATE", "Status", "declared_again", "place", "state_of", "unfinished", "write_state"]

Status = Literal["training", "interrupted", "finished", "failed"]


def write_state(folder: RunFolder, status: Status, epoch: int, epochs: int) -> None:
    """Record how far a run is.

    Args:
        folder: The run's.
        status: Of the run.
        epoch: Whole epochs that its weights were trained for.
        epochs: How many it shall have.
    """
    folder.write_json(STATE, {"status": status, "epoch": epoch, "epochs": epochs})


def state_of(path: Path) -> dict[str, Any]:
    """What was recorded; empty for a folder without, such as a saved model's.

    Raises:
        CheckpointError: if it cannot be read.
    """
    if not (path / STATE).exists():
        return {}
    try:
        state = json.loads(read_file(path / STATE))
        return {"status": str(state["status"]), "epoch": int(state["epoch"]),
                "epochs": int(state["epochs"])}  # fmt: skip
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise CheckpointError(
            f"{path / STATE}: expected the state of a run, got {error!r}; restore it from a copy, "
            f"or remove it if you know that the run is finished"
        ) from None


def unfinished(path: Path) -> str | None:
    """A sentence about a run that is not finished, and how to go on; None for any other."""
    state = state_of(path)
    if not state or state["status"] == "finished":
        return None
    where = f"its weights are those after {state['epoch']} of {state['epochs']} epochs"
    if is_locked(path):
        return f"{path}: this run is still training; {where}"
    how = {"training": "was killed", "interrupted": "was interrupted", "failed": "failed"}
    what = how.get(state["status"], "is not finished")
    return f"{path}: this run {what}; {where}. Go on with: pyro-vae train --resume {path}"


def declared_again(path: Path, overrides: Iterable[str]) -> Experiment:
    """The declaration of a run that is resumed, with what may change changed.

    Raises:
        CheckpointError: if the folder has no declaration that can be read.
        DeclarationError: naming what may not change, or if there is nothing left to train.
    """
    before = load_experiment(path)
    experiment = Experiment.read(override(before.mapping, overrides))
    problems = [*changes(before.mapping, experiment.mapping)]
    if problems:
        raise DeclarationError([*problems, ADVICE], "Resuming")
    epochs, state = experiment.train.epochs, state_of(path)
    if state.get("status") == "finished" and epochs <= before.train.epochs:
        raise DeclarationError(
            f"train.epochs: must be above {before.train.epochs}, since {path} is finished, got "
            f"{epochs}; add train.epochs=N to go on",
            "Resuming",
        )
    return experiment


def place(before: tuple[Snapshot, Path] | None) -> str:
    """A sentence about where a run goes on."""
    if before is None:
        return "There is no checkpoint yet: the run starts from the beginning, with its own seed."
    facts, path = before[0].facts, before[1]
    return f"Goes on from {path}: after epoch {facts['epoch']}, {facts['steps']} steps in all."
