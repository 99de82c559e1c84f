"""KL(q || p): by a closed form or by sampling, as requested."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import torch
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor
from torch.distributions import Distribution, Independent

from pyro_vae.core.errors import NoClosedFormKL
from pyro_vae.objectives.registry import kl_from_registry
from pyro_vae.objectives.structure import (
    describe,
    diagonal_laplace,
    diagonal_normal,
    full_normal,
    log_det,
    power_spherical,
    rooted_normal,
    uniform_sphere,
)

__all__ = [
    "KL",
    "kl_by_hand",
    "kl_exact",
    "kl_method",
    "kl_per_dimension",
    "kl_sampled",
    "kl_source",
]

KL = Literal["auto", "exact", "sampled"]


def normal_normal(q: tuple[Tensor, Tensor], p: tuple[Tensor, Tensor]) -> Tensor:
    r"""KL between diagonal normals, each given as (loc, scale).

    .. math:: \frac12 \sum_m \left( \frac{\sigma_q^2 + (\mu_q - \mu_p)^2}{\sigma_p^2} - 1
              - \log\frac{\sigma_q^2}{\sigma_p^2} \right)

    Against N(0, I) it is 1/2 sum(mu^2 + sigma^2 - 1 - log sigma^2): Kingma and Welling (2013),
    appendix B.
    """
    (loc, scale), (prior_loc, prior_scale) = q, p
    ratio = (scale / prior_scale).square()
    shift = ((loc - prior_loc) / prior_scale).square()
    return 0.5 * (shift + ratio - 1 - ratio.log()).sum(-1)


def normal_diagonal(q: tuple[Tensor, Tensor, Tensor], p: tuple[Tensor, Tensor]) -> Tensor:
    r"""KL from a normal of any form, as (loc, root A, log|A|), to a diagonal (loc, scale).

    .. math:: \frac12 \left( \|S^{-1} A\|_F^2 + \|S^{-1}(\mu_q - \mu_p)\|^2 - M \right)
              + \log|S| - \log|A|, \quad S = \mathrm{diag}(\sigma_p)
    """
    (loc, root, root_log_det), (prior_loc, prior_scale) = q, p
    spread = (root / prior_scale.unsqueeze(-1)).square().sum((-2, -1))
    shift = ((loc - prior_loc) / prior_scale).square().sum(-1)
    return 0.5 * (spread + shift - loc.shape[-1]) + prior_scale.log().sum(-1) - root_log_det


def normal_full(q: tuple[Tensor, Tensor, Tensor], p: tuple[Tensor, Tensor]) -> Tensor:
    r"""KL from a normal of any form, as (loc, root A, log|A|), to (loc, Cholesky factor L).

    .. math:: \frac12 \left( \|L^{-1} A\|_F^2 + \|L^{-1}(\mu_q - \mu_p)\|^2 - M \right)
              + \log|L| - \log|A|
    """
    (loc, root, root_log_det), (prior_loc, prior_factor) = q, p
    shift = (loc - prior_loc).unsqueeze(-1)
    spread = torch.linalg.solve_triangular(prior_factor, root, upper=False)
    moved = torch.linalg.solve_triangular(prior_factor, shift, upper=False)
    quadratic = spread.square().sum((-2, -1)) + moved.square().sum((-2, -1)) - loc.shape[-1]
    return 0.5 * quadratic + log_det(prior_factor) - root_log_det


def diagonal_full(q: tuple[Tensor, Tensor], p: tuple[Tensor, Tensor]) -> Tensor:
    r"""KL from a diagonal normal, (loc, scale), to one with a full covariance, (loc, L L').

    .. math:: \frac12 \left( \sum_m (\Sigma_p^{-1})_{mm} \sigma_m^2 + \|L^{-1}(\mu_q - \mu_p)\|^2
              - M \right) + \log|L| - \sum_m \log\sigma_m

    As :func:`normal_full`, whose root is then diagonal; L is inverted once for all data.
    """
    (loc, scale), (prior_loc, prior_factor) = q, p
    eye = torch.eye(loc.shape[-1]).to(prior_factor)
    inverse = torch.linalg.solve_triangular(prior_factor, eye, upper=False)
    spread = inverse.square().sum(-2) * scale.square()
    moved = ((loc - prior_loc).unsqueeze(-2) @ inverse.mT).squeeze(-2)
    quadratic = (spread + moved.square()).sum(-1) - loc.shape[-1]
    return 0.5 * quadratic + log_det(prior_factor) - scale.log().sum(-1)


def laplace_laplace(q: tuple[Tensor, Tensor], p: tuple[Tensor, Tensor]) -> Tensor:
    r"""KL between Laplace distributions of independent dimensions, each as (loc, scale).

    .. math:: \sum_m \left( \log\frac{b_p}{b_q} - 1 + \frac{|\mu_q - \mu_p|
              + b_q e^{-|\mu_q - \mu_p| / b_q}}{b_p} \right)

    since E|z - mu_p| under q is |mu_q - mu_p| + b_q exp(-|mu_q - mu_p| / b_q).
    """
    (loc, scale), (prior_loc, prior_scale) = q, p
    gap = (loc - prior_loc).abs()
    distance = (gap + scale * torch.exp(-gap / scale)) / prior_scale
    return (prior_scale.log() - scale.log() - 1 + distance).sum(-1)


def power_spherical_uniform(q: tuple[Tensor, Tensor], p: tuple[()]) -> Tensor:
    r"""KL from a power spherical distribution, as (kappa, M), to the uniform one.

    .. math:: \kappa \left( \log 2 + \psi(a) - \psi(a + b) \right)
              - \log \frac{2^{a + b} \pi^b \, \Gamma(a)}{\Gamma(a + b)}
              + \log \frac{2 \pi^{M/2}}{\Gamma(M/2)}, \quad b = \tfrac{M - 1}{2}, \; a = b + \kappa

    since (1 + mu.z) / 2 ~ Beta(a, b): De Cao and Aziz (2020), section 3.
    """
    concentration, size = q[0], q[1].to(q[0])
    b = (size - 1) / 2
    a = b + concentration
    height = math.log(2) + a.digamma() - (a + b).digamma()
    normalizer = (a + b) * math.log(2) + b * math.log(math.pi) + a.lgamma() - (a + b).lgamma()
    area = math.log(2) + size / 2 * math.log(math.pi) - (size / 2).lgamma()
    return concentration * height - normalizer + area


Reader = Callable[[Distribution], Any]
ClosedForm = Callable[[Any, Any], Tensor]

CLOSED_FORMS: list[tuple[Reader, Reader, ClosedForm]] = [
    (diagonal_normal, diagonal_normal, normal_normal),
    (rooted_normal, diagonal_normal, normal_diagonal),
    (diagonal_normal, full_normal, diagonal_full),
    (rooted_normal, full_normal, normal_full),
    (diagonal_laplace, diagonal_laplace, laplace_laplace),
    (power_spherical, uniform_sphere, power_spherical_uniform),
]
PER_DIMENSION = [(diagonal_normal, normal_normal), (diagonal_laplace, laplace_laplace)]


def kl_by_hand(q: TorchDistribution, p: TorchDistribution) -> Tensor | None:
    """KL(q || p) in nats by a closed form in this file, of shape ``q.batch_shape``, or None."""
    for read_q, read_p, closed_form in CLOSED_FORMS:
        q_parameters, p_parameters = read_q(q), read_p(p)
        if q_parameters is not None and p_parameters is not None:
            return closed_form(q_parameters, p_parameters).expand(q.batch_shape)
    return None


def kl_exact(q: TorchDistribution, p: TorchDistribution) -> Tensor:
    """KL(q || p) in nats, of shape ``q.batch_shape``: by hand, or else from torch's registry.

    Raises:
        NoClosedFormKL: where none is known; it never samples.

    Example:
        >>> import pyro.distributions as dist
        >>> q = dist.Normal(torch.ones(3), 1.0).to_event(1)
        >>> kl_exact(q, dist.Normal(torch.zeros(3), 1.0).to_event(1))
        tensor(1.5000)
    """
    value = kl_by_hand(q, p)
    value = kl_from_registry(q, p) if value is None else value
    if value is None:
        raise NoClosedFormKL(
            f"Expected a pair with a closed-form KL, got q = {describe(q)} and "
            f"p = {describe(p)}; choose kl: sampled, or kl: auto, or another prior or posterior"
        )
    return value


@torch.no_grad()
def kl_source(
    q: TorchDistribution, p: TorchDistribution
) -> Literal["by hand", "torch's registry"] | None:
    """The source of a pair's closed form; None if it has none."""
    if kl_by_hand(q, p) is not None:
        return "by hand"
    return None if kl_from_registry(q, p) is None else "torch's registry"


def kl_sampled(q: TorchDistribution, p: TorchDistribution, z: Tensor) -> Tensor:
    """Sampled divergence: log q(z) - log p(z) in nats at draws z ~ q, of shape ``z.shape[:-1]``.

    Its mean over the draws is an unbiased estimate of KL(q || p).
    """
    return q.log_prob(z) - p.log_prob(z)


def kl_method(
    q: TorchDistribution, p: TorchDistribution, kl: KL = "auto"
) -> Literal["exact", "sampled"]:
    """The method for the KL of this pair, from its structure alone.

    Raises:
        NoClosedFormKL: if ``kl`` is ``exact`` and there is no closed form.
    """
    if kl == "sampled":
        return "sampled"
    if kl_source(q, p) is not None:
        return "exact"
    if kl == "exact":
        kl_exact(q, p)
    return "sampled"


def kl_per_dimension(
    q: TorchDistribution, p: TorchDistribution, z: Tensor | None = None
) -> tuple[Tensor | None, str]:
    """KL(q(z_m) || p(z_m)) in nats, ``(*batch, M)``; over M they sum to the KL.

    Args:
        q: The posterior.
        p: The prior.
        z: Draws from q, ``(S, *batch, M)``, to estimate it where there is no closed form.

    Returns:
        The KLs and their estimator, or None and the reason.

    Example:
        >>> import pyro.distributions as dist, torch
        >>> q = dist.Normal(torch.tensor([0.0, 1.0]), 1.0).to_event(1)
        >>> kl_per_dimension(q, dist.Normal(torch.zeros(2), 1.0).to_event(1))
        (tensor([0.0000, 0.5000]), 'exact, dimension by dimension')
    """
    for name, d in (("q(z|x)", q), ("p(z)", p)):
        if not isinstance(d, Independent) or d.reinterpreted_batch_ndims != 1:
            why = f"the dimensions of {name}, {describe(d)}, depend on one another"
            return None, f"does not factorize: {why}"
    exact: Tensor | None = None
    for read, closed_form in PER_DIMENSION:
        first, second = read(q), read(p)
        if first is not None and second is not None:
            apart = [(loc.unsqueeze(-1), scale.unsqueeze(-1)) for loc, scale in (first, second)]
            exact = closed_form(*apart)
    if exact is None:
        exact = kl_from_registry(q.base_dist, p.base_dist)
    if exact is not None:
        return exact.expand(q.batch_shape + q.event_shape), "exact, dimension by dimension"
    if z is None:
        return None, f"no closed form: {describe(q)}, {describe(p)}"
    ratio: Tensor = q.base_dist.log_prob(z) - p.base_dist.log_prob(z)
    return ratio.mean(0), f"sampled dimension by dimension, {len(z)} draws"
