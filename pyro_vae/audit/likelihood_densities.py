"""Log-densities of the likelihoods' families, written by hand from their parameters.

Each is another formula than the one that the distribution computes, where there are two.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.distributions as torch_dist
from torch import Tensor
from torch.nn.functional import logsigmoid, one_hot, softplus

from pyro_vae.distributions import ContinuousBernoulli, DiscretizedLogistic, Multinomial

__all__ = ["LIKELIHOOD_DENSITIES"]


def laplace(d: torch_dist.Laplace, x: Tensor) -> Tensor:
    r""":math:`-|x - \mu| / b - \log 2b`."""
    return -(x - d.loc).abs() / d.scale - (2 * d.scale).log()


def student_t(d: torch_dist.StudentT, x: Tensor) -> Tensor:
    r""":math:`-\frac{\nu+1}{2} \log(1 + t^2/\nu) - \log\sigma\sqrt\nu - \log B(1/2, \nu/2)`."""
    t = (x - d.loc) / d.scale
    half = torch.full_like(d.df, 0.5)
    log_beta = half.lgamma() + (d.df / 2).lgamma() - ((d.df + 1) / 2).lgamma()
    tails = (d.df + 1) / 2 * ((d.df + t**2) / d.df).log()
    return -tails - d.scale.log() - 0.5 * d.df.log() - log_beta


def poisson(d: torch_dist.Poisson, x: Tensor) -> Tensor:
    r""":math:`x \log\lambda - \lambda - \log x!`."""
    return x * d.rate.log() - d.rate - (x + 1).lgamma()


def negative_binomial(d: torch_dist.NegativeBinomial, x: Tensor) -> Tensor:
    r""":math:`\log\binom{x + r - 1}{x} + r \log\frac{r}{r + m} + x \log\frac{m}{r + m}`."""
    r, mean = d.total_count, d.total_count * d.logits.exp()
    ways = (x + r).lgamma() - r.lgamma() - (x + 1).lgamma()
    return ways + r * (r / (r + mean)).log() + x * (mean / (r + mean)).log()


def continuous_bernoulli(d: ContinuousBernoulli, x: Tensor) -> Tensor:
    r""":math:`x l - \log(1 + e^l) + \log(l \coth(l/2))`, the last term 2 at l = 0."""
    near = d.logits.abs() < 1e-4
    logits = torch.where(near, torch.ones_like(d.logits), d.logits)
    normalizer = torch.where(near, 2 + d.logits**2 / 6, logits / torch.tanh(logits / 2)).log()
    return x * d.logits - softplus(d.logits) + normalizer


def categorical(d: torch_dist.Categorical, x: Tensor) -> Tensor:
    """The logit of the category less the logarithm of the sum of their exponentials."""
    chosen = one_hot(x.long(), d.logits.shape[-1])
    return (chosen * d.logits).sum(-1) - d.logits.logsumexp(-1)


def multinomial(d: Multinomial, x: Tensor) -> Tensor:
    r""":math:`\log n! + \sum_d (x_d \log\pi_d - \log x_d!)`, and -infinity for another total."""
    dims = tuple(range(-len(d.event_shape), 0))
    total = x.sum(dims)
    logits = d.logits - d.logits.logsumexp(dims, keepdim=True)
    log_density = (total + 1).lgamma() + (x * logits - (x + 1).lgamma()).sum(dims)
    return torch.where(total == d.total_count, log_density, -math.inf)


def discretized_logistic(d: DiscretizedLogistic, x: Tensor) -> Tensor:
    """log(sigmoid(b) - sigmoid(a)), read from the tail where both are small."""
    width = 1 / (d.levels - 1)
    x = (x / width).round() * width  # of data in single precision, the level that they mean
    low = torch.where(x < width / 2, -math.inf, (x - width / 2 - d.loc) / d.scale)
    high = torch.where(x > 1 - width / 2, math.inf, (x + width / 2 - d.loc) / d.scale)
    flipped = x > d.loc  # sigmoid(b) - sigmoid(a) = sigmoid(-a) - sigmoid(-b)
    more = logsigmoid(torch.where(flipped, -low, high))
    less = logsigmoid(torch.where(flipped, -high, low))
    return more + torch.log1p(-(less - more).exp())


LIKELIHOOD_DENSITIES: dict[type, Callable[[Any, Tensor], Tensor]] = {
    torch_dist.Laplace: laplace,
    torch_dist.StudentT: student_t,
    torch_dist.Poisson: poisson,
    torch_dist.NegativeBinomial: negative_binomial,
    torch_dist.Categorical: categorical,
    ContinuousBernoulli: continuous_bernoulli,
    Multinomial: multinomial,
    DiscretizedLogistic: discretized_logistic,
}
