"""The inverse autoregressive flow as a posterior."""

from __future__ import annotations

import pyro.distributions as dist
from pydantic import PositiveInt
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor

from pyro_vae.distributions.affine_autoregressive import AffineAutoregressive
from pyro_vae.distributions.flow import Flow
from pyro_vae.distributions.masked_networks import masked_networks, width
from pyro_vae.posteriors.flow_posterior import FlowPosterior

__all__ = ["IAF"]


class IAF(FlowPosterior):
    r"""Inverse autoregressive flow: each step scales and shifts by what came before.

    .. math:: z_{t,m} = \mu_{t,m}(z_{t-1,<m}, h) + \sigma_{t,m}(z_{t-1,<m}, h) \, z_{t-1,m},
              \quad z_0 \sim N(\mu(x), \mathrm{diag}(\sigma(x)^2))

    with h a context that the encoder puts out, and the order of the dimensions turned at each
    step. A draw and its density take one pass of each network; the density of any other code
    takes one for each dimension. Each log sigma of a step stays within [-5, 3].

    Shapes:
        maps ``(*, 2 * latent_dim + context)`` to batch_shape ``(*,)`` and event_shape
        ``(latent_dim,)``; ``log_prob`` is in nats.

    Args:
        latent_dim: Size M of the latent code, at least 1.
        transforms: Number of steps, at least 1.
        context: Size of the context h, at least 1.
        hidden: Width of each network's hidden layer, at least M; None for 4 M, and at least 32.

    References:
        | Improving variational inference with inverse autoregressive flow (Kingma et al., 2016)
        | https://arxiv.org/abs/1606.04934

    Example:
        >>> import torch
        >>> IAF(latent_dim=3, context=8)(torch.zeros(5, 14)).batch_shape
        torch.Size([5])
    """

    def __init__(
        self,
        latent_dim: PositiveInt,
        transforms: PositiveInt = 2,
        context: PositiveInt = 16,
        hidden: PositiveInt | None = None,
    ) -> None:
        super().__init__()
        self.latent_dim, self.context_size = latent_dim, context
        size = width("iaf", latent_dim, hidden)
        self.networks = masked_networks(latent_dim, [1, 1], size, transforms, context)

    def flow(self, loc: Tensor, scale: Tensor, context: Tensor) -> TorchDistribution:
        """The flow, its fast direction to z."""
        steps = [AffineAutoregressive(network, context) for network in self.networks]
        return Flow(dist.Normal(loc, scale).to_event(1), steps)
