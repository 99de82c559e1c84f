"""Log-densities written by hand, with which the audit checks a distribution's own ``log_prob``."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.distributions as torch_dist
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal
from torch.nn.functional import logsigmoid, one_hot, softplus

from pyro_vae.distributions import (
    ContinuousBernoulli,
    DiscretizedLogistic,
    Multinomial,
    OrderedLogistic,
)
from pyro_vae.distributions.by_column import ByColumn
from pyro_vae.distributions.chain import Chain
from pyro_vae.distributions.marginal import Marginal
from pyro_vae.distributions.normal_mixture import NormalMixture
from pyro_vae.distributions.power_spherical import PowerSpherical
from pyro_vae.distributions.self_masked import SelfMasked
from pyro_vae.distributions.uniform_sphere import UniformSphere
from pyro_vae.objectives.structure import describe

__all__ = ["log_density", "log_density_by_hand"]


def log_density(d: Distribution, x: Tensor) -> tuple[Tensor, str]:
    """log d(x) in nats by hand, or by ``log_prob`` where no formula is here; and which one."""  # noqa: D403
    value = log_density_by_hand(d, x)
    return (d.log_prob(x), f"{describe(d)}.log_prob") if value is None else (value, "by hand")


def log_density_by_hand(d: Distribution, x: Tensor) -> Tensor | None:
    """log d(x) in nats, from the parameters of ``d`` alone; None where no formula is here.

    The formulas differ from those in the distributions wherever there are two. A subclass is
    treated as its base class, so an overridden ``log_prob`` shows up as a difference.
    """  # noqa: D403
    for family, density in DENSITIES.items():
        if isinstance(d, family):
            return density(d, x)
    return None


def independent(d: Any, x: Tensor) -> Tensor | None:
    """The sum over the event's dimensions."""
    inner, dims = log_density_by_hand(d.base_dist, x), d.reinterpreted_batch_ndims
    return inner if inner is None or dims == 0 else inner.sum(tuple(range(-dims, 0)))


def normal(d: Normal, x: Tensor) -> Tensor:
    r""":math:`-((x - \mu) / \sigma)^2 / 2 - \log\sigma - \log(2\pi) / 2`."""
    standard = (x - d.loc) / d.scale
    return -0.5 * standard.square() - d.scale.log() - 0.5 * math.log(2 * math.pi)


def bernoulli(d: torch_dist.Bernoulli, x: Tensor) -> Tensor:
    r""":math:`x l - \log(1 + e^l)`."""
    return x * d.logits - softplus(d.logits)


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
    log_choices = (x + r).lgamma() - r.lgamma() - (x + 1).lgamma()
    return log_choices + r * (r / (r + mean)).log() + x * (mean / (r + mean)).log()


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


def beta(d: torch_dist.Beta, x: Tensor) -> Tensor:
    r""":math:`(a - 1) \log x + (b - 1) \log(1 - x) - \log B(a, b)`."""
    a, b = d.concentration1, d.concentration0
    log_beta = a.lgamma() + b.lgamma() - (a + b).lgamma()
    return (a - 1) * x.log() + (b - 1) * torch.log1p(-x) - log_beta


def ordered_logistic(d: OrderedLogistic, x: Tensor) -> Tensor:
    """log(sigmoid(c_x - mu) - sigmoid(c_{x - 1} - mu)), from the tail where both are small."""
    whole = torch.nn.functional.pad(d.cutpoints, (1, 1))
    whole[..., 0], whole[..., -1] = -math.inf, math.inf
    edges = whole - d.loc.unsqueeze(-1)
    chosen = one_hot(x.long(), edges.shape[-1] - 1).bool()
    low, high = (
        torch.where(chosen, part, 0).sum(-1) for part in (edges[..., :-1], edges[..., 1:])
    )
    flipped = low > 0  # sigmoid(b) - sigmoid(a) = sigmoid(-a) - sigmoid(-b)
    more = logsigmoid(torch.where(flipped, -low, high))
    less = logsigmoid(torch.where(flipped, -high, low))
    return more + torch.log1p(-(less - more).exp())


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
    x = (x / width).round() * width  # to the exact level, for data in single precision
    low = torch.where(x < width / 2, -math.inf, (x - width / 2 - d.loc) / d.scale)
    high = torch.where(x > 1 - width / 2, math.inf, (x + width / 2 - d.loc) / d.scale)
    flipped = x > d.loc  # sigmoid(b) - sigmoid(a) = sigmoid(-a) - sigmoid(-b)
    more = logsigmoid(torch.where(flipped, -low, high))
    less = logsigmoid(torch.where(flipped, -high, low))
    return more + torch.log1p(-(less - more).exp())


def multivariate_normal(
    d: torch_dist.MultivariateNormal | torch_dist.LowRankMultivariateNormal, z: Tensor
) -> Tensor:
    r""":math:`-(c^T C^{-1} c + \log|C| + M \log 2\pi) / 2`, where c is z less the mean."""
    if isinstance(d, torch_dist.MultivariateNormal):
        covariance = d.scale_tril @ d.scale_tril.mT
    else:
        covariance = d.cov_factor @ d.cov_factor.mT + d.cov_diag.diag_embed()
    centered = z - d.loc
    weighted = torch.linalg.solve(covariance, centered.unsqueeze(-1)).squeeze(-1)
    constant = centered.shape[-1] * math.log(2 * math.pi)
    return -0.5 * ((centered * weighted).sum(-1) + covariance.logdet() + constant)


