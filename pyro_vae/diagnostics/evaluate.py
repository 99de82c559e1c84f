"""Scores of a model on a data set: every number with its estimator and the data's identity."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import pyro
import torch
from torch import Tensor

from pyro_vae.core.errors import DataError, IncompatibleComponents, at_least
from pyro_vae.core.missing import seen_mean
from pyro_vae.core.modes import multiplying
from pyro_vae.data.conditions import conditioned
from pyro_vae.data.dataset import DataSet
from pyro_vae.data.dataset import Split as Data
from pyro_vae.data.identity import Identity, digest
from pyro_vae.data.loading import load_data
from pyro_vae.data.support import check_support
from pyro_vae.diagnostics.column_terms import column_terms
from pyro_vae.diagnostics.latent_units import LatentUnits, latent_units
from pyro_vae.diagnostics.perplexity import perplexities
from pyro_vae.evidence.annealed import Annealing, annealed_importance_sampling
from pyro_vae.evidence.bidirectional import Sandwich, bidirectional_monte_carlo
from pyro_vae.evidence.estimate import EvidenceEstimate
from pyro_vae.evidence.hmc import check_real_codes
from pyro_vae.evidence.importance import SAMPLES, importance_sampling
from pyro_vae.objectives.kl import KL
from pyro_vae.objectives.terms import Terms, elbo_terms_of_data
from pyro_vae.report.estimate import Estimate, estimate_table
from pyro_vae.report.shown import ShownAsTable
from pyro_vae.report.table import Table
from pyro_vae.vae import VAE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Scores", "Split", "evaluate"]

Split = Literal["train", "validation", "test"]
BATCH = 1000
SIMULATED = 100


@dataclass(frozen=True, repr=False)
class Scores(ShownAsTable):
    """A model's scores on one split of one data set; Jupyter shows a table.

    Args:
        elbo: Evidence lower bound.
        log_likelihood: E_q[log p(x|z)].
        kl: KL(q(z|x) || p(z)).
        reconstruction: Squared error of the reconstruction, a mean over the event's dimensions.
        units: Active units, and the KL of each dimension.
        split: ``train``, ``validation`` or ``test``.
        count: Number of data that were scored.
        available: Number of data in the split.
        particles: Draws from q(z|x) for each datum, in the ELBO.
        seed: Seed of the draws.
        identity: The identity of the data.
        sha256: First 12 hexadecimal digits of the digest of the values scored.
        measure: ``probability`` for a likelihood of discrete data, ``density`` for any other.
        terms: The ELBO and its terms for each datum.
        estimates: log p(x) for each datum, by estimator.
        sandwich: Bounds on the error of annealing, on data simulated from the model.
        columns: E_q[log p(x_d|z)] of each column d of a table, by its name; they add up to
            ``log_likelihood``.
        perplexity: Per word, of documents with a multinomial likelihood: the ``bound`` of the
            ELBO, and ``completion``, of half a document's words given the other half.
    """

    elbo: Estimate
    log_likelihood: Estimate
    kl: Estimate
    reconstruction: Estimate
    units: LatentUnits
    split: str
    count: int
    available: int
    particles: int
    seed: int
    identity: Identity
    sha256: str
    measure: str
    terms: Terms
    estimates: dict[str, EvidenceEstimate]
    sandwich: Sandwich | None = None
    columns: dict[str, Estimate] = field(default_factory=dict)
    perplexity: dict[str, Estimate] = field(default_factory=dict)
    omitted = ("terms", "estimates")
    derived = ("estimator", "nll", "ais", "effective_sample_sizes")

    @property
    def estimator(self) -> str:
        """How the ELBO was estimated."""
        plural = "" if self.particles == 1 else "s"
        method = self.terms.kl_method
        return f"ELBO with {method} KL, {self.particles} particle{plural}, seed {self.seed}"

    @property
    def nll(self) -> Estimate | None:
        """Negative log-likelihood -log p(x), by importance sampling; None unless requested."""
        return self._log_losses.get("importance_sampling")

    @property
    def ais(self) -> Estimate | None:
        """Negative log-likelihood -log p(x), by annealing; None unless requested."""
        return self._log_losses.get("annealed_importance_sampling")

    @property
    def _log_losses(self) -> dict[str, Estimate]:
        """-log p(x), a mean over the data, by each requested estimator."""
        return {
            name: Estimate.of(-found.log_evidence, found.monte_carlo, estimator=found.estimator)
            for name, found in self.estimates.items()
        }

    @property
    def effective_sample_sizes(self) -> dict[str, dict[str, float]]:
        """The least and the median over the data, by estimator of log p(x)."""
        return {
            name: {"samples": found.samples, "least": found.effective.min().item(),
                   "median": found.effective.median().item()}
            for name, found in self.estimates.items()
        }  # fmt: skip

    @property
    def data(self) -> str:
        """The data scored, in words."""
        part = "" if self.count == self.available else f" of {self.available}, evenly spaced,"
        return f"{self.count}{part} {self.split} data of {self.identity}"

    def table(self) -> Table:
        """The scores, in nats per datum, with their data and estimators."""
        rows: dict[str, Estimate | tuple[str, str] | None] = {
            "ELBO": self.elbo,
            "E_q[log p(x|z)]": self.log_likelihood,
            **{f"  of it, {name}": found for name, found in self.columns.items()},
            "KL(q(z|x) || p(z))": self.kl,
        }
        for name, score in self._log_losses.items():
            method = score.estimator.partition(",")[0]
            note = self.estimates[name].effective_note
            rows[f"-log p(x), {method}"] = score
            rows[f"effective sample size, {method}"] = (note, "of its weights")
        if self.sandwich is not None:
            name = f"upper less lower bound, {self.sandwich.count} simulated data"
            rows[name] = self.sandwich.gap
        rows |= {f"perplexity per word, {name}": it for name, it in self.perplexity.items()}
        rows["squared error (no nats)"] = self.reconstruction
        rows["active units"] = (str(self.units), self.units.rule)
        return estimate_table("Scores, in nats per datum", rows, f"{self.data}.")

    def figure(self) -> Figure:
        """Activity and KL of each dimension of the code."""
        return self.units.figure()


@multiplying(tf32=False)
def evaluate(
    vae: VAE,
    data: DataSet | Any,
    *,
    split: Split = "test",
    kl: KL = "auto",
    particles: int = 1,
    nll: bool | int = False,
    ais: bool | int | Annealing = False,
    sandwich: bool | int = False,
    data_count: int | None = None,
    seed: int = 0,
    show_progress: bool = True,
) -> Scores:
    """Score a model on a split of a data set, in evaluation mode, on the model's device.

    Always: the ELBO and its terms, the squared error of the reconstruction, the active units and
    the KL of each dimension. On request: -log p(x), by importance sampling from q(z|x), or by
    annealing from the prior, which needs no guide.

    Args:
        vae: The model.
        data: As :func:`~pyro_vae.fit` takes it; an array is split as it is there, and in the
            units of the training data: it is standardized as they were.
        split: Which split.
        kl: ``exact``, ``sampled``, or ``auto`` (exact where there is a closed form).
        particles: Draws from q(z|x) for each datum, in the ELBO.
        nll: Number of importance samples for each datum, to estimate -log p(x); True is 5,000.
        ais: Number of temperatures, to estimate it by annealed importance sampling; True is
            1,000, and an :class:`~pyro_vae.evidence.annealed.Annealing` sets everything.
        sandwich: Number of data to simulate from the model, to bound the error of annealing from
            below and above; True is 100.
        data_count: Score only this many data, evenly spaced over the split.
        seed: Seed of the draws, which depend on nothing else.
        show_progress: Whether to show a progress bar.

    Raises:
        DataError: if the split is empty, or has fewer data than ``data_count``, a number of draws
            is too small, or a guide that is not amortized does not know its data.
        IncompatibleComponents: if the data do not fit the model, or its codes are no real vectors
            and annealing is requested.
        NoClosedFormKL: if ``kl`` is ``exact`` and there is no closed form.
        NonFiniteLoss: if a weight is NaN or infinite.

    Example:
        >>> scores = evaluate(
        ...     VAE(event_shape=(3,), latent_dim=2),
        ...     torch.randn(100, 3),
        ...     nll=50,
        ...     show_progress=False,
        ... )
        >>> scores.count, scores.estimator
        (20, 'ELBO with exact KL, 1 particle, seed 0')
        >>> scores.nll.value <= -scores.elbo.value
        True
    """
    at_least(1, particles=particles)
    how = _annealing(ais)
    if how is not None or sandwich is not False:
        check_real_codes(vae, "Annealing")
    data = conditioned(load_data(data, vae.standardization, vae.on_missing), vae.condition)
    if vae.standardization is not None and data.standardization != vae.standardization:
        raise IncompatibleComponents(
            "Expected data standardized as those that the model was trained on, got data "
            f"{'standardized by others' if data.standardization else 'that are not'}; give the "
            "array in its own units, or as_dataset(x, standardize=vae.standardization)"
        )
    if tuple(data.event_shape) != tuple(vae.event_shape):
        raise IncompatibleComponents(
            f"Expected data of event shape {tuple(vae.event_shape)}, got {data.event_shape}"
        )
    check_support(vae.likelihood, data, vae.on_missing)
    chosen = getattr(data, split)
    scored, conditions = _chosen(chosen, split, data_count, seed)
    vae = vae.given(conditions)
    weight = next(vae.parameters(), scored)
    x = scored.to(weight.device, weight.dtype)
    with pyro.validation_enabled(True):  # what a guide does not know is refused, and is not NaN
        terms = elbo_terms_of_data(vae, x, kl=kl, particles=particles, seed=seed)
    units = latent_units(vae, x, seed=seed)
    error = _squared_error(vae, x)
    options: Any = {"seed": seed, "show_progress": show_progress}
    estimates: dict[str, EvidenceEstimate] = {}
    if nll is not False:
        samples = SAMPLES if nll is True else nll
        found = importance_sampling(vae, x, samples=samples, **options)
        estimates["importance_sampling"] = found
    if how is not None:
        found = annealed_importance_sampling(vae, x, how=how, **options)
        estimates["annealed_importance_sampling"] = found
    between = None
    if sandwich is not False:
        count = SIMULATED if sandwich is True else sandwich
        between = bidirectional_monte_carlo(vae, count, how=how, **options)
    discrete = vae.likelihood.support.is_discrete
    drawn = f"{particles} particle{'' if particles == 1 else 's'}, seed {seed}"
    kl_estimator = terms.kl_method if terms.kl_method == "exact" else f"sampled, {drawn}"
    return Scores(
        Estimate.of(terms.elbo, estimator=f"ELBO with {terms.kl_method} KL, {drawn}"),
        Estimate.of(terms.log_likelihood, estimator=drawn),
        Estimate.of(terms.kl, estimator=kl_estimator),
        Estimate.of(error, unit="squared error per dimension",
                    estimator="mean of p(x|z) at q's centre, a dimension"),
        units, split, len(x), len(chosen), particles, seed, data.identity,
        digest([scored.cpu()]), "probability" if discrete else "density", terms, estimates,
        between, column_terms(vae, x, particles=particles, seed=seed),
        perplexities(vae, x, terms.elbo, seed),
    )  # fmt: skip


def _annealing(ais: bool | int | Annealing) -> Annealing | None:
    if ais is False:
        return None
    if ais is True:
        return Annealing()
    return ais if isinstance(ais, Annealing) else Annealing(temperatures=ais)


def _chosen(split: Data, name: str, count: int | None, seed: int) -> tuple[Tensor, Tensor | None]:
    """The data to score, ``(N, *event_shape)``, and their conditions."""
    if not len(split):
        raise DataError(f"Expected data in the {name} split, got none; choose another split")
    count = len(split) if count is None else count
    if not 1 <= count <= len(split):
        raise DataError(
            f"data_count: expected 1 to {len(split)}, the data of the {name} split, got {count}"
        )
    index = torch.arange(count) * len(split) // count  # a test set may be sorted by label
    return split.batch(index, torch.Generator().manual_seed(seed)), split.conditions(index)


def _squared_error(vae: VAE, x: Tensor) -> Tensor:
    """Squared error of each datum's reconstruction, a mean over what is seen of it, ``(N,)``."""
    parts = vae.split(x, BATCH)
    errors = ((model.reconstruct(batch) - batch).square() for model, batch in parts)
    return torch.cat([seen_mean(error.flatten(1), 1) for error in errors])
