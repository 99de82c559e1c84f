"""What a training is resumed from, and what must be as it was."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping
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

__all__ = ["ADVICE", "changes", "check_resumable", "facts_of", "opened", "snapshot_of"]

MAY_CHANGE = {"data.name", "data.root", "data.path", "seeds"} | {
    f"train.{name}"
    for name in ("epochs", "device", "checkpoint", "log", "on_nonfinite", "max_rollbacks")
}
ADVICE = (
    "(what may change: train.epochs, train.device, train.checkpoint, train.log, "
    "train.on_nonfinite, train.max_rollbacks, and where the data lie)"
)


def snapshot_of(resume: FitResult | Snapshot | str | Path | None) -> Snapshot | None:
    """What to go on from.

    Raises:
        CheckpointError: if there is nothing.
    """
    if resume is None or isinstance(resume, Snapshot):
        return resume
    if isinstance(resume, FitResult):
        if resume.snapshot is None:
            raise CheckpointError(
                "resume: expected the result of a training of at least one step, got one without; "
                "fit anew, without resume"
            )
        return resume.snapshot
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


def facts_of(result: FitResult, threads: int, processes: int = 1) -> dict[str, Any]:
    """What tells one training from another, as JSON."""
    settings = result.settings.model_dump(mode="json")
    facts = {
        "data": result.identity.to_dict(),
        "model": result.vae.declaration,
        "objective": result.objective,
        "train": {n: v for n, v in settings.items() if f"train.{n}" not in MAY_CHANGE},
        "machine": {
            "torch": torch.__version__,
            "device": torch.device(result.device).type,
            "threads": threads,
            "processes": processes,
        },
    }
    found: dict[str, Any] = json.loads(json.dumps(facts, default=lambda m: type(m).__name__))
    return found


def changes(before: Mapping[str, Any], now: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Each setting that differs between two nested mappings, in words.

    Example:
        >>> list(changes({"train": {"lr": 0.1}}, {"train": {"lr": 0.2}}))
        ['train.lr: must stay 0.1, as it was, got 0.2']
    """
    for name in sorted({*before, *now}):
        was, got, where = before.get(name), now.get(name), f"{path}{name}"
        if isinstance(was, Mapping) and isinstance(got, Mapping):
            yield from changes(was, got, f"{where}.")
        elif was != got and where not in MAY_CHANGE:
            yield f"{where}: must stay {shown(was)}, as it was, got {shown(got)}"


def check_resumable(snapshot: Snapshot, now: dict[str, Any], settings: TrainSettings) -> None:
    """Refuse to resume another training; warn where the same one cannot be the same to the bit.

    Args:
        snapshot: What is gone on from.
        now: The :func:`facts_of` the training that goes on.
        settings: Its settings.

    Raises:
        DeclarationError: naming each setting that differs.
    """
    before, made, epochs = snapshot.facts["run"], snapshot.facts["epoch"], settings.epochs
    here = before["machine"]
    problems = [*changes(before, now | {"machine": here})]
    if epochs < made:
        problems.append(f"train.epochs: must be at least the {made} that were made, got {epochs}")
    if problems:
        raise DeclarationError([*problems, ADVICE], "Resuming")
    if unlike := [f"{name} {here[name]}, now {now['machine'][name]}" for name in here
                  if here[name] != now["machine"][name]]:  # fmt: skip
        warnings.warn(
            f"Resumed under other conditions ({', '.join(unlike)}): the result is that of a "
            f"training that never stopped up to rounding, and not to the bit", stacklevel=4,
        )  # fmt: skip
    rate, was = settings.learning_rate_schedule.factor, snapshot.facts["epochs"]
    if any(rate(epoch, was) != rate(epoch, epochs) for epoch in range(1, made + 1)):
        warnings.warn(
            f"The learning rate's schedule ({settings.schedule}) depends on the number of epochs, "
            f"which was {was} and is now {epochs}: the {made} epochs that were made had other "
            f"rates than in one training of {epochs}", stacklevel=4,
        )  # fmt: skip
