"""What a training is resumed from, and what must be as it was."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from pyro_vae.core.errors import CheckpointError, DeclarationError, RunFolderError
from pyro_vae.core.files import locked
from pyro_vae.core.messages import shown
from pyro_vae.training.checkpoints import Checkpoints, newest
from pyro_vae.training.result import FitResult
from pyro_vae.training.settings import TrainSettings
from pyro_vae.training.snapshot import Snapshot

__all__ = ["check_resumable", "facts_of", "opened", "snapshot_of"]

MAY_CHANGE = {"epochs", "device", "checkpoint"}


def snapshot_of(resume: FitResult | str | Path | None) -> Snapshot | None:
    """What to go on from.

    Raises:
        CheckpointError: if there is nothing.
    """
    if resume is None or isinstance(resume, FitResult):
        found = None if resume is None else resume.snapshot
        if resume is not None and found is None:
            raise CheckpointError(
                "resume: expected the result of a training of at least one step, got one without; "
                "fit anew, without resume"
            )
        return found
    stored = newest(Path(resume))
    if stored is None:
        raise CheckpointError(
            f"{resume}: expected a folder with checkpoints, got none there; fit anew, without "
            f"resume, and with checkpoints={str(resume)!r} to have some"
        )
    return stored[0]


@contextmanager
def opened(
    path: str | Path | None, settings: TrainSettings, snapshot: Snapshot | None
) -> Iterator[Checkpoints | None]:
    """The folder for checkpoints, locked for this process, if there shall be any.

    Raises:
        RunFolderError: if it cannot be made, another process writes to it, or it holds another
            training's.
    """
    if path is None or settings.checkpoint is None:
        yield None
        return
    found = Checkpoints(Path(path), **settings.checkpoint.model_dump())
    if snapshot is None and any(place.name.isdigit() for place in found.path.iterdir()):
        raise RunFolderError(
            f"{path}: expected a folder without checkpoints, but there are some of another "
            f"training; go on from them with resume={str(path)!r}, or choose another folder"
        )
    with locked(found.path) as free:
        if not free:
            raise RunFolderError(
                f"{path}: another process is training with these checkpoints; wait for its end, "
                f"or choose another folder"
            )
        yield found


def facts_of(result: FitResult, threads: int) -> dict[str, Any]:
    """What tells one training from another, as JSON."""
    settings = result.settings.model_dump(mode="json")
    facts = {
        "data": result.identity.to_dict(),
        "model": result.vae.declaration,
        "objective": result.objective,
        "train": {name: settings[name] for name in settings.keys() - MAY_CHANGE},
        "machine": {
            "torch": torch.__version__,
            "device": torch.device(result.device).type,
            "threads": threads,
        },
    }
    found: dict[str, Any] = json.loads(json.dumps(facts, default=lambda m: type(m).__name__))
    return found


def check_resumable(snapshot: Snapshot, now: dict[str, Any], epochs: int) -> None:
    """Refuse to resume another training; warn where the same one cannot be the same to the bit.

    Args:
        snapshot: What is gone on from.
        now: The :func:`facts_of` the training that goes on.
        epochs: How many epochs it shall have in all.

    Raises:
        DeclarationError: naming each setting that differs.
    """
    before, made = snapshot.facts["run"], snapshot.facts["epoch"]
    pairs = [
        (f"{section}.{name}", before[section].get(name), now[section].get(name))
        for section in now
        for name in sorted({*before[section], *now[section]} - {"name"})
    ]
    unlike = [(path, was, got) for path, was, got in pairs if was != got]
    problems = [
        f"{path}: must stay {shown(was)}, as in the training that is resumed, got {shown(got)}"
        for path, was, got in unlike
        if not path.startswith("machine.")
    ]
    if epochs < made:
        problems.append(f"train.epochs: must be at least the {made} that were made, got {epochs}")
    if problems:
        raise DeclarationError(
            [*problems, f"(what may change: {', '.join(sorted(MAY_CHANGE))})"], "Resuming"
        )
    if unlike:
        what = ", ".join(f"{path.split('.')[1]} {was}, now {got}" for path, was, got in unlike)
        warnings.warn(
            f"Resumed under other conditions ({what}): the result is that of a training that "
            f"never stopped up to rounding, and not to the bit", stacklevel=4,
        )  # fmt: skip
