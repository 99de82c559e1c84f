"""Scores of a model on a data set: every number with its estimator and the data's identity."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import pyro
import torch
from torch import Tensor

from pyro_vae.core.errors import DataError, IncompatibleComponents
from pyro_vae.data.dataset import DataSet
from pyro_vae.data.identity import Identity
from pyro_vae.data.loading import load_data
from pyro_vae.data.support import check_support
from pyro_vae.objectives.kl import KL
from pyro_vae.objectives.terms import Terms, elbo_terms_of_data
from pyro_vae.report.numbers import nats
from pyro_vae.report.table import Table
from pyro_vae.vae import VAE

__all__ = ["Score", "Scores", "evaluate"]

Split = Literal["train", "validation", "test"]


@dataclass(frozen=True)
class Score:
    """A mean over data, in nats per datum.

    Args:
        value: The mean.
        stderr: Its standard error, over data and draws.
    """

    value: float
    stderr: float

    @classmethod
    def of(cls, values: Tensor) -> Score:
        """The mean of one value for each datum, ``(N,)``."""
        values = values.detach().double()
        stderr = values.std().item() / math.sqrt(len(values)) if len(values) > 1 else math.nan
        return cls(values.mean().item(), stderr)

    def __str__(self) -> str:
        return nats(self.value, self.stderr)


@dataclass(frozen=True, repr=False)
class Scores:
    """What a model scores on one split of one data set; shows itself in Jupyter.

    Args:
        elbo: Evidence lower bound.
        log_likelihood: E_q[log p(x|z)].
        kl: KL(q(z|x) || p(z)).
        split: ``train``, ``validation`` or ``test``.
        count: Number of data.
        estimator: How the numbers were found.
        seed: Seed of the draws.
        identity: What the data are.
        terms: The same for each datum.
    """

    elbo: Score
    log_likelihood: Score
    kl: Score
    split: str
    count: int
    estimator: str
    seed: int
    identity: Identity
    terms: Terms

    def table(self) -> Table:
        """The scores, in nats per datum, with what they were measured on and how."""
        caption = f"{self.count} {self.split} data of {self.identity}. {self.estimator}."
        table = Table("Scores, in nats per datum", ["", "mean ± standard error"], caption=caption)
        table.add("ELBO", str(self.elbo))
        table.add("E_q[log p(x|z)]", str(self.log_likelihood))
        table.add("KL(q(z|x) || p(z))", str(self.kl))
        return table

    def to_dict(self) -> dict[str, Any]:
        """Everything but the values for each datum, for JSON."""
        named = {"elbo": self.elbo, "log_likelihood": self.log_likelihood, "kl": self.kl}
        scores = {k: {"value": v.value, "stderr": v.stderr} for k, v in named.items()}
        return {
            **scores,
            "unit": "nats per datum",
            "split": self.split,
            "count": self.count,
            "estimator": self.estimator,
            "seed": self.seed,
            "data": self.identity.to_dict(),
        }

    def __str__(self) -> str:
        return str(self.table())

    __repr__ = __str__

    def __rich__(self) -> Any:
        return self.table().__rich__()

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()


def evaluate(
    vae: VAE,
    data: DataSet | Any,
    *,
    split: Split = "test",
    kl: KL = "auto",
    particles: int = 1,
    seed: int = 0,
) -> Scores:
    """The ELBO and its terms on a split of a data set, in evaluation mode.

    Args:
        vae: The model.
        data: As :func:`~pyro_vae.fit` takes it; an array is split as it is there.
        split: Which split.
        kl: ``exact``, ``sampled``, or ``auto`` (exact where there is a closed form).
        particles: Draws from q(z|x) for each datum.
        seed: Seed of the draws; they come from it alone.

    Raises:
        DataError: if the split is empty, or a guide that is not amortised does not know its data.
        IncompatibleComponents: if the data do not fit the model.
        NoClosedFormKL: if ``kl`` is ``exact`` and there is no closed form.

    Example:
        >>> scores = evaluate(VAE(event_shape=(3,), latent_dim=2), torch.randn(100, 3))
        >>> scores.count, scores.estimator
        (20, 'ELBO with exact KL, 1 particle, seed 0')
    """
    data = load_data(data)
    if tuple(data.event_shape) != tuple(vae.event_shape):
        raise IncompatibleComponents(
            f"Expected data of event shape {tuple(vae.event_shape)}, got {data.event_shape}"
        )
    check_support(vae.likelihood, data)
    chosen = getattr(data, split)
    if not len(chosen):
        raise DataError(f"Expected data in the {split} split, got none; choose another split")
    device = next(iter([*vae.parameters(), *vae.buffers()]), chosen.x).device
    x = chosen.batch(torch.arange(len(chosen)), torch.Generator().manual_seed(seed)).to(device)
    with pyro.validation_enabled(True):  # what a guide does not know is refused, and is not NaN
        terms = elbo_terms_of_data(vae, x, kl=kl, particles=particles, seed=seed)
    plural = "" if particles == 1 else "s"
    estimator = f"ELBO with {terms.route} KL, {particles} particle{plural}, seed {seed}"
    return Scores(Score.of(terms.elbo), Score.of(terms.log_likelihood), Score.of(terms.kl), split,
                  len(x), estimator, seed, data.identity, terms)  # fmt: skip
