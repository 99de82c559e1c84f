"""A declaration that is trained from several seeds: a folder of ordinary runs."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from pyro_vae.core.errors import CheckpointError
from pyro_vae.core.files import read_file
from pyro_vae.diagnostics.replicates import over_seeds, table_over_seeds
from pyro_vae.experiment.declaration import Experiment
from pyro_vae.experiment.run import Run, run_experiment
from pyro_vae.experiment.run_folder import HISTORY, METRICS, STATE, RunFolder, runs_of_seeds
from pyro_vae.experiment.run_state import state_of
from pyro_vae.report.table import Table
from pyro_vae.training.result import FitResult

__all__ = ["numbers_of_run", "run_seeds", "table_of_seeds"]


def run_seeds(
    experiment: Experiment,
    out: Path,
    *,
    audit: bool = True,
    show_progress: bool = True,
    say: Callable[[str], None] = lambda text: None,
    resume: bool = False,
    on_epoch: Callable[[int, FitResult], None] = lambda seed, result: None,
) -> list[Run]:
    """Train a declaration from each of its seeds: ``train.seed`` and those that follow.

    Each run is an ordinary run folder, ``out/seed-N``. An interrupt ends all; what is finished is
    not trained again when they are resumed.

    Args:
        experiment: The declaration.
        out: The folder, which holds the declaration too.
        audit: Whether to audit each ELBO.
        show_progress: Whether to show progress bars.
        say: Called with a sentence at each stage.
        resume: Whether ``out`` is such a folder, to go on with.
        on_epoch: Called with the seed and the result so far after each epoch.

    Returns:
        The runs that were trained now; the last may be interrupted.
    """
    group = RunFolder.reopen(out) if resume else RunFolder.create(out)
    runs: list[Run] = []
    with group.locked():
        group.write_declaration(experiment.mapping)
        for number in range(experiment.seeds):
            seed = experiment.train.seed + number
            train = experiment.train.model_copy(update={"seed": seed})
            path = out / f"seed-{seed}"
            if not (path / STATE).exists():
                shutil.rmtree(path, ignore_errors=True)  # killed before its first weights
            state = state_of(path)
            if state.get("status") == "finished" and state["epochs"] >= train.epochs:
                continue
            say(f"Seed {seed} ({number + 1} of {experiment.seeds}): {path}")
            run = run_experiment(
                replace(experiment, seeds=1, train=train), path, audit=audit,
                show_progress=show_progress, say=say, resume=bool(state),
                on_epoch=partial(on_epoch, seed),
            )  # fmt: skip
            runs.append(run)
            if run.result.interrupted:
                break
    return runs


def numbers_of_run(path: Path) -> dict[str, float]:
    """What a run's history says of the epoch whose weights it has, and its scores.

    Raises:
        CheckpointError: if they cannot be read.
    """
    try:
        metrics = RunFolder(path).read_json(METRICS)
        history = csv.DictReader(io.StringIO(read_file(path / HISTORY).decode()))
        best = metrics["training"]["best_epoch"]
        (record,) = [row for row in history if int(row["epoch"]) == best]
        scores = metrics["scores"]
        names = {"elbo": "ELBO", "log_likelihood": "E_q[log p(x|z)]", "kl": "KL(q(z|x) || p(z))"}
        return {
            **{
                f"{split} {name}": float(record[prefix + key])
                for split, prefix in (("train", ""), ("validation", "validation_"))
                for key, name in names.items()
                if prefix + key in record
            },
            **{f"{scores['split']} {name}": scores[key]["value"] for key, name in names.items()},
            f"{scores['split']} squared error (no nats)": scores["reconstruction"]["value"],
        }
    except (OSError, LookupError, ValueError, TypeError) as error:
        raise CheckpointError(
            f"{path}: expected the scores and the history of a run, got {error!r}; train it again"
        ) from None


def table_of_seeds(path: Path) -> Table:
    """What each run of :func:`run_seeds` scored, over the seeds.

    Raises:
        CheckpointError: if a run's scores cannot be read.
    """
    runs = runs_of_seeds(path)
    rows = [numbers_of_run(run) for run in runs.values()]
    caption = f"{len(rows)} runs in {path}."
    return table_over_seeds("Over seeds, in nats per datum", over_seeds(rows), caption=caption)
