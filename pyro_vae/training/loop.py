"""The training loop: SVI over shuffled batches on the device."""

from __future__ import annotations

import copy
import itertools
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pyro
import torch
from pyro.optim import LambdaLR  # type: ignore[attr-defined]
from torch import Tensor

from pyro_vae.core.errors import NonFiniteLoss
from pyro_vae.data.dataset import DataSet
from pyro_vae.data.feed import feed
from pyro_vae.objectives.objective import Objective
from pyro_vae.objectives.pyro_elbos import Trace_ELBO
from pyro_vae.objectives.terms import elbo_terms_of_data
from pyro_vae.report.progress import Progress, progress
from pyro_vae.training.precision import trained_in
from pyro_vae.training.result import FitResult
from pyro_vae.training.settings import TrainSettings
from pyro_vae.training.stepper import Stepper
from pyro_vae.training.sums import Sums
from pyro_vae.vae import VAE

__all__ = ["Loop"]

ONE_THREAD = 10_000_000
TERMS = ("elbo", "log_likelihood", "kl")
VALIDATION = "validation_elbo"


def _adam(settings: TrainSettings) -> Any:
    """Pyro's Adam; its ``step()`` sets the learning rate of the next epoch."""
    schedule = settings.learning_rate_schedule
    return LambdaLR({
        "optimizer": torch.optim.Adam,
        "optim_args": {
            "lr": settings.lr, "eps": settings.adam_eps, "betas": settings.adam_betas,
        },
        "lr_lambda": lambda done: schedule.factor(min(done + 1, settings.epochs), settings.epochs),
    })  # fmt: skip


@contextmanager
def _threads(vae: VAE, batch_size: int) -> Iterator[None]:
    """Use one thread for a small network, where more would only wait for each other."""
    before = torch.get_num_threads()
    work = batch_size * sum(parameter.numel() for parameter in vae.parameters())
    torch.set_num_threads(1 if work < ONE_THREAD else before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class Loop:
    """The state of a training run."""

    def __init__(
        self,
        data: DataSet,
        objective: Objective,
        result: FitResult,
        device: torch.device,
        on_epoch: Callable[[FitResult], None] | None,
        start: dict[str, Tensor] | None,
    ) -> None:
        self.vae, self.result, self.on_epoch = result.vae, result, on_epoch
        self.start = start  # the state to go back to, until the form of the step is settled
        self.settings = result.settings
        self.loss: Trace_ELBO = objective.pyro_loss()
        self.data = feed(data.train, device)
        self.size = len(data.train)
        self.validation = data.validation.to(device)
        self.steps = -(-self.size // self.settings.batch_size) * self.settings.epochs
        self.order = torch.Generator().manual_seed(self.settings.seed)
        self.best: tuple[float, dict[str, Tensor]] | None = None
        self.optimizer: Any = _adam(self.settings)

    def run(self, show_progress: bool) -> None:
        """Train until the last epoch, early stopping or an interrupt."""
        total = self.settings.epochs * self.size
        self.began = time.perf_counter()
        try:
            with (
                _threads(self.vae, self.settings.batch_size),
                trained_in(self.vae, self.settings.precision),
                progress(total, "Training", unit="data", enabled=show_progress) as bar,
                pyro.validation_enabled(False),  # slow; the data have been checked
                warnings.catch_warnings(),
            ):
                warnings.filterwarnings("ignore", "Encountered NaN|Encountered \\+?-?inf")
                self.stepper = self._stepper(bar)
                for epoch in range(1, self.settings.epochs + 1):
                    self._epoch(epoch, bar)
                    if self._no_better():
                        self.result.ended = "early"
                        bar.note(f"stopped early: no better than epoch {self.result.best_epoch}")
                        break
        except KeyboardInterrupt:
            self.result.ended = "interrupted"
            if self.start is None:
                self.result.weights = "of the last step"
            else:  # a few steps to time or to trace are no training
                self.vae.load_state_dict(self.start)
        self.result.seconds = time.perf_counter() - self.began
        if self.best is not None:
            self.vae.load_state_dict(self.best[1])
            self.result.weights = f"of epoch {self.result.best_epoch}"

    def _stepper(self, bar: Progress) -> Stepper:
        def say(choice: str) -> None:
            self.result.step = choice
            bar.note(choice)

        method = self.settings.step
        return Stepper(
            method, self.steps, self.vae, self.data, self.optimizer, self.loss, say, bar.waiting
        )

    def _epoch(self, epoch: int, bar: Progress) -> None:
        began = time.perf_counter()
        bar.set_description_str(f"Epoch {epoch}/{self.settings.epochs}", refresh=False)
        self.vae.train()
        self.loss.begin_epoch(epoch)
        sums = Sums(self.loss)
        order = self.order.get_state()
        for batch, given in enumerate(self.data.epoch(self.settings.batch_size, self.order)):
            try:
                self.stepper.step(given)
            except NonFiniteLoss as error:
                raise self._named(error, epoch, batch, order) from None
            if self.stepper.settled:
                self.start = None
            sums.add(len(given))
            bar.advance(len(given), **sums.live)
        self.optimizer.step()
        try:
            self.stepper.check()
        except NonFiniteLoss as error:
            raise self._named(error, epoch, batch, order) from None
        record: dict[str, float] = {"epoch": epoch, **sums.means()}
        record |= self._validate()
        if VALIDATION in record:
            bar.advance(0, validation_elbo=record[VALIDATION])
        record["seconds"] = time.perf_counter() - began
        self.result.history.append(record)
        self.result.seconds = time.perf_counter() - self.began
        self._keep(record)
        if self.on_epoch is not None:
            self.on_epoch(self.result)

    def _named(self, error: NonFiniteLoss, epoch: int, batch: int, order: Tensor) -> NonFiniteLoss:
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
        terms = elbo_terms_of_data(self.vae, self.validation.x, seed=self.settings.seed)
        return {f"validation_{name}": getattr(terms, name).mean().item() for name in TERMS}

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
