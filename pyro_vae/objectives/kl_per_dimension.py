"""The KL of each latent dimension, where q and p both have independent dimensions."""

from __future__ import annotations

from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor
from torch.distributions import Independent

from pyro_vae.objectives.kl import laplace_laplace, normal_normal
from pyro_vae.objectives.registry import kl_from_registry
from pyro_vae.objectives.structure import describe, diagonal_laplace, diagonal_normal

__all__ = ["kl_per_dimension"]

CLOSED_FORMS = [(diagonal_normal, normal_normal), (diagonal_laplace, laplace_laplace)]


def kl_per_dimension(
    q: TorchDistribution, p: TorchDistribution, z: Tensor | None = None
) -> tuple[Tensor | None, str]:
    """KL(q(z_m) || p(z_m)) in nats, ``(*batch, M)``; over M they sum to the KL.

    Args:
        q: The posterior.
        p: The prior.
        z: Draws from q, ``(S, *batch, M)``, to estimate it where there is no closed form.

    Returns:
        The KLs and how they were found, or None and the reason why there are none.

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
    for read, closed_form in CLOSED_FORMS:
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
