"""Callbacks that write a training to TensorBoard, MLflow or Weights & Biases."""

from __future__ import annotations

import importlib
import io
import json
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from pyro_vae.core.errors import DeclarationError, RunFolderError
from pyro_vae.core.messages import flattened
from pyro_vae.training.callbacks import Callback
from pyro_vae.training.result import FitResult
from pyro_vae.training.resuming import facts_of
from pyro_vae.training.threads import threads_for

__all__ = ["MLflow", "TensorBoard", "Tracker", "WandB"]


class Tracker(Callback, ABC):
    """Writes the declaration, each epoch's record and the learning curves somewhere.

    A training that is resumed is written again from its first epoch. What cannot be written
    during training is left out, with one warning.

    How to write one:
        Give ``package`` and ``extra``, and override ``open``, ``numbers``, ``text``, ``picture``
        and ``close``.

    Raises:
        DeclarationError: if its package is not installed.
    """

    package: ClassVar[str]
    extra: ClassVar[str]
    _works = False  # from when it is opened until it fails

    def __init__(self) -> None:
        try:
            self.module: Any = importlib.import_module(self.package)
        except ImportError as error:
            raise DeclarationError(
                f"{self.extra}: needs a package that is not installed ({error}): pip install "
                f"'pyro-vae[{self.extra}]'",
                "Tracking",
            ) from None

    @abstractmethod
    def open(self, settings: Mapping[str, Any]) -> None:
        """Begin, with the declaration, flattened: ``{"model.prior.kind": "vamp", ...}``."""

    @abstractmethod
    def numbers(self, epoch: int, record: Mapping[str, float]) -> None:
        """Write an epoch's numbers, in nats per datum."""

    @abstractmethod
    def text(self, name: str, content: str) -> None:
        """Write a text, such as the audit's verdict."""

    @abstractmethod
    def picture(self, name: str, image: Image.Image) -> None:
        """Write a picture."""

    @abstractmethod
    def close(self, ended: str) -> None:
        """End, with the reason: ``finished``, ``early``, ``interrupted`` or ``failed``."""

    def on_start(self, result: FitResult) -> None:
        """Write the declaration, and the epochs that were made before."""
        facts = facts_of(result, threads_for(result.vae, result.settings.batch_size))
        try:
            self.open(flattened(facts))
        except Exception as error:  # of the tracker's own, which nothing here can name
            raise RunFolderError(
                f"{self.extra}: expected to write there, got {type(error).__name__}: {error}; "
                f"see that it can be reached, or train without it"
            ) from error
        self._works = True
        self.write(self.text, "declaration", json.dumps(facts, indent=2))
        for record in result.history:
            self.write(self.numbers, int(record["epoch"]), record)

    def on_epoch(self, result: FitResult) -> None:
        """Write the epoch's record."""
        record = result.history[-1]
        self.write(self.numbers, int(record["epoch"]), record)

    def on_end(self, result: FitResult) -> None:
        """Write the learning curves, and close."""
        if result.history:
            stream = io.BytesIO()
            result.figure().savefig(stream, format="png")
            self.write(self.picture, "elbo", Image.open(stream))
        self.write(self.close, result.ended)

    def write(self, how: Callable[..., None], *content: Any) -> None:
        """Write by one of its methods; a failure is warned of once, and nothing follows it."""
        if not self._works:
            return
        try:
            how(*content)
        except Exception as error:  # a tracker's failure must not end a training
            self._works = False
            warnings.warn(
                f"{self.extra}: nothing more is written there, since {type(error).__name__}: "
                f"{error}. Training goes on", stacklevel=2,
            )  # fmt: skip


