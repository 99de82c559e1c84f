"""From a declaration to a run folder: train, score, audit, draw."""

from __future__ import annotations

import io
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyro
import torch

from pyro_vae.audit.audit import audit_elbo
from pyro_vae.audit.result import ELBOAudit
from pyro_vae.core.errors import PyroVAEError
from pyro_vae.data.dataset import DataSet
from pyro_vae.data.support import check_support
from pyro_vae.diagnostics.evaluate import Scores, evaluate
from pyro_vae.experiment.declaration import Experiment
from pyro_vae.experiment.pictures import pictures_of
from pyro_vae.experiment.run_folder import METRICS, RunFolder
from pyro_vae.networks.lookup import Lookup
from pyro_vae.objectives.objective import Objective
from pyro_vae.training.amortization import check_amortization, scored_split
from pyro_vae.training.fit import fit
from pyro_vae.training.result import FitResult
from pyro_vae.vae import VAE

__all__ = ["AUDITED", "Run", "audit_of", "run_experiment"]

AUDITED = 64
SAVE_EVERY = 30.0


@dataclass
class Run:
    """A training that has been written to its folder.

    Args:
        folder: Where everything is.
        result: The training.
        scores: On the test split, or on what there is.
        audit: The audit, if it was asked for.
        pictures: Where the pictures are, by name.
    """

    folder: Path
    result: FitResult
    scores: Scores
    audit: ELBOAudit | None
    pictures: dict[str, Path]


def run_experiment(
    experiment: Experiment,
    out: Path,
    *,
    audit: bool = True,
    show_progress: bool = True,
    say: Callable[[str], None] = lambda text: None,
) -> Run:
    """Train as declared, and write the run's folder.

    The folder is made, and the room for its files is taken, before the training begins; while
    it goes on the weights and the history are written every half minute.

    Args:
        experiment: What to do.
        out: The folder; it must not exist, or be empty.
        audit: Whether to audit the ELBO at the end.
        show_progress: Whether to show a progress bar.
        say: Told what is going on.

    Raises:
        PyroVAEError: whatever is wrong, before any work is lost.
    """
    data = experiment.load_data()
    experiment = experiment.for_data(data)
    say(f"Data: {data.identity}")
    pyro.set_rng_seed(experiment.train.seed)
    vae = experiment.build()
    check_support(vae.likelihood, data)
    check_amortization(vae, data)
    if isinstance(vae.encoder, Lookup):
        vae.encoder.initialize(data.train.x)  # now, so that the room for its parameters is taken
        say(f"No encoder: {vae.posterior.kind} has free parameters for each training datum.")
    folder = _prepared(experiment, vae, out)
    try:
        result = _train(experiment, vae, data, folder, show_progress)
    except PyroVAEError:
        if not (folder.path / "history.csv").exists():
            folder.discard()
        raise
    say(_ending(result))
    return _finish(result, data, folder, audit)


def _prepared(experiment: Experiment, vae: VAE, out: Path) -> RunFolder:
    """The folder with the declaration, the first weights and the room for the rest."""
    folder = RunFolder.create(out)
    try:
        folder.write_declaration(experiment.mapping)
        folder.write_weights(vae.state_dict())
        folder.reserve()
    except PyroVAEError:
        folder.discard()
        raise
    return folder


def _train(
    experiment: Experiment, vae: VAE, data: DataSet, folder: RunFolder, show_progress: bool
) -> FitResult:
    saved = time.monotonic()

    def save(result: FitResult) -> None:
        nonlocal saved
        if time.monotonic() - saved > SAVE_EVERY:
            folder.write_weights(result.vae.state_dict())
            folder.write_history(result.history)
            saved = time.monotonic()

    objective: Objective = experiment.objective.build()
    settings = experiment.train.model_dump()
    return fit(vae, data, objective=objective, show_progress=show_progress, on_epoch=save,
               **settings)  # fmt: skip


def _finish(result: FitResult, data: DataSet, folder: RunFolder, audit: bool) -> Run:
    folder.release()
    folder.write_weights(result.vae.state_dict())
    folder.write_history(result.history)
    scores = evaluate(result.vae, data, split=scored_split(result.vae, data))
    audited = None
    if audit and not result.interrupted:
        objective = {k: v for k, v in result.objective.items() if k != "kind"}
        audited = audit_of(
            result.vae, data, Objective.kinds()[result.objective["kind"]](**objective)
        )
    folder.write_json(METRICS, _metrics(result, scores, audited))
    drawn = pictures_of(result, data)
    if audited is not None:
        folder.write_json("audit.json", audited.to_dict())
        drawn["audit"] = audited.figure()
    pictures = {name: write_picture(folder, name, figure) for name, figure in drawn.items()}
    return Run(folder.path, result, scores, audited, pictures)


def audit_of(
    vae: VAE,
    data: DataSet,
    objective: Objective | None,
    *,
    count: int = AUDITED,
    particles: int = 1000,
    seed: int = 0,
) -> ELBOAudit:
    """The audit of a model on some data that it is scored on, and of what it was trained with.

    Args:
        vae: The model.
        data: Its data.
        objective: What it was trained with.
        count: How many data.
        particles: Draws for each datum and method.
        seed: Seed of every draw.
    """
    split = data.splits[scored_split(vae, data)]
    index = torch.linspace(0, len(split) - 1, min(count, len(split))).long()
    x = split.batch(index, torch.Generator().manual_seed(seed))
    loss: Any = None if objective is None else objective.pyro_loss()
    return audit_elbo(vae, x, particles=particles, loss=loss, seed=seed)


def write_picture(folder: RunFolder, name: str, figure: Any) -> Path:
    """A picture as PNG, in the folder's ``pictures``."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    return folder.write(f"pictures/{name}.png", stream.getvalue())


def _metrics(result: FitResult, scores: Scores, audit: ELBOAudit | None) -> dict[str, Any]:
    packages = ("pyro-vae", "pyro-ppl", "torch", "numpy")
    return {
        "scores": scores.to_dict(),
        "training": {
            "ended": result.ended,
            "epochs": len(result.history),
            "best_epoch": result.best_epoch,
            "seconds": round(result.seconds, 3),
            "device": result.device,
        },
        "audit": None if audit is None else {"passed": audit.passed, "verdict": audit.verdict},
        "versions": {"python": platform.python_version()} | {p: version(p) for p in packages},
    }


def _ending(result: FitResult) -> str:
    epochs = len(result.history)
    how = {
        "finished": f"Trained {epochs} epochs",
        "early": f"Stopped early after {epochs} epochs, with the weights of {result.best_epoch}",
        "interrupted": f"Interrupted after {epochs} whole epochs; what was learned is kept",
    }[result.ended]
    return f"{how} in {result.seconds:.1f} s on {result.device}."
