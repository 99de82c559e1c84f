"""The trackers of a run: ``train.log``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Self

from PIL import Image

from pyro_vae.experiment.run_folder import TENSORBOARD
from pyro_vae.training.callbacks import Callback
from pyro_vae.training.result import FitResult
from pyro_vae.training.settings import TrainSettings
from pyro_vae.training.trackers import MLflow, TensorBoard, Tracker, WandB

if TYPE_CHECKING:
    from pyro_vae.experiment.run import Run

__all__ = ["Tracking"]

MAKERS: dict[str, Callable[[Path], Tracker]] = {
    "tensorboard": lambda out: TensorBoard(out / TENSORBOARD),
    "mlflow": lambda out: MLflow(out.name),
    "wandb": lambda out: WandB(name=out.name),
}


class Tracking(Callback):
    """The trackers of a run, within whose block it is trained, scored and audited.

    Args:
        settings: Whose ``log`` names them.
        out: The run's folder, where TensorBoard's files are, and whose name the others take.

    Raises:
        DeclarationError: if a package is not installed.
    """

    def __init__(self, settings: TrainSettings, out: Path) -> None:
        names = [settings.log] if isinstance(settings.log, str) else settings.log
        self.trackers = [MAKERS[name](out) for name in dict.fromkeys(names)]
        self.result: FitResult | None = None

    def on_start(self, result: FitResult) -> None:
        """Open each."""
        self.result = result
        for tracker in self.trackers:
            tracker.on_start(result)

    def on_epoch(self, result: FitResult) -> None:
        """Write the epoch's record."""
        for tracker in self.trackers:
            tracker.on_epoch(result)

    def added(self, run: Run) -> Run:
        """The run, whose pictures and whose audit's verdict are written."""
        for tracker in self.trackers:
            if run.audit is not None:
                tracker.write(tracker.text, "audit", run.audit.verdict)
            for name, path in run.pictures.items():
                tracker.write(tracker.picture, name, Image.open(path))
        return run

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error: type[BaseException] | None, *rest: object) -> None:
        for tracker in self.trackers if self.result else ():
            ended = "failed" if error or self.result is None else self.result.ended
            tracker.write(tracker.close, ended)
