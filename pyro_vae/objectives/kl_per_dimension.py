"""The KL of each latent dimension, where q and p both have independent dimensions."""

from __future__ import annotations

from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor
from torch.distributions import Distribution, Independent

from pyro_vae.core.errors import NoClosedFormKL
from pyro_vae.objectives.kl import laplace_laplace, normal_normal
from pyro_vae.objectives.registry import kl_from_registry
from pyro_vae.objectives.structure import describe, diagonal_laplace, diagonal_normal

__all__ = ["kl_per_dimension"]

CLOSED_FORMS = [(diagonal_normal, normal_normal), (diagonal_laplace, laplace_laplace)]


def kl_per_dimension(q: TorchDistribution, p: TorchDistribution) -> Tensor:
    """KL(q(z_m) || p(z_m)) in nats in closed form, ``(*batch, M)``; over M they sum to the KL.

    Raises:
        NoClosedFormKL: where the KL is no such sum, or has no closed form.

    Example:
        >>> import pyro.distributions as dist, torch
        >>> q = dist.Normal(torch.tensor([0.0, 1.0]), 1.0).to_event(1)
        >>> kl_per_dimension(q, dist.Normal(torch.zeros(2), 1.0).to_event(1))
        tensor([0.0000, 0.5000])
    """
    for read, closed_form in CLOSED_FORMS:
        first, second = read(q), read(p)
        if first is not None and second is not None:
            apart = [[part.unsqueeze(-1) for part in pair] for pair in (first, second)]
            value = closed_form(tuple(apart[0]), tuple(apart[1]))  # type: ignore[arg-type]
            return value.expand(q.batch_shape + q.event_shape)
    one, other = _each_dimension(q), _each_dimension(p)
    if one is not None and other is not None:
        known = kl_from_registry(one, other)
        if known is not None:
            return known.expand(q.batch_shape + q.event_shape)
    raise NoClosedFormKL(
        f"Expected a closed-form KL that is a sum over the latent dimensions, got "
        f"q = {describe(q)} and p = {describe(p)}; leave free_bits out, or choose a prior and a "
        f"posterior of independent dimensions, such as standard_normal and diagonal_normal"
    )


def _each_dimension(d: Distribution) -> Distribution | None:
    """What one dimension has, if the event is a vector of independent dimensions."""
    if not isinstance(d, Independent) or d.reinterpreted_batch_ndims != 1:
        return None
    return d.base_dist
