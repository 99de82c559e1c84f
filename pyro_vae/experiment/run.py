"""From a declaration to a run folder: train, score, audit, draw."""

from __future__ import annotations

import itertools
import platform
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pyro_vae.auditing.audit import audit_elbo
from pyro_vae.auditing.result import ELBOAudit
from pyro_vae.core.declaration import parse
from pyro_vae.core.errors import CheckpointError, NonFiniteLoss, PyroVAEError, RunFolderError
from pyro_vae.core.modes import alone
from pyro_vae.data.dataset import DataSet
from pyro_vae.diagnostics.evaluate import evaluate
from pyro_vae.diagnostics.scores import Scores
from pyro_vae.experiment.declaration import Experiment
from pyro_vae.experiment.pictures import pictures_of
from pyro_vae.experiment.rebuild import check_rebuilds
from pyro_vae.experiment.run_folder import CHECKPOINTS, METRICS, RunFolder
from pyro_vae.experiment.run_state import STATE, Status, place, state_of, write_state
from pyro_vae.experiment.shared_run import built
from pyro_vae.experiment.tracking import Tracking
from pyro_vae.objectives.objective import Objective
from pyro_vae.training.amortization import scored_split
from pyro_vae.training.checkpoints import newest
from pyro_vae.training.fit import fit
from pyro_vae.training.result import FitResult
from pyro_vae.training.snapshot import Snapshot
from pyro_vae.vae import VAE

__all__ = ["Run", "audit_of", "run_experiment"]

SAVE_EVERY = 30.0  # seconds


@dataclass
class Run:
    """A finished run.

    Args:
        folder: The run's folder.
        result: What training returned.
        scores: On the test split if there is one.
        audit: The audit, if requested.
        pictures: Files of the pictures, by name.
    """

    folder: Path
    result: FitResult
    scores: Scores
    audit: ELBOAudit | None
    pictures: dict[str, Path]


@alone()
def run_experiment(
    experiment: Experiment,
    out: Path,
    *,
    audit: bool = True,
    show_progress: bool = True,
    say: Callable[[str], None] = lambda text: None,
    resume: bool = False,
    on_epoch: Callable[[FitResult], None] = lambda result: None,
) -> Run:
    """Train as declared, and write the run's folder.

    The folder is created, and disk space for its files reserved, before training starts. During
    training each epoch's record is appended to the history, the weights are saved every half
    minute and when an error ends it, and checkpoints as ``train.checkpoint`` says. SIGTERM and
    SIGHUP end a training as Ctrl-C does. A folder that is moved or removed meanwhile is made anew
    beside its place, with a warning.

    Args:
        experiment: The declaration.
        out: The folder; it must not exist, or be empty.
        audit: Whether to audit the ELBO at the end.
        show_progress: Whether to show a progress bar.
        say: Called with a sentence at each stage.
        resume: Whether ``out`` is the folder of a run to go on with, from its last checkpoint.
        on_epoch: Called as by ``fit``, once the epoch is saved.

    Raises:
        PyroVAEError: for whatever is wrong, before training where possible.
    """
    tracking = Tracking(experiment.train, out)
    experiment, vae, data = built(experiment, say)
    folder = RunFolder.reopen(out) if resume else _prepared(experiment, vae, out)
    with folder.locked(), tracking:
        before = newest(out / CHECKPOINTS) if resume else None
        if resume:
            say(place(before))
        result = _train(experiment, vae, data, folder, show_progress, before, resume, tracking,
                        on_epoch)  # fmt: skip
        say(_ending(result))
        return tracking.added(_finish(experiment, result, data, folder, audit))


def _prepared(experiment: Experiment, vae: VAE, out: Path) -> RunFolder:
    """The folder, with the declaration, the initial weights and space for the rest."""
    check_rebuilds(vae, experiment)
    folder = RunFolder.create(out)
    try:
        folder.write_declaration(experiment.mapping)
        folder.write_weights(vae.state_dict())
        folder.write_standardization(vae.standardization)
        write_state(folder, "training", 0, experiment.train.epochs)
        folder.reserve()
    except BaseException:
        folder.discard()
        raise
    return folder


def _train(
    experiment: Experiment, vae: VAE, data: DataSet, folder: RunFolder, show_progress: bool,
    before: tuple[Snapshot, Path] | None, resume: bool, tracking: Tracking,
    on_epoch: Callable[[FitResult], None],
) -> FitResult:  # fmt: skip
    """Train; whatever ends it, keep what was trained."""
    saved, warned, written = time.monotonic(), False, 0
    history: list[dict[str, float]] = []
    epochs, state = experiment.train.epochs, state_of(folder.path)

    def save(result: FitResult) -> None:
        nonlocal saved, history, warned, written
        history, last, written = result.history, written, len(result.history)
        try:
            if last and written == last + 1:
                folder.append_history(history[-1])
            else:  # the first, or the first after a rollback
                folder.write_history(history)
            if time.monotonic() - saved > SAVE_EVERY:
                folder.write_weights(result.vae.state_dict())
                write_state(folder, "training", len(history), epochs)
                saved = time.monotonic()
        except RunFolderError as error:
            if not warned:
                warnings.warn(f"{error}. Training goes on, and saves at its end", stacklevel=2)
            warned = True
        on_epoch(result)

    objective: Objective = experiment.objective.build()
    settings = experiment.train.model_dump(exclude={"log"})
    try:
        if resume:
            folder.write_declaration(experiment.mapping)
            write_state(folder, "training", state.get("epoch", 0), epochs)
            folder.reserve()
        return fit(vae, data, objective=objective, show_progress=show_progress, on_epoch=save,
                   checkpoints=folder.path / CHECKPOINTS, resume=before[0] if before else None,
                   callbacks=[tracking], **settings)  # fmt: skip
    except BaseException as error:
        if not history and resume:
            _put_back(folder, state)
            raise
        if not history and not isinstance(error, NonFiniteLoss):
            folder.discard()
            raise
        folder = _kept(folder, experiment, vae, history, "failed")
        if isinstance(error, PyroVAEError):
            error.args = (
                f"{error}. The weights of the last good step, and the history of {len(history)} "
                f"whole epochs, are in {folder.path}",
            )
        raise


