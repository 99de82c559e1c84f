"""What came of a sweep: every trial, and the best compared on data that chose nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pyro_vae.core.messages import shown
from pyro_vae.data.dataset import DataSet
from pyro_vae.diagnostics.comparison import Comparison, compare
from pyro_vae.diagnostics.evaluate import evaluate
from pyro_vae.diagnostics.replicates import Replicates
from pyro_vae.diagnostics.scores import Scores
from pyro_vae.experiment.checkpoint import load
from pyro_vae.experiment.run_folder import runs_of_seeds
from pyro_vae.experiment.seeds import numbers_of_run
from pyro_vae.experiment.sweeps.space import Point
from pyro_vae.experiment.sweeps.study import Queue
from pyro_vae.report.estimate import Estimate
from pyro_vae.report.numbers import MISSING
from pyro_vae.report.shown import ShownAsTable
from pyro_vae.report.table import Cell, Table
from pyro_vae.training.amortization import scored_split
from pyro_vae.training.settings import resolve_device

__all__ = ["SweepResult", "Trial", "result_of"]

STYLES: dict[str, Any] = {"better": "good", "worse": "bad", "not told apart": "muted"}


@dataclass(frozen=True)
class Trial:
    """One point of a sweep.

    Args:
        number: From 0.
        state: ``complete``, ``pruned``, ``failed``, ``running`` or ``waiting``.
        point: Its settings by path.
        validation: The mean validation ELBO over the seeds; None if it is not complete.
        epochs: How many epochs its first seed was trained, so far as it was reported.
        runs: The run folders by seed, those that are on this machine.
        error: Why it failed.
    """

    number: int
    state: str
    point: Point
    validation: Estimate | None
    epochs: int
    runs: dict[int, Path]
    error: str = ""


@dataclass(frozen=True, repr=False)
class SweepResult(ShownAsTable):
    """The trials of a sweep, the best by the validation ELBO first; Jupyter shows a table.

    Args:
        trials: All of them.
        comparison: Of the best trials on the test split, with the best as reference; None if
            fewer than two are complete.
        folder: The sweep's.
    """

    trials: list[Trial]
    comparison: Comparison | None
    folder: Path

    def to_dict(self) -> dict[str, Any]:
        """The result for JSON."""
        return {
            "folder": str(self.folder),
            "trials": [
                {"number": t.number, "state": t.state, "point": t.point, "epochs": t.epochs,
                 "validation_elbo": t.validation and t.validation.to_dict(),
                 "runs": {str(s): str(p) for s, p in t.runs.items()}, "error": t.error}
                for t in self.trials
            ],
            "comparison": self.comparison and self.comparison.to_dict(),
        }  # fmt: skip

    @property
    def best(self) -> Trial | None:
        """The trial of the highest validation ELBO; None if none is complete."""
        first = next(iter(self.trials), None)
        return first if first is not None and first.state == "complete" else None

    def table(self) -> Table:
        """A row for each trial: settings, validation ELBO, and difference from the best."""
        paths = list(dict.fromkeys(path for trial in self.trials for path in trial.point))
        split = "test" if self.comparison is None else _first(self.comparison).split
        columns = ["trial", *paths, "validation ELBO", f"{split} ELBO", "less the best's",
                   "interval", "verdict"]  # fmt: skip
        table = Table("Sweep, in nats per datum", columns, caption=self._caption())
        for trial in self.trials:
            settings = [_text(trial.point.get(path)) for path in paths]
            score = str(trial.validation) if trial.validation else MISSING
            table.add(str(trial.number), *settings, score, *self._compared(trial))
        return table

    def _caption(self) -> str:
        states = [trial.state for trial in self.trials]
        counts = ", ".join(f"{states.count(s)} {s}" for s in dict.fromkeys(states))
        caption = f"{counts}. Runs: {self.folder}/trial-N/seed-N."
        if self.comparison is not None:
            caption += " The best is that of the highest validation ELBO. "
            caption += self.comparison.table().caption
        return caption

    def _compared(self, trial: Trial) -> list[str | Cell]:
        """The cells of a trial's comparison; or how it ended."""
        name, found = f"trial {trial.number}", self.comparison
        if trial.state != "complete":
            why = f" after epoch {trial.epochs}" if trial.state == "pruned" else ""
            said = f": {shown(trial.error, 80)}" if trial.error else ""
            return ["", "", "", Cell(f"{trial.state}{why}{said}", "muted")]
        if found is None or name not in found.scores:
            return ["", "", "", Cell("not compared", "muted")]
        score = str(found.means["ELBO"][name])
        if name == found.reference:
            return [score, "", "", Cell("reference", "muted")]
        gap, verdict = found.differences["ELBO"][name], found.verdicts["ELBO"][name]
        low, high = gap.interval
        return [score, gap.signed, f"[{low:+.3g}, {high:+.3g}]", Cell(verdict, STYLES[verdict])]


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping) and "kind" in value:
        rest = ", ".join(f"{k}: {v}" for k, v in value.items() if k != "kind")
        return f"{value['kind']} ({rest})" if rest else str(value["kind"])
    return MISSING if value is None else str(value)


def _first(comparison: Comparison) -> Scores:
    scores = comparison.scores[comparison.reference]
    return scores.first if isinstance(scores, Replicates) else scores


def result_of(queue: Queue, data: DataSet, top: int, show_progress: bool) -> SweepResult:
    """Read every trial, and compare the best.

    Args:
        queue: The sweep's.
        data: Its data.
        top: How many are compared.
        show_progress: Whether to show progress bars.
    """
    trials = sorted((_read(queue, frozen) for frozen in queue.study.get_trials()), key=_rank)
    complete = [trial for trial in trials if trial.state == "complete" and trial.runs]
    chosen = complete[: max(top, 0)]
    comparison = None
    if len(chosen) > 1:
        comparison = compare(
            {f"trial {t.number}": _scored(t, data, show_progress) for t in chosen}
        )
    return SweepResult(trials, comparison, queue.folder)


def _rank(trial: Trial) -> tuple[int, float, int]:
    order = ["complete", "pruned", "running", "waiting", "failed"]
    value = 0.0 if trial.validation is None else -trial.validation.value
    return order.index(trial.state), value, trial.number


def _read(queue: Queue, frozen: Any) -> Trial:
    state = {"FAIL": "failed"}.get(frozen.state.name, frozen.state.name.lower())
    runs = runs_of_seeds(queue.folder / f"trial-{frozen.number:04d}")
    validation = None
    if state == "complete":
        values = [numbers_of_run(run)["validation ELBO"] for run in runs.values()]
        validation = Estimate.of(torch.tensor(values or [frozen.value], dtype=torch.float64))
    return Trial(
        frozen.number, state, queue.decoded(frozen.params), validation,
        max(frozen.intermediate_values, default=0), runs, frozen.user_attrs.get("error", ""),
    )  # fmt: skip


def _scored(trial: Trial, data: DataSet, show_progress: bool) -> Scores | Replicates:
    scores = {}
    for seed, run in trial.runs.items():
        vae = load(run).to(resolve_device("auto"))
        split: Any = scored_split(vae, data)
        scores[seed] = evaluate(vae, data, split=split, show_progress=show_progress)
    return Replicates(scores) if len(scores) > 1 else next(iter(scores.values()))
