"""The result of training."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, get_args

from pyro_vae.data.identity import Identity
from pyro_vae.plots.curves import Term, plot_history
from pyro_vae.plots.style import Picture, panels
from pyro_vae.report.numbers import MISSING
from pyro_vae.report.table import Table
from pyro_vae.training.settings import TrainSettings
from pyro_vae.vae import VAE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from pyro_vae.training.snapshot import Snapshot

__all__ = ["FitResult"]


@dataclass(repr=False)
class FitResult:
    """A trained model and its history; Jupyter displays it as a table.

    Args:
        vae: The trained model, on the device that it was trained on.
        history: One record for each epoch, in nats per datum: ``epoch``, ``elbo``,
            ``log_likelihood``, ``kl`` (means over the epoch's steps), the same prefixed by
            ``validation_`` if there is a validation split, ``objective`` if that is not the
            plain ELBO, ``seconds``, and with ``on_nonfinite`` the steps that were ``skipped``, or
            the ``rollbacks`` so far.
        settings: The settings of training.
        objective: The declaration of the objective.
        identity: The identity of the data.
        device: The device of training.
        ended: Why training ended: ``finished``, ``early`` or ``interrupted``; ``failed`` by an
            error, which callbacks see.
        best_epoch: The last epoch, or with patience the best one; 0 before the first has ended.
        step: Which form of the SVI step was used, and why.
        weights: Which weights the model has, such as ``of epoch 12``; after an interrupt ``of
            the last step``, or ``of before the first step``.
        seconds: Wall-clock time of the training, captures and unfinished epochs included; of all
            parts of a run that was resumed.
        snapshot: What ``fit(..., resume=result)`` goes on from; on the CPU.
    """

    vae: VAE
    settings: TrainSettings
    objective: dict[str, Any]
    identity: Identity
    device: str
    history: list[dict[str, float]] = field(default_factory=list)
    ended: str = "finished"
    best_epoch: int = 0
    step: str = ""
    weights: str = "of before the first step"
    seconds: float = 0.0
    snapshot: Snapshot | None = None

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C, or the notebook's stop button, ended training."""
        return self.ended == "interrupted"

    @property
    def skipped(self) -> int:
        """How many steps were not finite, and skipped (``on_nonfinite="skip"``)."""
        return int(sum(record.get("skipped", 0) for record in self.history))

    @property
    def rollbacks(self) -> int:
        """How often training went back to a checkpoint (``on_nonfinite="rollback"``)."""
        return int(self.history[-1].get("rollbacks", 0)) if self.history else 0

    def figure(self) -> Figure:
        """The curves of the ELBO and its terms; words if no epoch is whole."""
        if not self.history:
            picture = Picture(10, 0.5)
            picture.suptitle("Nothing to draw: interrupted before the end of the first epoch")
            return picture
        picture, axes = panels(3, 3, 10)
        for ax, term in zip(axes, get_args(Term), strict=True):
            plot_history(self.history, term, ax=ax)
        return picture

    def table(self) -> Table:
        """The ELBO and its terms in the best epoch, in nats per datum."""
        endings = {
            "finished": f"{len(self.history)} epochs",
            "early": f"stopped early after {len(self.history)} epochs",
            "interrupted": f"interrupted after {len(self.history)} whole epochs",
            "failed": f"failed after {len(self.history)} whole epochs",
        }
        caption = (
            f"{endings[self.ended]} in {self.seconds:.1f} s on {self.device}; weights "
            f"{self.weights}; {self.identity}"
        )
        columns = {"elbo": "ELBO", "log_likelihood": "log-likelihood", "kl": "KL"}
        if self.history and "objective" in self.history[0]:
            columns["objective"] = f"objective ({self.objective['kind']})"
        table = Table("Training", ["", *columns.values()], caption=caption)
        for name, prefix in (("train", ""), ("validation", "validation_")):
            for record in self.history:
                if record["epoch"] == self.best_epoch and f"{prefix}elbo" in record:
                    values = (record.get(prefix + term) for term in columns)
                    table.add(name, *(MISSING if v is None else f"{v:.3f}" for v in values))
        return table

    def __str__(self) -> str:
        return str(self.table())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()
