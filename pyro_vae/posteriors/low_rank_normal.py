"""The normal posterior with a covariance of low rank plus a diagonal."""

from __future__ import annotations

import pyro.distributions as dist
from pydantic import PositiveInt
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor

from pyro_vae.core.posterior import Posterior
from pyro_vae.distributions.bounds import bounded, bounded_scale

__all__ = ["LowRankNormal"]


class LowRankNormal(Posterior):
    r"""A normal with a few directions of correlation, all of it given by the encoder.

    .. math:: q(z \mid x) = N\left(z \mid \mu, S (I + V V^\top) S\right), \quad
              S = \mathrm{diag}(\sigma), \; V \in [-10, 10]^{M \times R}

    It costs O(M R^2) where a full covariance costs O(M^3). Since V is measured in units of sigma
    and bounded, no output of the encoder makes the covariance singular.

    Shapes:
        maps ``(*, 2 + rank, latent_dim)`` to batch_shape ``(*,)`` and event_shape
        ``(latent_dim,)``; ``log_prob`` is in nats.

    Args:
        latent_dim: Size M of the latent code, at least 1.
        rank: Number R of directions, at least 1.

    References:
        | Stochastic backpropagation and approximate inference in deep generative models
        | (Rezende et al., 2014)
        | https://arxiv.org/abs/1401.4082

    Example:
        >>> import torch
        >>> LowRankNormal(latent_dim=3, rank=1)(torch.zeros(5, 3, 3)).batch_shape
        torch.Size([5])
    """

    def __init__(self, latent_dim: PositiveInt, rank: PositiveInt = 2) -> None:
        super().__init__()
        self.latent_dim, self.rank = latent_dim, rank

    @property
    def parameter_shape(self) -> tuple[int, ...]:
        """Means, raw scales and directions, ``(2 + rank, latent_dim)``."""
        return (2 + self.rank, self.latent_dim)

    def forward(self, parameters: Tensor) -> TorchDistribution:
        """N(mu, S (I + V V') S) from ``(*, 2 + rank, latent_dim)``."""
        loc, scale = parameters[..., 0, :], bounded_scale(parameters[..., 1, :])
        factor = scale.unsqueeze(-1) * bounded(parameters[..., 2:, :]).mT  # (*, M, R)
        return dist.LowRankMultivariateNormal(loc, factor, scale.square())