class TensorBoard(Tracker):
    """Writes to a folder that ``tensorboard --logdir FOLDER`` shows.

    Args:
        folder: Of the event files.

    Example:
        >>> TensorBoard("logs/vae")  # doctest: +SKIP
    """

    package, extra = "torch.utils.tensorboard", "tensorboard"

    def __init__(self, folder: str | Path) -> None:
        super().__init__()
        self.folder, self.step = str(folder), 0

    def open(self, settings: Mapping[str, Any]) -> None:
        """Begin a file, which replaces what was written to the folder before."""
        self.writer = self.module.SummaryWriter(self.folder, purge_step=0)

    def numbers(self, epoch: int, record: Mapping[str, float]) -> None:
        """Write a scalar for each."""
        self.step = epoch
        for name, value in record.items():
            if name != "epoch":
                self.writer.add_scalar(name, value, epoch)
        self.writer.flush()

    def text(self, name: str, content: str) -> None:
        """Write it as preformatted text."""
        indented = "\n".join(f"    {line}" for line in content.splitlines())
        self.writer.add_text(name, indented, self.step)

    def picture(self, name: str, image: Image.Image) -> None:
        """Write it as an image."""
        pixels = np.asarray(image.convert("RGB"))
        self.writer.add_image(f"pictures/{name}", pixels, self.step, dataformats="HWC")

    def close(self, ended: str) -> None:
        """Close the file."""
        self.writer.close()


class MLflow(Tracker):
    """Writes an MLflow run, or to the run that is active where ``fit`` is called.

    Args:
        name: Of the run; MLflow makes one up without it.
        experiment: Of which the run is one; by default that of ``MLFLOW_EXPERIMENT_NAME``, or
            ``pyro_vae``.
        uri: Where MLflow writes, such as ``sqlite:///mlflow.db``; by default that of
            ``mlflow.set_tracking_uri`` or ``MLFLOW_TRACKING_URI``.
    """

    package, extra = "mlflow", "mlflow"

    def __init__(
        self, name: str | None = None, experiment: str | None = None, uri: str | None = None
    ) -> None:
        super().__init__()
        self.name, self.experiment, self.uri = name, experiment, uri

    def open(self, settings: Mapping[str, Any]) -> None:
        """Create the run, with the settings as its parameters."""
        self.client = self.module.MlflowClient(self.uri)
        active = self.module.active_run()
        self.own = active is None
        self.run = self._created() if active is None else active.info.run_id
        entities = self.module.entities
        params = [entities.Param(name, value[:500]) for name, value in settings.items()]
        for first in range(0, len(params), 100):  # as many as a request may have
            self.client.log_batch(self.run, params=params[first : first + 100])

    def _created(self) -> str:
        from os import environ

        name = self.experiment or environ.get("MLFLOW_EXPERIMENT_NAME", "pyro_vae")
        found = self.client.get_experiment_by_name(name)
        place = self.client.create_experiment(name) if found is None else found.experiment_id
        created: str = self.client.create_run(place, run_name=self.name).info.run_id
        return created

    def numbers(self, epoch: int, record: Mapping[str, float]) -> None:
        """Write a metric for each."""
        now, metric = int(1000 * time.time()), self.module.entities.Metric
        metrics = [metric(name, value, now, epoch) for name, value in record.items()]
        self.client.log_batch(self.run, metrics=metrics)

    def text(self, name: str, content: str) -> None:
        """Write it as a file."""
        self.client.log_text(self.run, content, f"{name}.txt")

    def picture(self, name: str, image: Image.Image) -> None:
        """Write it as a file."""
        self.client.log_image(self.run, image, f"pictures/{name}.png")

    def close(self, ended: str) -> None:
        """End the run, unless it is the caller's."""
        status = {"interrupted": "KILLED", "failed": "FAILED"}.get(ended, "FINISHED")
        if self.own:
            self.client.set_terminated(self.run, status)


class WandB(Tracker):
    """Writes a run of Weights & Biases; ``WANDB_MODE=offline`` keeps it on this machine.

    Args:
        options: Of ``wandb.init``, such as ``project`` and ``name``.
    """

    package, extra = "wandb", "wandb"

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.options = {"project": "pyro_vae", "reinit": "create_new", **options}

    def open(self, settings: Mapping[str, Any]) -> None:
        """Begin the run, with the settings as its configuration."""
        self.run = self.module.init(config=dict(settings), **self.options)

    def numbers(self, epoch: int, record: Mapping[str, float]) -> None:
        """Log them."""
        self.run.log(dict(record), step=epoch)

    def text(self, name: str, content: str) -> None:
        """Write it into the run's summary."""
        self.run.summary[name] = content

    def picture(self, name: str, image: Image.Image) -> None:
        """Log it as an image."""
        self.run.log({f"pictures/{name}": self.module.Image(image)})

    def close(self, ended: str) -> None:
        """Finish the run."""
        self.run.finish(exit_code=int(ended == "failed"))
