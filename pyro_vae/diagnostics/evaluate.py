"""Scores of a model on a data set: every number with its estimator and the data's identity."""

from __future__ import annotations

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
from pyro_vae.data.identity import digest
from pyro_vae.data.loading import load_data
from pyro_vae.data.support import check_support
from pyro_vae.diagnostics.column_terms import column_terms
from pyro_vae.diagnostics.latent_units import latent_units
from pyro_vae.diagnostics.perplexity import perplexities
from pyro_vae.diagnostics.scores import Scores
from pyro_vae.diagnostics.spikes import bits_of, check_counts, independent_means
from pyro_vae.evidence.annealed import Annealing, annealed_importance_sampling
from pyro_vae.evidence.bidirectional import bidirectional_monte_carlo
from pyro_vae.evidence.estimate import EvidenceEstimate
from pyro_vae.evidence.hmc import check_real_codes
from pyro_vae.evidence.importance import SAMPLES, importance_sampling
from pyro_vae.objectives.kl import KL
from pyro_vae.objectives.terms import elbo_terms_of_data
from pyro_vae.report.estimate import Estimate
from pyro_vae.vae import VAE

if TYPE_CHECKING:
    pass

__all__ = ["Split", "chosen", "data_for", "evaluate"]

Split = Literal["train", "validation", "test"]
BATCH = 1000
SIMULATED = 100


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
    against: Literal["independent"] | None = None,
    data_count: int | None = None,
    seed: int = 0,
    show_progress: bool = True,
    processes: bool = False,
) -> Scores:
    """Score a model on a split of a data set, in evaluation mode, on the model's device.

    A model with condition ``semi_supervised`` sees no labels: its scores are of log p(x), and
    the accuracy alone reads them. Units and reconstructions are given the most probable class.

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
        against: ``independent`` scores counts in bits per spike, beside independent Poisson
            counts of the training data's means: of log p(x) if requested, else of the ELBO.
        data_count: Score only this many data, evenly spaced over the split.
        seed: Seed of the draws, which depend on nothing else.
        show_progress: Whether to show a progress bar.
        processes: Whether the processes that torchrun started share the work of ``nll``, ``ais``
            and ``sandwich``: each calls this with the same arguments, and gets the same scores,
            to the bit, as one would alone.

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
    check_counts(vae.likelihood, against)
    if how is not None or sandwich is not False:
        check_real_codes(vae, "Annealing")
        if vae.with_missing().sums_out:
            raise IncompatibleComponents(
                "Annealing: expected a model that sums out no classes, got one with condition "
                "semi_supervised; ask for nll, or anneal given classes: vae.given(classes)"
            )
    data = data_for(vae, data)
    available = getattr(data, split)
    scored, conditions = chosen(available, split, data_count, seed)
    vae = vae.given(conditions).with_missing()
    weight = next(vae.parameters(), scored)
    x = scored.to(weight.device, weight.dtype)
    with pyro.validation_enabled(True):  # what a guide does not know is refused, and is not NaN
        terms = elbo_terms_of_data(vae, x, kl=kl, particles=particles, seed=seed)
    probable = vae.most_probable(x)
    units = latent_units(probable, x, seed=seed)
    error = _squared_error(probable, x)
    options: Any = {"seed": seed, "show_progress": show_progress, "processes": processes}
    estimates: dict[str, EvidenceEstimate] = {}
    if nll is not False:
        samples = SAMPLES if nll is True else nll
        estimates["importance_sampling"] = importance_sampling(vae, x, samples=samples, **options)
    if how is not None:
        found = annealed_importance_sampling(vae, x, how=how, **options)
        estimates["annealed_importance_sampling"] = found
    between = None
    if sandwich is not False:
        count = SIMULATED if sandwich is True else sandwich
        between = bidirectional_monte_carlo(vae, count, how=how, **options)
    measure = "probability" if vae.likelihood.support.is_discrete else "density"
    measure += "" if vae.missing_model is None else ", with which values are missing,"
    drawn = f"{particles} particle{'' if particles == 1 else 's'}, seed {seed}"
    kl_estimator = terms.kl_method if terms.kl_method == "exact" else f"sampled, {drawn}"
    log_p = [(e.log_evidence, e.estimator) for e in estimates.values()]
    log_p.append((terms.elbo, f"ELBO, a lower bound, {drawn}"))
    bits = bits_of(*log_p[0], x, independent_means(vae, data.train)) if against else None
    return Scores(
        Estimate.of(terms.elbo, estimator=f"ELBO with {terms.kl_method} KL, {drawn}"),
        Estimate.of(terms.log_likelihood, estimator=drawn),
        Estimate.of(terms.kl, estimator=kl_estimator),
        Estimate.of(error, unit="squared error per dimension",
                    estimator="mean of p(x|z) at q's centre, a dimension"),
        units, split, len(x), len(available), particles, seed, data.identity,
        digest([scored.cpu()]), measure, terms, estimates,
        between, *(({}, bits, {}) if vae.sums_out else
                   (column_terms(vae, x, particles=particles, seed=seed), bits,
                    perplexities(vae, x, terms.elbo, seed))),
        _accuracy(vae, x, conditions),
    )  # fmt: skip


def data_for(vae: VAE, data: DataSet | Any) -> DataSet:
    """Data as ``evaluate`` takes them, once they are known to fit the model."""
    found = conditioned(load_data(data, vae.standardization, vae.on_missing), vae.condition)
    if vae.standardization is not None and found.standardization != vae.standardization:
        raise IncompatibleComponents(
            "Expected data standardized as those that the model was trained on, got data "
            f"{'standardized by others' if found.standardization else 'that are not'}; give the "
            "array in its own units, or as_dataset(x, standardize=vae.standardization)"
        )
    if tuple(found.event_shape) != tuple(vae.event_shape):
        raise IncompatibleComponents(
            f"Expected data of event shape {tuple(vae.event_shape)}, got {found.event_shape}"
        )
    check_support(vae.likelihood, found, vae.on_missing)
    return found


def _annealing(ais: bool | int | Annealing) -> Annealing | None:
    if isinstance(ais, bool):
        return Annealing() if ais else None
    return ais if isinstance(ais, Annealing) else Annealing(temperatures=ais)


def chosen(split: Data, name: str, count: int | None, seed: int) -> tuple[Tensor, Tensor | None]:
    """The data to score, ``(N, *event_shape)``, and their conditions."""
    if not len(split):
        raise DataError(f"Expected data in the {name} split, got none; choose another split")
    count = len(split) if count is None else count
    if not 1 <= count <= len(split):
        raise DataError(
            f"data_count: expected 1 to {len(split)}, the data of the {name} split, got {count}"
        )
    if count == len(split) and not split.dynamic:
        return split.x, split.condition
    index = torch.arange(count) * len(split) // count  # a test set may be sorted by label
    return split.batch(index, torch.Generator().manual_seed(seed)), split.conditions(index)


def _accuracy(vae: VAE, x: Tensor, classes: Tensor | None) -> Estimate | None:
    """The share of known classes that are the most probable, where the model sums them out."""
    if not vae.sums_out or classes is None:
        return None
    known = (classes >= 0).to(x.device)
    right = vae.classify(x)[known].argmax(1) == classes.to(x.device)[known]
    unit = "share of the data whose class is known"
    return Estimate.of(right.double(), unit=unit, estimator="most probable class of q(y|x)")


def _squared_error(vae: VAE, x: Tensor) -> Tensor:
    """Squared error of each datum's reconstruction, a mean over what is seen of it, ``(N,)``."""
    parts = vae.split(x, BATCH)
    errors = ((model.reconstruct(batch) - batch).square() for model, batch in parts)
    return torch.cat([seen_mean(error.flatten(1), 1) for error in errors])
