"""Bits per spike: how much better counts are predicted than by each neuron's mean rate."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import constraints

from pyro_vae.core.errors import DataError, IncompatibleComponents
from pyro_vae.core.likelihood import Likelihood
from pyro_vae.data.checks import AnyArray, as_event_rows
from pyro_vae.data.dataset import Split
from pyro_vae.likelihoods.data_mean import mean_count
from pyro_vae.likelihoods.multinomial import Multinomial
from pyro_vae.report.estimate import Estimate
from pyro_vae.vae import VAE

__all__ = ["bits_of", "bits_per_spike", "check_counts", "independent_means"]


def bits_per_spike(expected: AnyArray, x: AnyArray, train: AnyArray) -> Estimate:
    r"""Bits per spike of expected counts, of any method, over each neuron's mean count.

    .. math:: \frac{\sum_{nd} \log \mathrm{Poisson}(x_{nd} \mid \lambda_{nd})
              - \log \mathrm{Poisson}(x_{nd} \mid \bar x_d)}{\log 2 \, \sum_{nd} x_{nd}}

    with :math:`\bar x_d` the mean of the training counts; where nothing was counted, of half a
    count in all. For held-out neurons it is the Neural Latents Benchmark's co-smoothing score,
    which takes the means of the data scored instead.

    Shapes:
        ``expected`` and ``x`` are ``(N, *event)``, ``train`` is ``(N', *event)``.

    Args:
        expected: Expected count :math:`\lambda` of each neuron in each bin, above 0.
        x: What was counted; NaN is left out.
        train: Counts of the training data.

    Returns:
        The ratio, and its standard error by the delta method, as if the bins were independent:
        too small where neighbouring bins resemble each other.

    Raises:
        DataError: if the shapes differ, a value is no count, or there are no spikes.

    References:
        | Neural Latents Benchmark '21 (Pei et al., 2021)
        | https://arxiv.org/abs/2109.04463

    Example:
        >>> x = torch.tensor([[2.0, 0.0], [0.0, 2.0]])
        >>> bits_per_spike(torch.ones(2, 2), x, train=x).value
        0.0
        >>> round(bits_per_spike(x + 0.01, x, train=x).value, 3)
        0.993
    """
    counts, known = (as_event_rows(v, n, "keep").double() for v, n in ((x, "x"), (train, "train")))
    rate = as_event_rows(expected, "expected").double()
    if rate.shape != counts.shape or known.shape[1:] != counts.shape[1:]:
        raise DataError(
            f"bits_per_spike: expected x and expected of one shape (N, *event), and train of "
            f"(N', *event), got {tuple(counts.shape)}, {tuple(rate.shape)} and "
            f"{tuple(known.shape)}"
        )
    if not (rate > 0).all():
        raise DataError(
            f"expected: expected counts above 0, got {rate.min():g}; a prediction of 0 rules a "
            "spike out"
        )
    for values, name in ((counts, "x"), (known, "train")):
        if not constraints.nonnegative_integer.check(values.nan_to_num()).all():
            raise DataError(f"{name}: expected whole numbers from 0, got others; give the counts")
    return bits_of(
        _log_poisson(counts, rate), "Poisson at the expected counts", counts, mean_count(known)
    )


def bits_of(log_prob: Tensor, estimator: str, x: Tensor, means: Tensor) -> Estimate:
    """Bits per spike of the log-probability of each datum, ``(N,)``, in nats.

    Args:
        log_prob: Of the data, under a model.
        estimator: How it was found.
        x: The data, counts ``(N, *event)``; NaN is left out.
        means: Of the independent Poisson counts that the model is scored against, one for each
            neuron, or one for each datum too.

    Raises:
        DataError: if there are no spikes.
    """
    log_prob, x, means = (each.detach().cpu().double() for each in (log_prob, x, means))
    gain = log_prob - _log_poisson(x, means)
    spikes = x.nan_to_num(0.0).flatten(1).sum(1)
    if not spikes.any():
        raise DataError("bits per spike: expected spikes in the data scored, got none")
    ratio = gain.sum() / spikes.sum()
    residual = Estimate.of((gain - ratio * spikes) / spikes.mean())
    bits = Estimate(ratio.item(), residual.stderr, "bits per spike", estimator, len(x))
    return bits.times(1 / math.log(2))


def independent_means(vae: VAE, train: Split) -> Tensor:
    """The training data's mean counts; with a condition log_exposure, at each datum's exposure."""
    means = mean_count(train.x.double())
    if not getattr(vae.likelihood, "exposed", False):
        return means
    assert train.condition is not None  # evaluate has checked the data
    known, given = (c.double().exp().flatten() for c in (train.condition, vae.conditions))
    rates = means.to(given.device) / known.mean().item()
    return rates * given.reshape(-1, *(1 for _ in vae.event_shape))


def check_counts(likelihood: Likelihood, against: str | None) -> None:
    """Refuse a reference that is unknown, or a model that is not of independent counts.

    Raises:
        DataError: with the reference that is known.
        IncompatibleComponents: saying which likelihood to declare.
    """
    if against not in (None, "independent"):
        raise DataError(f"against: expected independent or None, got {against!r}")
    counts = likelihood.support is constraints.nonnegative_integer
    if against and (not counts or isinstance(likelihood, Multinomial)):
        raise IncompatibleComponents(
            "against: expected a likelihood of counts (poisson, negative_binomial), beside "
            f"independent Poisson counts, got {likelihood.kind}"
        )


def _log_poisson(x: Tensor, rate: Tensor) -> Tensor:
    """Log-probability of counts, ``(N, *event)`` to ``(N,)``; of NaN, 0."""
    each = torch.xlogy(x, rate) - rate - (x + 1).lgamma()
    return each.masked_fill(x.isnan(), 0.0).flatten(1).sum(1)
