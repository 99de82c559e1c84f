"""Trains a row of a paper's table, and scores it as the paper does."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from torch import Tensor

from pyro_vae.data.dataset import DataSet
from pyro_vae.diagnostics.evaluate import evaluate
from pyro_vae.diagnostics.latent_units import LatentUnits
from pyro_vae.diagnostics.scores import Scores
from pyro_vae.experiment.reproduction.rows import Row, Scoring, changed
from pyro_vae.experiment.run import run_experiment
from pyro_vae.experiment.run_folder import RunFolder
from pyro_vae.report.estimate import Estimate
from pyro_vae.training.result import FitResult

__all__ = ["OneSeed", "Reproduced", "reproduce"]


@dataclass(frozen=True)
class OneSeed:
    """A row's run with one seed.

    Args:
        seed: Seed of training.
        score: The figure.
        scores: All scores.
        result: What training returned.
        seconds: Duration of training and of scoring.
    """

    seed: int
    score: Estimate
    scores: Scores
    result: FitResult
    seconds: tuple[float, float]


@dataclass
class Reproduced:
    """The reproduction of a row.

    Args:
        row: The row.
        schedule: How it was trained and scored.
        overrides: What was changed on the command line.
        runs: One for each seed.
    """

    row: Row
    schedule: str
    overrides: list[str] = field(default_factory=list)
    runs: list[OneSeed] = field(default_factory=list)

    @property
    def score(self) -> Estimate:
        """The mean over seeds, with its standard error over data (not seeds)."""
        if len(self.runs) == 1 or self.row.preset.quantity == "perplexity":
            value = fmean(run.score.value for run in self.runs)
            return replace(self.runs[0].score, value=value)
        means = sum(_nll(run.scores) for run in self.runs) / len(self.runs)
        assert isinstance(means, Tensor)
        return Estimate.of(means)

    @property
    def spread(self) -> float | None:
        """Standard deviation over seeds; None for a single seed."""
        return stdev(run.score.value for run in self.runs) if len(self.runs) > 1 else None

    @property
    def difference(self) -> float | None:
        """Our figure minus the paper's; None if the run differs from the paper's row."""
        interrupted = any(run.result.interrupted for run in self.runs)
        if changed(self.overrides) or interrupted:
            return None
        return self.score.value - self.row.figure

    @property
    def active_units(self) -> str:
        """Active units, layer by layer, of the first seed."""
        return _layers(self.runs[0].scores.units, self.row.preset.layers)

    @property
    def seconds(self) -> tuple[float, float]:
        """Duration of training and of scoring, averaged over seeds."""
        train, scoring = zip(*(run.seconds for run in self.runs), strict=True)
        return fmean(train), fmean(scoring)

    def to_dict(self) -> dict[str, Any]:
        """Everything except values for each datum, for JSON."""
        return {
            "row": self.row.name,
            "schedule": self.schedule,
            "changed": self.overrides,
            "quantity": self.row.preset.quantity,
            "ours": self.score.to_dict(),
            "seeds": {run.seed: run.score.to_dict() for run in self.runs},
            "spread": self.spread,
            "paper": {"figure": self.row.figure, "active_units": self.row.active_units,
                      "source": self.row.source},
            "difference": self.difference,
            "active_units": self.active_units,
            "seconds": dict(zip(("training", "scoring"), self.seconds, strict=True)),
            "device": self.runs[0].result.device,
            "scored": [run.scores.to_dict() for run in self.runs],
        }  # fmt: skip


def reproduce(
    row: Row,
    schedule: str,
    out: Path,
    *,
    seeds: int = 1,
    overrides: Sequence[str] = (),
    samples: int | None = None,
    data_count: int | None = None,
    show_progress: bool = True,
    say: Callable[[str], None] = lambda text: None,
) -> Reproduced:
    """Train and score a row with each seed, each in its own run folder.

    Args:
        row: The row.
        schedule: Name of the schedule.
        out: Folder for the runs: ``out/row/seed-0`` and so on.
        seeds: Number of seeds: 0, 1, ...
        overrides: ``path=value``, applied to the declaration.
        samples: Importance samples for each datum; the schedule's by default.
        data_count: Number of test data, evenly spaced; the schedule's by default.
        show_progress: Whether to show progress bars.
        say: Called with a sentence at each stage.

    Raises:
        PyroVAEError: for whatever is wrong, before training where possible.
    """
    how = row.scoring(schedule, samples, data_count)
    done = Reproduced(row, schedule, list(overrides))
    for seed in range(seeds):
        experiment = row.experiment(schedule, overrides, seed)
        folder = out / row.name / f"seed-{seed}"
        epochs = f"{experiment.train.epochs:,} epochs of batch {experiment.train.batch_size}"
        say(f"{row.name}, schedule {schedule}, seed {seed}: {epochs}")
        run = run_experiment(experiment, folder, audit=False, show_progress=show_progress, say=say)
        began = time.perf_counter()
        data = experiment.load_data()
        scores, score = _scored(row, how, run.result, data, show_progress)
        seconds = (run.result.seconds, time.perf_counter() - began)
        done.runs.append(OneSeed(seed, score, scores, run.result, seconds))
        RunFolder(out / row.name).write_json("reproduced.json", done.to_dict())
        if run.result.interrupted:
            break
    return done


def _scored(
    row: Row, how: Scoring, result: FitResult, data: DataSet, show_progress: bool
) -> tuple[Scores, Estimate]:
    count = how.data_count and min(how.data_count, len(data.test))
    nll: Any = how.samples or False
    scores = evaluate(result.vae, data, nll=nll, data_count=count, show_progress=show_progress)
    if row.preset.quantity == "perplexity":
        return scores, scores.perplexity["bound"]
    assert scores.nll is not None
    return scores, scores.nll


def _nll(scores: Scores) -> Tensor:
    """The negative log-likelihood of each datum, ``(N,)``."""
    return -scores.estimates["importance_sampling"].log_evidence


def _layers(units: LatentUnits, sizes: Sequence[int] | None) -> str:
    """Active units as the paper writes them: 25, or 26+7 for two layers."""
    if sizes is None or sum(sizes) != len(units.variance):
        return str(int(units.active.sum()))
    return "+".join(str(int(part.sum())) for part in units.active.split(list(sizes)))
