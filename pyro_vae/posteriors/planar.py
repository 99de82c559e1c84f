"""The planar flow as a posterior."""

from __future__ import annotations

import pyro.distributions as dist
from pydantic import PositiveInt
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor

from pyro_vae.core.bounds import Layers
from pyro_vae.distributions import planar
from pyro_vae.distributions.bounds import bounded
from pyro_vae.distributions.flow import Flow
from pyro_vae.posteriors.flow_posterior import FlowPosterior

__all__ = ["Planar"]


class Planar(FlowPosterior):
    r"""A diagonal normal, bent along planes that the encoder gives.

    .. math:: z_t = z_{t-1} + \hat u_t \tanh(w_t \cdot z_{t-1} + b_t), \quad
              z_0 \sim N(\mu(x), \mathrm{diag}(\sigma(x)^2))

    Each number of u, w and b stays within 10 of 0. A draw and its density are fast; the density
    of any other code takes a bisection (:class:`~pyro_vae.distributions.planar.Planar`).

    Shapes:
        maps ``(*, 2 * latent_dim + transforms * (2 * latent_dim + 1))`` to batch_shape ``(*,)``
        and event_shape ``(latent_dim,)``; ``log_prob`` is in nats.

    Args:
        latent_dim: Size M of the latent code, at least 1.
        transforms: Number of planes, at least 1.

    References:
        | Variational inference with normalizing flows (Rezende and Mohamed, 2015)
        | https://arxiv.org/abs/1505.05770

    Example:
        >>> import torch
        >>> Planar(latent_dim=3, transforms=2)(torch.zeros(5, 20)).batch_shape
        torch.Size([5])
    """

    def __init__(self, latent_dim: PositiveInt, transforms: Layers = 4) -> None:
        super().__init__()
        self.latent_dim, self.transforms = latent_dim, transforms
        self.context_size = transforms * (2 * latent_dim + 1)

    def flow(self, loc: Tensor, scale: Tensor, context: Tensor) -> TorchDistribution:
        """The flow; the context is u, w and b of each plane."""
        each = bounded(context).unflatten(-1, (self.transforms, 2 * self.latent_dim + 1))
        u, w, bias = each.split([self.latent_dim, self.latent_dim, 1], -1)
        planes = [
            planar.Planar(bias[..., t, :], u[..., t, :], w[..., t, :])
            for t in range(self.transforms)
        ]
        return Flow(dist.Normal(loc, scale).to_event(1), planes)
