"""KL(q || p): by a closed form written here, or by sampling. Never one in the other's place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor
from torch.distributions import Distribution

from pyro_vae.core.errors import NoClosedFormKL
from pyro_vae.objectives.registry import kl_from_registry
from pyro_vae.objectives.structure import any_normal, describe, diagonal_normal, full_normal

__all__ = ["KL", "kl_by_hand", "kl_exact", "kl_route", "kl_sampled", "kl_source"]

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


def full_diagonal(q: tuple[Tensor, Tensor], p: tuple[Tensor, Tensor]) -> Tensor:
    r"""KL from a normal with Cholesky factor L to a diagonal one, as (loc, L) and (loc, scale).

    .. math:: \frac12 \left( \|S^{-1} L\|_F^2 + \|S^{-1}(\mu_q - \mu_p)\|^2 - M
              + 2 \log|S| - 2 \log|L| \right), \quad S = \mathrm{diag}(\sigma_p)
    """
    (loc, factor), (prior_loc, prior_scale) = q, p
    spread = (factor / prior_scale.unsqueeze(-1)).square().sum((-2, -1))
    shift = ((loc - prior_loc) / prior_scale).square().sum(-1)
    log_dets = prior_scale.log().sum(-1) - _log_det(factor)
    return 0.5 * (spread + shift - loc.shape[-1]) + log_dets


def full_full(q: tuple[Tensor, Tensor], p: tuple[Tensor, Tensor]) -> Tensor:
    r"""KL between normals given as (loc, Cholesky factor).

    .. math:: \frac12 \left( \|L_p^{-1} L_q\|_F^2 + \|L_p^{-1}(\mu_q - \mu_p)\|^2 - M \right)
              + \log|L_p| - \log|L_q|
    """
    (loc, factor), (prior_loc, prior_factor) = q, p
    shift = (loc - prior_loc).unsqueeze(-1)
    spread = torch.linalg.solve_triangular(prior_factor, factor, upper=False)
    moved = torch.linalg.solve_triangular(prior_factor, shift, upper=False)
    quadratic = spread.square().sum((-2, -1)) + moved.square().sum((-2, -1)) - loc.shape[-1]
    return 0.5 * quadratic + _log_det(prior_factor) - _log_det(factor)


def _log_det(factor: Tensor) -> Tensor:
    return factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)


Reader = Callable[[Distribution], tuple[Tensor, Tensor] | None]
ClosedForm = Callable[[tuple[Tensor, Tensor], tuple[Tensor, Tensor]], Tensor]

CLOSED_FORMS: list[tuple[Reader, Reader, ClosedForm]] = [
    (diagonal_normal, diagonal_normal, normal_normal),
    (full_normal, diagonal_normal, full_diagonal),
    (any_normal, full_normal, full_full),
]


def kl_by_hand(q: TorchDistribution, p: TorchDistribution) -> Tensor | None:
    """KL(q || p) in nats by a closed form written here, of shape ``q.batch_shape``, or None."""
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
    """Where the closed form of a pair comes from; None where it has none."""
    if kl_by_hand(q, p) is not None:
        return "by hand"
    return None if kl_from_registry(q, p) is None else "torch's registry"


def kl_sampled(q: TorchDistribution, p: TorchDistribution, z: Tensor) -> Tensor:
    """Sampled divergence: log q(z) - log p(z) in nats at draws z ~ q, of shape ``z.shape[:-1]``.

    Its mean over the draws is an unbiased estimate of KL(q || p).
    """
    return q.log_prob(z) - p.log_prob(z)


def kl_route(
    q: TorchDistribution, p: TorchDistribution, kl: KL = "auto"
) -> Literal["exact", "sampled"]:
    """The route by which the KL of this pair is computed: decided by structure, before any draw.

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
