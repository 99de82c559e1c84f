"""Log-densities by hand of what a latent code can have: the densities of priors and posteriors."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.distributions import (
    Distribution,
    Independent,
    LowRankMultivariateNormal,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
)

from pyro_vae.distributions.chain import Chain
from pyro_vae.distributions.normal_mixture import NormalMixture
from pyro_vae.distributions.power_spherical import PowerSpherical
from pyro_vae.distributions.uniform_sphere import UniformSphere

__all__ = ["latent_log_density"]

Density = Callable[[Distribution, Tensor], Tensor | None]


def latent_log_density(  # noqa: PLR0911
    d: Distribution, z: Tensor, inner: Density
) -> Tensor | None:
    r"""The log-density of ``d`` in nats, from its parameters alone; None where none is written.

    Args:
        d: A distribution over codes.
        z: Codes, ``(*, M)``.
        inner: The density, by hand, of what ``d`` is made of.
    """
    if isinstance(d, MultivariateNormal):
        return _normal(z - d.loc, d.scale_tril @ d.scale_tril.mT)
    if isinstance(d, LowRankMultivariateNormal):
        return _normal(z - d.loc, d.cov_factor @ d.cov_factor.mT + d.cov_diag.diag_embed())
    if isinstance(d, UniformSphere):
        return torch.zeros_like(z[..., 0]) - _log_area(z.shape[-1])
    if isinstance(d, PowerSpherical):
        return _power_spherical((d.loc * z).sum(-1), d.concentration, z.shape[-1])
    if isinstance(d, (MixtureSameFamily, NormalMixture)):
        return _mixture(d, z, inner)
    if isinstance(d, Chain):
        root, branch = d.parted(z)
        parts = inner(d.root, root), inner(d.branch(root), branch)
        return None if parts[0] is None or parts[1] is None else parts[0] + parts[1]
    return None


def _normal(centred: Tensor, covariance: Tensor) -> Tensor:
    r"""-(c' C^-1 c + log|C| + M log 2 pi) / 2."""
    weighted = torch.linalg.solve(covariance, centred.unsqueeze(-1)).squeeze(-1)
    constant = centred.shape[-1] * math.log(2 * math.pi)
    return -0.5 * ((centred * weighted).sum(-1) + covariance.logdet() + constant)


def _mixture(d: MixtureSameFamily | NormalMixture, z: Tensor, inner: Density) -> Tensor | None:
    """The logarithm of the weighted sum of the components' densities."""
    components: Distribution
    if isinstance(d, NormalMixture):
        logits, components = d.logits, Independent(Normal(d.loc, d.scale), 1)
    else:
        logits, components = d.mixture_distribution.logits, d.component_distribution
    each = inner(components, z.unsqueeze(-2))
    if each is None:
        return None
    return torch.logsumexp(logits + each, -1) - torch.logsumexp(logits, -1)


def _log_area(size: int) -> float:
    """The logarithm of 2 pi^(M/2) / Gamma(M/2)."""
    return math.log(2) + size / 2 * math.log(math.pi) - math.lgamma(size / 2)


def _power_spherical(cosine: Tensor, concentration: Tensor, size: int) -> Tensor:
    r"""The density of the cosine by Beta's, spread over the sphere of one dimension less.

    .. math:: \kappa \log\frac{1 + t}{2} - \log B(a, b) - (M - 2) \log 2 - \log|S^{M-2}|

    where the factors (1 - t^2)^{(M-3)/2} of both have cancelled.
    """
    b = concentration.new_tensor((size - 1) / 2)
    a = b + concentration
    log_beta = a.lgamma() + b.lgamma() - (a + b).lgamma()
    inner_area = math.log(2) + b * math.log(math.pi) - b.lgamma()
    height = ((1 + cosine) / 2).clamp(min=torch.finfo(cosine.dtype).tiny).log()
    return concentration * height - log_beta - (size - 2) * math.log(2) - inner_area
