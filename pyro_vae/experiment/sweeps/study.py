"""A sweep's trials in Optuna's storage: queued once, and claimed by one process each."""

from __future__ import annotations

import importlib
import itertools
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pyro_vae.core.errors import DataError, DeclarationError
from pyro_vae.core.files import locked
from pyro_vae.experiment.sweeps.space import Point, Range, Space

__all__ = ["Queue"]


def optuna() -> Any:
    """The package.

    Raises:
        DataError: naming the extra that brings it, where it is missing.
    """
    try:
        found = importlib.import_module("optuna")
    except ImportError as error:
        raise DataError(
            f"A sweep needs Optuna, got none that can be imported ({error}); install it: "
            f"pip install 'pyro-vae[sweep]'"
        ) from None
    found.logging.set_verbosity(found.logging.WARNING)
    return found


@dataclass
class Queue:
    """The trials of a sweep.

    Args:
        space: What is tried.
        folder: The sweep's folder.
        storage: URL of Optuna's storage; a journal file in the folder without.
    """

    space: Space
    folder: Path
    storage: str | None = None
    study: Any = field(init=False)

    def __post_init__(self) -> None:
        package, prune = optuna(), self.space.prune
        pruner = package.pruners.NopPruner()
        if prune is not None:
            pruner = package.pruners.MedianPruner(prune.trials, prune.epochs)
        try:
            self.study = package.create_study(
                study_name=self.space.name, storage=self.storage or self._journal(), pruner=pruner,
                direction="maximize", load_if_exists=True,
            )  # fmt: skip
        except Exception as error:  # whatever the driver of a database raises
            first = next(iter(str(error).splitlines()), "")
            raise DeclarationError(
                f"--storage: expected the URL of a database that Optuna opens, such as "
                f"sqlite:///trials.db, got {self.storage or self.folder}: "
                f"{type(error).__name__}: {first}",
                "The command line",
            ) from None

    def _journal(self) -> Any:
        journal = importlib.import_module("optuna.storages.journal")
        backend = journal.JournalFileBackend(str(self.folder / "trials.jsonl"))
        return optuna().storages.JournalStorage(backend)

    def fill(self) -> None:
        """Queue the trials that are not there yet."""
        with self._alone():
            there = len(self.study.get_trials(deepcopy=False))
            points: Iterator[Point] = itertools.repeat({}, self.space.trials)
            if self.space.sampler == "grid":
                points = self.space.grid()
            for point in itertools.islice(points, there, None):
                self.study.enqueue_trial({k: json.dumps(v) for k, v in point.items()})

    @contextmanager
    def claimed(self) -> Iterator[Any | None]:
        """A trial for this process within the block; None if there is none left.

        One whose process died comes first, to go on with.
        """
        with ExitStack() as claim:
            with self._alone():
                trial = self._abandoned(claim)
                if trial is None and self._in_state("WAITING"):
                    trial = self.study.ask()
                    self._claim(trial.number, claim)
            yield trial

    def point(self, trial: Any) -> Point:
        """The settings of a trial; chosen by its number and the others' results alone."""
        self.study.sampler = self._sampler(trial.number)
        return {path: _suggested(trial, path, c) for path, c in self.space.choices.items()}

    def decoded(self, params: Mapping[str, Any]) -> Point:
        """The settings of a trial that Optuna has stored."""
        lists = [path for path, choice in self.space.choices.items() if isinstance(choice, list)]
        return {path: json.loads(v) if path in lists else v for path, v in params.items()}

    def _sampler(self, number: int) -> Any:
        samplers = optuna().samplers
        make = samplers.TPESampler if self.space.sampler == "tpe" else samplers.RandomSampler
        return make(seed=(self.space.seed + number) % 2**32)

    def _abandoned(self, claim: ExitStack) -> Any | None:
        for trial in self._in_state("RUNNING"):
            ours = self.storage is None or self._place(trial.number).exists()
            if ours and self._claim(trial.number, claim):
                return optuna().trial.Trial(self.study, trial._trial_id)
        return None

    def _in_state(self, name: str) -> list[Any]:
        state = optuna().trial.TrialState[name]
        found: list[Any] = self.study.get_trials(deepcopy=False, states=(state,))
        return found

    def _claim(self, number: int, claim: ExitStack) -> bool:
        place = self._place(number)
        place.mkdir(parents=True, exist_ok=True)
        return claim.enter_context(locked(place))

    def _place(self, number: int) -> Path:
        return self.folder / ".claims" / f"{number:04d}"

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One process at a time."""
        place = self.folder / ".claims"
        place.mkdir(exist_ok=True)
        while True:
            with locked(place) as free:
                if free:
                    yield
                    return
            time.sleep(0.05)

    def finish(self, number: int) -> None:
        """Forget the claim of a trial that has ended."""
        with suppress(OSError):
            self._place(number).rmdir()


def _suggested(trial: Any, path: str, choice: list[Any] | Range) -> Any:
    if isinstance(choice, list):
        return json.loads(trial.suggest_categorical(path, [json.dumps(v) for v in choice]))
    suggest = trial.suggest_int if choice.whole else trial.suggest_float
    step = {} if choice.step is None else {"step": choice.step}
    return suggest(path, choice.low, choice.high, log=choice.log, **step)
