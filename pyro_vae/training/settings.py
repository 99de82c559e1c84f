"""Settings of training: the ``train`` section of a declaration."""

from __future__ import annotations

import os
from typing import Annotated, Any, Literal

import torch
from pydantic import (
    ConfigDict,
    Field,
    PositiveFloat,
    ValidationError,
    create_model,
)

from pyro_vae.core.bounds import Seed, Size
from pyro_vae.core.declaration import family_type, parsed
from pyro_vae.core.errors import DeclarationError
from pyro_vae.core.messages import readable
from pyro_vae.core.schema import Section
from pyro_vae.training.nonfinite import OnNonFinite
from pyro_vae.training.precision import Precision
from pyro_vae.training.schedules.schedule import Schedule
from pyro_vae.training.stepper import StepMethod

__all__ = ["Checkpointing", "Log", "TrainSettings", "resolve_device", "train_schema"]


Decay = Annotated[float, Field(ge=0, lt=1)]
Log = Literal["tensorboard", "mlflow", "wandb"]


class Checkpointing(Section):
    """When to save the state of a training, from which it can go on."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    every: Size = 5
    """Epochs between two checkpoints, unless they would take a twentieth of the time or more."""
    minutes: Annotated[float, Field(gt=0, le=1e6)] = 10.0
    """Minutes between two at most, in the middle of an epoch too."""
    after: Annotated[float, Field(ge=0, le=1e6)] = 1.0
    """Minutes before the first, since a shorter run is soon repeated."""
    keep: Annotated[int, Field(gt=0, le=1000)] = 3
    """How many of the last are kept; the best is kept too."""


class TrainSettings(Section):
    """How to train."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    epochs: Size = 50
    """Passes over the training data."""
    batch_size: Size = 128
    """Data in one step."""
    lr: Annotated[float, Field(gt=0, le=1000)] = 1e-3
    """Adam's learning rate."""
    schedule: Any = Field("constant", validate_default=True)
    """Learning-rate schedule."""
    adam_eps: PositiveFloat = 1e-8
    """Adam's epsilon, added to the root of its second moment."""
    adam_betas: tuple[Decay, Decay] = Field((0.9, 0.999), strict=False)
    """Adam's decay rates of its first and second moment."""
    patience: Size | None = None
    """Stop after this many epochs without a better validation ELBO, and keep the best epoch's
    weights; none trains every epoch and keeps the last."""
    step: StepMethod = "auto"
    """compiled (captured once and replayed), pyro (Pyro's own), or auto: compiled if, by the time
    of the first steps, it saves more than the capture costs."""
    precision: Precision = "float32"
    """Of the networks' matrix products in training: float32, tf32 (NVIDIA GPUs), or bfloat16
    autocast."""
    device: str = "auto"
    """auto (CUDA if available), cpu, cuda, cuda:1, ..."""
    checkpoint: Checkpointing | None = Field(default_factory=Checkpointing)
    """When to save the state of a training, from which it can go on; none saves nothing."""
    on_nonfinite: OnNonFinite = "stop"
    """At a step whose loss, gradient or weights are NaN or infinite: stop with an error, skip the
    step, or rollback: go on from the last checkpoint with half the learning rate."""
    max_rollbacks: Size = 5
    """How many rollbacks there may be before training stops."""
    log: Log | list[Log] = Field(default_factory=list)
    """Where pyro-vae train writes its numbers and pictures beside the run's folder."""
    seed: Seed = 0
    """Seed of the weights, the order of data and the draws."""

    @classmethod
    def checked(cls, **given: Any) -> TrainSettings:
        """The settings, or one ``DeclarationError`` with every problem."""
        schema = train_schema()
        try:
            settings = schema.model_validate(given)
        except ValidationError as error:
            raise DeclarationError(readable(error, schema), "How to train") from None
        settings.learning_rate_schedule.check(settings.epochs)
        return settings

    def __reduce__(self) -> tuple[Any, ...]:
        """For pickle, which cannot find the class that ``train_schema`` makes."""
        return _checked, (self.model_dump(),)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TrainSettings) and self.model_dump() == other.model_dump()

    __hash__ = None  # type: ignore[assignment]

    @property
    def learning_rate_schedule(self) -> Schedule:
        """The declared schedule."""
        built: Schedule = parsed(Schedule, self.schedule).build()
        return built


def _checked(given: dict[str, Any]) -> TrainSettings:
    return TrainSettings.checked(**given)


def train_schema() -> type[TrainSettings]:
    """The settings' schema, over the schedules that are registered now."""
    field = TrainSettings.model_fields["schedule"]
    schedule: Any = (family_type(Schedule), field)
    doc = TrainSettings.__doc__
    return create_model("TrainSettings", __base__=TrainSettings, __doc__=doc, schedule=schedule)


def resolve_device(name: str) -> torch.device:
    """The device of this name; ``auto`` is CUDA if available.

    Raises:
        DeclarationError: if this machine has no such device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise DeclarationError(
            f"device: must be auto, cpu, cuda or cuda:N, got {name!r}", "How to train"
        ) from None
    advice = "auto takes the best available"
    if device.type == "cuda" and int(os.environ.get("LOCAL_WORLD_SIZE") or 1) > 1:
        if ":" in name:
            raise DeclarationError(
                f"device: must be auto, cuda or cpu where several processes work, each on a GPU "
                f"of its own, got {name!r}",
                "How to train",
            )
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        advice = "start a process for each GPU, or train on cpu"
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device.type == "cuda" and (device.index or 0) >= count:
        raise DeclarationError(
            f"device: must be one of this machine's ({count} CUDA devices are usable), got "
            f"{str(device)!r}; {advice}",
            "How to train",
        )
    try:
        torch.zeros(1, device=device).item()
    except Exception as error:  # each backend raises its own
        raise DeclarationError(
            f"device: must be one that computes on this machine, got {name!r} "
            f"({str(error).splitlines()[0]}); auto takes the best available",
            "How to train",
        ) from None
    return device
