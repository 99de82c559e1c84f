"""The training loop: SVI over shuffled batches on the device."""

from __future__ import annotations

import copy
import itertools
import time
import warnings
from collections.abc import Callable
from typing import Any

import pyro
import torch
from pyro.optim import LambdaLR  # type: ignore[attr-defined]
from torch import Tensor

from pyro_vae.core.errors import NonFiniteLoss, RunFolderError
from pyro_vae.core.modes import evaluating
from pyro_vae.core.processes import Processes
from pyro_vae.data.dataset import DataSet
from pyro_vae.data.feed import feed
from pyro_vae.objectives.kl import kl_per_dimension
from pyro_vae.objectives.objective import Objective
from pyro_vae.objectives.terms import elbo_terms_of_data
from pyro_vae.report.progress import Progress, progress
from pyro_vae.training.callbacks import Callbacks
from pyro_vae.training.checkpoints import Checkpoints
from pyro_vae.training.nonfinite import keep_for_rollback, report_skipped, roll_back
from pyro_vae.training.precision import trained_in
from pyro_vae.training.result import FitResult
from pyro_vae.training.settings import TrainSettings
from pyro_vae.training.signals import Interrupts
from pyro_vae.training.snapshot import Snapshot
from pyro_vae.training.stepper import Stepper
from pyro_vae.training.sums import Sums
from pyro_vae.training.threads import threads, threads_for

__all__ = ["Loop"]

TERMS = ("elbo", "log_likelihood", "kl")
VALIDATION = "validation_elbo"
SHOWN = 256  # data, whose KL the progress bar shows


def _adam(settings: TrainSettings, scale: Callable[[], float] = lambda: 1.0) -> Any:
    """Pyro's Adam; its ``step()`` sets the learning rate of the next epoch."""
    schedule, epochs = settings.learning_rate_schedule, settings.epochs
    return LambdaLR({
        "optimizer": torch.optim.Adam,
        "optim_args": {
            "lr": settings.lr, "eps": settings.adam_eps, "betas": settings.adam_betas,
        },
        "lr_lambda": lambda done: scale() * schedule.factor(min(done + 1, epochs), epochs),
    })  # fmt: skip