def _put_back(folder: RunFolder, state: dict[str, Any]) -> None:
    """The folder as it was before a run was resumed that has made no epoch."""
    with suppress(RunFolderError):
        folder.release()
        if state:
            folder.write_json(STATE, state)


def _kept(
    folder: RunFolder, experiment: Experiment, vae: VAE, history: list[dict[str, float]],
    status: Status,
) -> RunFolder:  # fmt: skip
    """Save what was trained; beside the folder, if that is no longer this run's."""
    if not folder.is_mine:
        lost = folder.path
        beside = (lost.with_name(f"{lost.name}-kept-{n}") for n in itertools.count(1))
        folder = RunFolder.create(next(path for path in beside if not path.exists()))
        folder.write_declaration(experiment.mapping)
        folder.write_standardization(vae.standardization)
        warnings.warn(
            f"{lost} was moved, removed or replaced while this run trained; it is in "
            f"{folder.path}", stacklevel=5,
        )  # fmt: skip
    folder.release()
    folder.write_weights(vae.state_dict())
    folder.write_history(history)
    write_state(folder, status, len(history), experiment.train.epochs)
    return folder


def _finish(
    experiment: Experiment, result: FitResult, data: DataSet, folder: RunFolder, audit: bool
) -> Run:
    status: Status = "interrupted" if result.interrupted else "training"  # not scored yet
    folder = _kept(folder, experiment, result.vae, result.history, status)
    try:
        check_rebuilds(result.vae, experiment)
    except CheckpointError as error:  # training changed what is neither declared nor a weight
        warnings.warn(f"{folder.path} loads as another model. {error}", stacklevel=4)
    scores = evaluate(result.vae, data, split=scored_split(result.vae, data))
    audited = None
    if audit and not result.interrupted:
        objective = parse(Objective, result.objective, "objective").build()
        audited = audit_of(result.vae, data, objective)
    if not folder.is_mine:
        folder = _kept(folder, experiment, result.vae, result.history, status)
    folder.write_json(METRICS, _metrics(result, scores, audited))
    drawn = pictures_of(result, data)
    if audited is not None:
        folder.write_json("audit.json", audited.to_dict())
        if audited.draws:
            drawn["audit"] = audited.figure()
    pictures = {n: folder.write_picture(f"pictures/{n}.png", each) for n, each in drawn.items()}
    if not result.interrupted:
        write_state(folder, "finished", len(result.history), experiment.train.epochs)
    return Run(folder.path, result, scores, audited, pictures)


def audit_of(
    vae: VAE,
    data: DataSet,
    objective: Objective,
    *,
    count: int = 64,
    particles: int = 1000,
    seed: int = 0,
) -> ELBOAudit:
    """Audit a model's ELBO, and the objective that it was trained with.

    Args:
        vae: The model.
        data: Its data; some of the scored split are used, evenly spaced.
        objective: What it was trained with.
        count: Number of data.
        particles: Draws for each datum and method.
        seed: Seed of every draw.
    """
    given, x = scored_data(vae, data, count, seed)
    loss = objective.loss_for(vae.condition)
    return audit_elbo(given, x, particles=particles, loss=loss, seed=seed)


def scored_data(vae: VAE, data: DataSet, count: int, seed: int) -> tuple[VAE, Tensor]:
    """At most ``count`` data of the scored split, after the model given their conditions."""
    split = data.splits[scored_split(vae, data)]
    index = torch.linspace(0, len(split) - 1, min(count, len(split))).long()
    x = split.batch(index, torch.Generator().manual_seed(seed))
    return vae.given(split.conditions(index)).with_missing(), x


def _metrics(result: FitResult, scores: Scores, audit: ELBOAudit | None) -> dict[str, Any]:
    told = ("ended", "best_epoch", "weights", "step", "device", "skipped", "rollbacks")
    packages = ("pyro-vae", "pyro-ppl", "torch", "numpy")
    return {
        "scores": scores.to_dict(),
        "training": {
            "epochs": len(result.history),
            "seconds": round(result.seconds, 3),
            **{name: getattr(result, name) for name in told},
        },
        "audit": None if audit is None else {"passed": audit.passed, "verdict": audit.verdict},
        "versions": {"python": platform.python_version()} | {p: version(p) for p in packages},
    }


def _ending(result: FitResult) -> str:
    epochs = len(result.history)
    how = {
        "finished": f"Trained {epochs} epochs",
        "early": f"Stopped early after {epochs} epochs, with the weights of {result.best_epoch}",
        "interrupted": f"Interrupted after {epochs} whole epochs; the weights are kept, those "
        f"{result.weights}",
    }[result.ended]
    return f"{how} in {result.seconds:.1f} s on {result.device}."
