"""Log-densities written by hand, against which the audit holds a distribution's own."""

from __future__ import annotations

import math

from torch import Tensor
from torch.distributions import Bernoulli, Distribution, Independent, Normal
from torch.nn.functional import softplus

from pyro_vae.audit.latent_densities import latent_log_density
from pyro_vae.audit.likelihood_densities import LIKELIHOOD_DENSITIES

__all__ = ["log_density_by_hand"]


def log_density_by_hand(d: Distribution, x: Tensor) -> Tensor | None:
    r"""log d(x) in nats, from the parameters of ``d`` alone; None where none is written here.

    .. math:: \log N = -\tfrac12 \left(\tfrac{x - \mu}{\sigma}\right)^2 - \log\sigma
              - \tfrac12\log 2\pi, \qquad \log B = x\,l - \log(1 + e^l)

    summed over the event's dimensions. A subclass is read as its base, so that one which changes
    ``log_prob`` is seen to differ.
    """  # noqa: D403
    if isinstance(d, Independent):
        inner = log_density_by_hand(d.base_dist, x)
        dims = d.reinterpreted_batch_ndims
        return inner if inner is None or dims == 0 else inner.sum(tuple(range(-dims, 0)))
    if isinstance(d, Normal):
        standard = (x - d.loc) / d.scale
        return -0.5 * standard.square() - d.scale.log() - 0.5 * math.log(2 * math.pi)
    if isinstance(d, Bernoulli):
        return x * d.logits - softplus(d.logits)
    for family, density in LIKELIHOOD_DENSITIES.items():
        if isinstance(d, family):
            return density(d, x)
    return latent_log_density(d, x, log_density_by_hand)
