"""How to train: what a declaration's ``train`` section may say."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from pydantic import (
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    create_model,
)

from pyro_vae.core.declaration import family_type, parsed
from pyro_vae.core.errors import DeclarationError
from pyro_vae.core.messages import readable
from pyro_vae.core.schema import Section
from pyro_vae.training.precision import Precision
from pyro_vae.training.schedules.schedule import Schedule
from pyro_vae.training.stepper import StepKind

__all__ = ["TrainSettings", "resolve_device", "train_schema"]


Decay = Annotated[float, Field(ge=0, lt=1)]


class TrainSettings(Section):
    """How to train."""

    epochs: Annotated[PositiveInt, Field(description="Passes over the training data.")] = 50
    batch_size: Annotated[PositiveInt, Field(description="Data in one step.")] = 128
    lr: Annotated[PositiveFloat, Field(description="Adam's learning rate.")] = 1e-3
    schedule: Annotated[
        Any, Field(validate_default=True, description="How the learning rate goes, by epoch.")
    ] = "constant"
    adam_eps: Annotated[
        PositiveFloat, Field(description="Adam's epsilon, added to the root of its second moment.")
    ] = 1e-8
    adam_betas: Annotated[
        tuple[Decay, Decay],
        Field(strict=False, description="Adam's rates of decay, of its first and second moment."),
    ] = (0.9, 0.999)
    patience: Annotated[
        PositiveInt | None,
        Field(
            description="Stop after this many epochs without a better validation ELBO, and keep "
            "the best epoch's weights; none trains every epoch and keeps the last."
        ),
    ] = None
    step: Annotated[
        StepKind,
        Field(
            description="compiled (captured once and replayed), pyro (Pyro's own), or auto: "
            "compiled where the run is long enough to pay for the capture."
        ),
    ] = "auto"
    precision: Annotated[
        Precision,
        Field(
            description="Of the networks' matrix products while training: float32, tf32 (NVIDIA "
            "GPUs), or bfloat16 autocast."
        ),
    ] = "float32"
    device: Annotated[
        str, Field(description="auto (CUDA where there is one), cpu, cuda, cuda:1, ...")
    ] = "auto"
    seed: Annotated[
        NonNegativeInt, Field(description="Seed of the weights, the order of data and the draws.")
    ] = 0

    @classmethod
    def checked(cls, **given: Any) -> TrainSettings:
        """The settings, or one ``DeclarationError`` with everything that is wrong with them."""
        schema = train_schema()
        try:
            settings = schema.model_validate(given)
        except ValidationError as error:
            raise DeclarationError(readable(error, schema), "How to train") from None
        settings.learning_rate_schedule.check(settings.epochs)
        return settings

    @property
    def learning_rate_schedule(self) -> Schedule:
        """The schedule that is declared."""
        built: Schedule = parsed(Schedule, self.schedule).build()
        return built


def train_schema() -> type[TrainSettings]:
    """The schema over the schedules that are known now, kinds of one's own included."""
    text = TrainSettings.model_fields["schedule"].description
    default = Field("constant", validate_default=True, description=text)
    schedule: Any = (family_type(Schedule), default)
    return create_model(
        "TrainSettings",
        __base__=TrainSettings,
        __doc__=TrainSettings.__doc__,
        schedule=schedule,
    )


def resolve_device(name: str) -> torch.device:
    """The device that a declaration names; ``auto`` is CUDA where there is one.

    Raises:
        DeclarationError: if there is no such device on this machine.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise DeclarationError(
            f"device: must be auto, cpu, cuda or cuda:N, got {name!r}", "How to train"
        ) from None
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device.type == "cuda" and (device.index or 0) >= count:
        raise DeclarationError(
            f"device: must be one of this machine's ({count} CUDA devices are usable), got "
            f"{name!r}; say auto to take what there is",
            "How to train",
        )
    return device