class Loop:
    """The state of a training run."""

    def __init__(
        self,
        data: DataSet,
        objective: Objective,
        result: FitResult,
        device: torch.device,
        callbacks: Callbacks,
        start: dict[str, Tensor] | None,
        facts: dict[str, Any],
        processes: Processes,
        checkpoints: Checkpoints | None = None,
        snapshot: Snapshot | None = None,
        batch_signals: bool = False,
    ) -> None:
        self.vae, self.result, self.callbacks = result.vae, result, callbacks
        self.checkpoints, self.snapshot, self.facts = checkpoints, snapshot, facts
        self.device, self.batch_signals, self.processes = device, batch_signals, processes
        self.start = start  # the state to go back to, until the form of the step is settled
        self.settings = result.settings
        self.loss = objective.loss_for(self.vae.condition)
        self.data = feed(data.train, device)
        self.size = len(data.train)
        self.validation = data.validation.to(device)
        self.steps = -(-self.size // self.settings.batch_size) * self.settings.epochs
        self.order = torch.Generator().manual_seed(self.settings.seed)
        self.order_of_epoch = self.order.get_state()
        self.batch = self.done = 0  # batches made of this epoch, steps made in all
        self.begun = False
        self.sums = Sums(self.loss)
        self.best: tuple[float, dict[str, Tensor]] | None = None
        self.rollbacks, self.kept = 0, snapshot
        self.optimizer: Any = _adam(self.settings, lambda: 0.5**self.rollbacks)

    def run(self, show_progress: bool) -> None:
        """Train until the last epoch, early stopping or an interrupt."""
        total = self.settings.epochs * self.size
        self.began = time.perf_counter()
        try:
            with (
                Interrupts(self._nothing_to_save, batch=self.batch_signals) as self.stop,
                threads(threads_for(self.vae, self.settings.batch_size)),
                trained_in(self.vae, self.settings.precision),
                progress(total, "Training", unit="data", enabled=show_progress) as bar,
                pyro.validation_enabled(False),  # slow; the data have been checked
                warnings.catch_warnings(),
            ):
                warnings.filterwarnings("ignore", "Encountered NaN|Encountered \\+?-?inf")
                self.stepper = self._stepper(bar)
                if self.snapshot is None:
                    self.stepper.begin()
                else:
                    self._resume(self.snapshot, bar)
                self.callbacks.on_start(self.result)
                bar.follow(self.result.history, self._units)
                self.begun = True
                keep_for_rollback(self)
                while len(self.result.history) < self.settings.epochs and not self._no_better():
                    try:
                        self._epoch(len(self.result.history) + 1, bar)
                    except NonFiniteLoss as error:
                        bar.advance(-self._data_of(roll_back(self, error)))
                    else:
                        self._between_epochs()
                if self._no_better():
                    self.result.ended = "early"
                    bar.note(f"stopped early: no better than epoch {self.result.best_epoch}")
                self._save()
        except KeyboardInterrupt:
            self.result.ended = "interrupted"
            if self.start is None:
                self.result.weights = "of the last step"
            else:  # a few steps to time or to trace are no training
                self.vae.load_state_dict(self.start)
        self.result.seconds = self.seconds()
        if self.best is not None:
            self.vae.load_state_dict(self.best[1])
            self.result.weights = f"of epoch {self.result.best_epoch}"

    def seconds(self) -> float:
        """The time that training has taken."""
        return time.perf_counter() - self.began

    def _data_of(self, steps: int) -> int:
        """How many data so many steps are on, from the beginning of an epoch."""
        size = self.settings.batch_size
        epochs, batches = divmod(steps, -(-self.size // size))
        return epochs * self.size + batches * size

    def _nothing_to_save(self) -> bool:
        return self.start is not None or not self.begun

    def _resume(self, snapshot: Snapshot, bar: Progress) -> None:
        """Go on from a snapshot: make the step as it was, and then the state."""
        self.start, done = None, snapshot.facts["steps"]
        bar.note(f"Resumed after epoch {snapshot.facts['epoch']}, step {done}")
        bar.advance(self._data_of(done))
        try:
            snapshot.restore(self)
            self.vae.train()
            self.loss.begin_epoch(len(self.result.history) + 1)
            batches = self.data.epoch(self.settings.batch_size, torch.Generator())
            example = {len(given): given for given in batches}
            self.stepper.resume(snapshot.facts["step"], done, example)
        finally:
            snapshot.restore(self)
        self.began -= snapshot.facts["seconds"]
        if self.result.history:
            self.result.weights = f"of epoch {self.result.best_epoch}"

    def _save(self) -> None:
        """Take a snapshot, and write it as a checkpoint where those are wanted."""
        self.result.snapshot = self.kept = Snapshot.of(self)
        if self.checkpoints is not None:
            try:
                self.checkpoints.write(self.result.snapshot)
            except RunFolderError as error:
                warnings.warn(f"{error}. Training goes on", stacklevel=2)

    def _stepper(self, bar: Progress) -> Stepper:
        def say(choice: str) -> None:
            self.result.step = choice
            bar.note(choice)

        method = self.settings.step
        return Stepper(
            method, self.steps, self.vae, self.data, self.optimizer, self.loss, say, bar.waiting,
            self.processes, skips=self.settings.on_nonfinite == "skip",
        )  # fmt: skip

    def _epoch(self, epoch: int, bar: Progress) -> None:
        began = time.perf_counter()
        bar.set_description_str(f"Epoch {epoch}/{self.settings.epochs}", refresh=False)
        self.vae.train()
        self.loss.begin_epoch(epoch)
        self.reasons: dict[int, NonFiniteLoss] = {}  # by the batch whose step is skipped
        order = self.order_of_epoch = self.order.get_state()
        for batch, given in enumerate(self.data.epoch(self.settings.batch_size, self.order)):
            if batch < self.batch:  # made before the run was resumed
                continue
            try:
                self.stepper.step(given)
                self.sums.add(len(given), batch, self.stepper.good)
            except NonFiniteLoss as error:
                named = self.named(error, epoch, batch, order)
                if not self.stepper.skips:
                    raise named from None
                self.reasons[batch] = named
                self.sums.skipped.append(batch)
                self.stepper.rewind(self.done + 1)
            if self.stepper.settled:
                self.start = None
            self.batch, self.done = batch + 1, self.done + 1
            bar.advance(len(given), **self.sums.live)
            self._between_steps(epoch, batch, order)
        self.optimizer.step()
        self._check(epoch, batch, order)
        record: dict[str, float] = {"epoch": epoch, **self.sums.means()}
        report_skipped(self, epoch, order)
        record |= self.processes.of_first(self._validate)
        if VALIDATION in record:
            bar.advance(0, validation_elbo=record[VALIDATION])
        record["seconds"] = time.perf_counter() - began
        record |= {"skip": {"skipped": len(self.sums.skipped)},
                   "rollback": {"rollbacks": self.rollbacks}, "stop": {},
                   }[self.settings.on_nonfinite]  # fmt: skip
        self.result.history.append(record)
        self.result.seconds = self.seconds()
        self._keep(record)
        self.batch, self.sums = 0, Sums(self.loss)
        self.order_of_epoch = self.order.get_state()

    def _between_epochs(self) -> None:
        self.callbacks.on_epoch(self.result)
        if self.checkpoints and self.checkpoints.is_due(len(self.result.history)):
            self._save()
        else:
            keep_for_rollback(self)

    def _between_steps(self, epoch: int, batch: int, order: Tensor) -> None:
        """Save if it is time, and end where that was asked for."""
        due = self.checkpoints is not None and self.checkpoints.is_due()
        stop = self.processes.stop(self.stop.received)
        if stop or due:
            self._check(epoch, batch, order)
            self._save()
        if stop:
            raise KeyboardInterrupt

    def _check(self, epoch: int, batch: int, order: Tensor) -> None:
        """Wait for the device, and name a step that was not finite."""
        try:
            self.stepper.check()
        except NonFiniteLoss as error:
            raise self.named(error, epoch, batch, order) from None

    def named(self, error: NonFiniteLoss, epoch: int, batch: int, order: Tensor) -> NonFiniteLoss:
        """The error with its place; that of a compiled step with its reason, by Pyro's step."""
        if error.step is not None:
            batch = error.step - (epoch - 1) * -(-self.size // self.settings.batch_size)
            self.order.set_state(order)
            batches = self.data.epoch(self.settings.batch_size, self.order)
            try:
                self.stepper.explain(next(itertools.islice(batches, batch, None)))
            except NonFiniteLoss as reason:
                error = reason
        return NonFiniteLoss(f"{error} (epoch {epoch}, batch {batch})")

    def _validate(self) -> dict[str, float]:
        if not len(self.validation):
            return {}
        vae = self.vae.given(self.validation.condition).with_missing()
        terms = elbo_terms_of_data(vae, self.validation.x, seed=self.settings.seed)
        return {f"validation_{name}": getattr(terms, name).mean().item() for name in TERMS}

    @torch.no_grad()
    def _units(self) -> list[float]:
        """The KL of each dimension on some validation data; empty where it has no closed form."""
        if not len(self.validation):
            return []
        with evaluating(self.vae):
            x = self.validation.x[:SHOWN]
            vae = self.vae.given(self.validation.condition).with_missing()
            vae = vae.at(slice(SHOWN)).most_probable(x)
            kl, _ = kl_per_dimension(vae.encode(x), vae.prior())
        return [] if kl is None else kl.mean(0).tolist()

    def _keep(self, record: dict[str, float]) -> None:
        """With patience, keep the best epoch's weights; otherwise the last epoch's."""
        if self.settings.patience is None:
            self.result.best_epoch = int(record["epoch"])
        elif self.best is None or record["validation_elbo"] > self.best[0]:
            self.best = (record["validation_elbo"], copy.deepcopy(self.vae.state_dict()))
            self.result.best_epoch = int(record["epoch"])
        self.result.weights = f"of epoch {self.result.best_epoch}"
        self.start = None

    def _no_better(self) -> bool:
        patience = self.settings.patience
        return (
            patience is not None and len(self.result.history) - self.result.best_epoch >= patience
        )
