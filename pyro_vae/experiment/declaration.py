"""The declaration of an experiment: the content of a YAML file or the command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any

from pydantic import Field, ValidationError, create_model

from pyro_vae.core.bounds import LARGEST_SEED, Size
from pyro_vae.core.condition import Condition
from pyro_vae.core.declaration import Declared, family_type, parsed
from pyro_vae.core.errors import DeclarationError
from pyro_vae.core.likelihood import Likelihood
from pyro_vae.core.messages import readable
from pyro_vae.core.missing import Gaps
from pyro_vae.core.missing_model import MissingModel
from pyro_vae.core.network import Network
from pyro_vae.core.posterior import Posterior
from pyro_vae.core.prior import Prior
from pyro_vae.core.schema import Section
from pyro_vae.data.conditions import conditioned
from pyro_vae.data.dataset import DataSet
from pyro_vae.data.source import Source
from pyro_vae.objectives.objective import Objective
from pyro_vae.training.schedules.schedule import Schedule
from pyro_vae.training.settings import TrainSettings, train_schema
from pyro_vae.vae import VAE

__all__ = ["DEFAULTS", "FAMILIES", "Experiment", "json_schema"]

FAMILIES: dict[str, type[Any]] = {
    "data": Source,
    "prior": Prior,
    "likelihood": Likelihood,
    "posterior": Posterior,
    "network": Network,
    "condition": Condition,
    "missing_model": MissingModel,
    "objective": Objective,
    "schedule": Schedule,
}
DEFAULTS: dict[str, Any] = {
    "data": "digits",
    "model": {"prior": "standard_normal", "likelihood": "gaussian", "decoder": "mlp"},
    "guide": {"posterior": "diagonal_normal", "encoder": "mlp"},
    "objective": "elbo",
}
EventShape = list[Size] | tuple[Size, ...]
Seeds = Annotated[int, Field(gt=0, le=1000)]


@dataclass(frozen=True)
class Experiment:
    """A valid declaration of an experiment.

    Args:
        data: The source of the data.
        latent_dim: Size of the latent code.
        components: ``prior``, ``likelihood``, ``decoder``, ``posterior`` and ``encoder``.
        objective: What training maximizes.
        train: How to train.
        event_shape: Shape of one datum; None until the data are loaded.
        missing: What the model does with NaN.
        condition: What each datum is given; None for a model without.
        missing_model: Why values are missing; None for a model without.
        seeds: How many trainings there shall be, from ``train.seed`` on.

    Example:
        >>> experiment = Experiment.read({"model": {"prior": "diagonal_normal"}})
        >>> experiment.mapping["model"]["prior"]
        {'kind': 'diagonal_normal'}
    """

    data: Declared
    latent_dim: int
    components: dict[str, Declared]
    objective: Declared
    train: TrainSettings
    event_shape: tuple[int, ...] | None = None
    missing: Gaps = "none"
    condition: Declared | None = None
    missing_model: Declared | None = None
    seeds: int = 1

    @classmethod
    def read(cls, mapping: Mapping[str, Any]) -> Experiment:
        """Validate a mapping of sections, and fill in defaults.

        Raises:
            DeclarationError: with every problem at once, each with its path; or if the objective
                or the schedule is not valid for a run of this length.
        """
        schema = experiment_schema()
        try:
            read: Any = schema.model_validate(dict(mapping))
        except ValidationError as error:
            raise DeclarationError(readable(error, schema)) from None
        model, guide = read.model, read.guide
        if (last := read.train.seed + read.seeds - 1) > LARGEST_SEED:
            raise DeclarationError(f"seeds: the last must be <= {LARGEST_SEED:,}, got {last:,}")
        objective = parsed(Objective, read.objective)
        objective.build().check(read.train.epochs)
        read.train.learning_rate_schedule.check(read.train.epochs)
        return cls(
            data=parsed(Source, read.data),
            latent_dim=model.latent_dim,
            components={
                "prior": parsed(Prior, model.prior),
                "likelihood": parsed(Likelihood, model.likelihood),
                "decoder": parsed(Network, model.decoder),
                "posterior": parsed(Posterior, guide.posterior),
                "encoder": parsed(Network, guide.encoder),
            },
            objective=objective,
            train=read.train,
            event_shape=None if model.event_shape is None else tuple(model.event_shape),
            missing=model.missing,
            condition=model.condition and parsed(Condition, model.condition),
            missing_model=model.missing_model and parsed(MissingModel, model.missing_model),
            seeds=read.seeds,
        )

    @property
    def mapping(self) -> dict[str, Any]:
        """The full declaration, with every default; :meth:`read` is its inverse."""
        parts = {name: part.mapping for name, part in self.components.items()}
        shape = {} if self.event_shape is None else {"event_shape": list(self.event_shape)}
        model_parts = ("prior", "likelihood", "decoder")
        further = {"condition": self.condition, "missing_model": self.missing_model}
        given = {name: part.mapping for name, part in further.items() if part is not None}
        return {
            "data": self.data.mapping,
            "model": {**shape, "latent_dim": self.latent_dim,
                      **{name: parts[name] for name in model_parts}, "missing": self.missing,
                      **given},
            "guide": {name: parts[name] for name in ("posterior", "encoder")},
            "objective": self.objective.mapping,
            "train": self.train.model_dump(mode="json"),
            **({"seeds": self.seeds} if self.seeds > 1 else {}),
        }  # fmt: skip

    def load_data(self) -> DataSet:
        """Load the data."""
        loaded: DataSet = self.data.build().load("refuse" if self.missing == "none" else "keep")
        return conditioned(loaded, None if self.condition is None else self.condition.build())

    def for_data(self, data: DataSet) -> Experiment:
        """The same experiment, with the data's ``event_shape``, and a table's columns by name.

        Raises:
            DeclarationError: if the declaration has another shape.
        """
        if self.event_shape not in (None, data.event_shape):
            raise DeclarationError(
                f"model.event_shape: must be the shape of the data, {list(data.event_shape)}, "
                f"got {list(self.event_shape or ())}; leave it out to take the data's"
            )
        source = self.data
        if "columns" in source.arguments and data.columns:
            names = {"columns": list(data.columns)}
            source = replace(source, arguments=source.arguments | names)
        return replace(self, data=source, event_shape=data.event_shape)

    def build(self) -> VAE:
        """Build the model, with weights from the global random generator."""
        if self.event_shape is None:
            raise DeclarationError("model.event_shape: is missing; expected: shape of one datum")
        parts = {name: part.mapping for name, part in self.components.items()}
        further = {"condition": self.condition, "missing_model": self.missing_model}
        parts |= {name: part.mapping for name, part in further.items() if part is not None}
        return VAE(self.event_shape, self.latent_dim, **parts, missing=self.missing)


def experiment_schema() -> type[Section]:
    """The schema, over the kinds that are registered now."""

    def component(family: type[Any], path: str, text: str) -> Any:
        default: Any = DEFAULTS
        for step in path.split("."):
            default = default[step]
        return family_type(family), Field(default, validate_default=True, description=text)

    gaps: Any = Gaps, Field("none", description="Whether NaN is a missing value.")
    model = create_model(
        "Model",
        __base__=Section,
        __doc__="p(x, z): the generative model.",
        event_shape=(
            EventShape | None,
            Field(None, description="Shape of one datum; the data's."),
        ),
        latent_dim=(Size, Field(20, description="Size of the latent code z.")),
        prior=component(Prior, "model.prior", "p(z)."),
        likelihood=component(
            Likelihood, "model.likelihood", "p(x|z), given the decoder's output."
        ),
        decoder=component(Network, "model.decoder", "From z to the likelihood's parameters."),
        missing=gaps,
        condition=(
            family_type(Condition) | None,
            Field(None, description="What each datum is given: p(x|z, c), q(z|x, c)."),
        ),
        missing_model=(
            family_type(MissingModel) | None,
            Field(None, description="Why values are missing, if not at random."),
        ),
    )
    guide = create_model(
        "Guide",
        __base__=Section,
        __doc__="q(z|x): the guide.",
        posterior=component(Posterior, "guide.posterior", "q(z|x), given the encoder's output."),
        encoder=component(Network, "guide.encoder", "From x to the posterior's parameters."),
    )
    train = train_schema()
    return create_model(
        "Experiment",
        __base__=Section,
        __doc__="A variational autoencoder and how it is trained: pyro-vae train FILE.",
        data=component(Source, "data", "What it is trained on."),
        model=(model, Field(default_factory=model)),
        guide=(guide, Field(default_factory=guide)),
        objective=component(Objective, "objective", "What training maximizes."),
        train=(train, Field(default_factory=train)),
        seeds=(Seeds, Field(1, description="How many trainings there are, each from a seed.")),
    )


def json_schema() -> dict[str, Any]:
    """The JSON schema of a declaration, with which an editor completes a YAML file."""
    schema = experiment_schema().model_json_schema(mode="validation")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