def mixture(d: torch_dist.MixtureSameFamily | NormalMixture, z: Tensor) -> Tensor | None:
    """The logarithm of the weighted sum of the components' densities."""
    components: Distribution
    if isinstance(d, NormalMixture):
        logits, components = d.logits, Independent(Normal(d.loc, d.scale), 1)
    else:
        logits, components = d.mixture_distribution.logits, d.component_distribution
    each = log_density_by_hand(components, z.unsqueeze(-1 - len(d.event_shape)))
    if each is None:
        return None
    return torch.logsumexp(logits + each, -1) - torch.logsumexp(logits, -1)


def marginal(d: Marginal, x: Tensor) -> Tensor | None:
    """The sum over the entries that are seen."""
    entries = log_density_by_hand(d.base_dist, d.filled(x))
    dims = tuple(range(-len(d.event_shape), 0))
    return None if entries is None else entries.masked_fill(x.isnan(), 0.0).sum(dims)


def self_masked(d: SelfMasked, x: Tensor) -> Tensor | None:
    """The entries that are seen, times their chance to be, and the chance of each that is not."""
    filled = d.filled(x)
    seen = log_density_by_hand(d.base_dist, filled)
    missing = log_chance(d.base_dist, d.slope, d.intercept)
    if seen is None or missing is None:
        return None
    entries = seen + log_normal_cdf(-d.intercept - d.slope * filled)
    dims = tuple(range(-len(d.event_shape), 0))
    return torch.where(x.isnan(), missing, entries).sum(dims)


def log_chance(d: Any, slope: Tensor, intercept: Tensor) -> Tensor | None:
    """The logarithm of the mean of the normal cdf of a linear function of an entry."""
    if isinstance(d, ByColumn):
        columns = zip(d.parts, d.layout.split(slope), d.layout.split(intercept), strict=True)
        found = [log_chance(*column) for column in columns]
        return d.layout.joined([f for f in found if f is not None])
    if isinstance(d, Normal):
        variance = 1 + slope.square() * d.variance
        return log_normal_cdf((intercept + slope * d.mean) / variance.sqrt())
    values = d.enumerate_support(expand=False)
    weighed = d.log_prob(values) + log_normal_cdf(intercept + slope * values)
    return weighed.logsumexp(0)


def log_normal_cdf(t: Tensor) -> Tensor:
    """By the complementary error function, scaled where it would be 0."""
    tail = (torch.special.erfcx(-t.clamp(max=0) / math.sqrt(2)) / 2).log() - t.square() / 2
    return torch.where(t < 0, tail, torch.log1p(-torch.erfc(t.clamp(min=0) / math.sqrt(2)) / 2))


def by_column(d: ByColumn, x: Tensor) -> Tensor | None:
    """Each entry by the formula of its column."""
    flat, done = x.flatten(-len(d.layout.shape)), 0
    entries = flat.new_zeros((*d.batch_shape[: -len(d.layout.shape)], flat.shape[-1]))
    for part, size in zip(d.parts, d.layout.sizes, strict=True):
        places = d.layout.columns[done : done + size]
        found = log_density_by_hand(part, flat[..., places])
        if found is None:
            return None
        entries[..., places] = found
        done += size
    return entries.unflatten(-1, d.layout.shape)


def chain(d: Chain, z: Tensor) -> Tensor | None:
    """The log-density of the root, and of the branch given the root."""
    root, branch = d.parted(z)
    first, second = log_density_by_hand(d.root, root), log_density_by_hand(d.branch(root), branch)
    return None if first is None or second is None else first + second


def uniform_sphere(d: UniformSphere, z: Tensor) -> Tensor:
    r"""Minus the logarithm of the area, :math:`2 \pi^{M/2} / \Gamma(M/2)`."""
    half = z.shape[-1] / 2
    log_area = math.log(2) + half * math.log(math.pi) - math.lgamma(half)
    return torch.zeros_like(z[..., 0]) - log_area


def power_spherical(d: PowerSpherical, z: Tensor) -> Tensor:
    r"""The Beta density of the cosine t, spread over the sphere of one dimension less.

    .. math:: \kappa \log\frac{1 + t}{2} - \log B(a, b) - (M - 2) \log 2 - \log|S^{M-2}|

    The factors (1 - t^2)^{(M-3)/2} of both have canceled.
    """
    size, concentration = z.shape[-1], d.concentration
    b = concentration.new_tensor((size - 1) / 2)
    a = b + concentration
    log_beta = a.lgamma() + b.lgamma() - (a + b).lgamma()
    inner_area = math.log(2) + b * math.log(math.pi) - b.lgamma()
    cosine = (d.loc * z).sum(-1)
    height = ((1 + cosine) / 2).clamp(min=torch.finfo(cosine.dtype).tiny).log()
    return concentration * height - log_beta - (size - 2) * math.log(2) - inner_area


DENSITIES: dict[type, Callable[[Any, Tensor], Tensor | None]] = {
    SelfMasked: self_masked,
    Marginal: marginal,  # before its base class
    ByColumn: by_column,
    Independent: independent,
    Normal: normal,
    torch_dist.Bernoulli: bernoulli,
    torch_dist.Laplace: laplace,
    torch_dist.StudentT: student_t,
    torch_dist.Poisson: poisson,
    torch_dist.NegativeBinomial: negative_binomial,
    torch_dist.Beta: beta,
    OrderedLogistic: ordered_logistic,  # before its base class
    torch_dist.Categorical: categorical,
    torch_dist.MultivariateNormal: multivariate_normal,
    torch_dist.LowRankMultivariateNormal: multivariate_normal,
    torch_dist.MixtureSameFamily: mixture,
    ContinuousBernoulli: continuous_bernoulli,
    Multinomial: multinomial,
    DiscretizedLogistic: discretized_logistic,
    NormalMixture: mixture,
    Chain: chain,
    UniformSphere: uniform_sphere,
    PowerSpherical: power_spherical,
}
