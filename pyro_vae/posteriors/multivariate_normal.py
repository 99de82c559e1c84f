"""The normal posterior with a full covariance."""

from __future__ import annotations

import pyro.distributions as dist
from pydantic import PositiveInt
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor

from pyro_vae.core.posterior import Posterior
from pyro_vae.distributions.covariance import cholesky_factor, entries_below_the_diagonal

__all__ = ["MultivariateNormal"]


class MultivariateNormal(Posterior):
    r"""A normal whose mean and full covariance the encoder gives.

    .. math:: q(z \mid x) = N(z \mid \mu(x), L(x) L(x)^\top)

    L is a Cholesky factor that no output of the encoder makes singular
    (:func:`~pyro_vae.distributions.covariance.cholesky_factor`).

    Shapes:
        maps ``(*, 2 * latent_dim + latent_dim * (latent_dim - 1) / 2)`` to batch_shape ``(*,)``
        and event_shape ``(latent_dim,)``; ``log_prob`` is in nats.

    Args:
        latent_dim: Size M of the latent code, at least 1.

    References:
        | An introduction to variational autoencoders (Kingma and Welling, 2019), section 2.5.1
        | https://arxiv.org/abs/1906.02691

    Example:
        >>> import torch
        >>> MultivariateNormal(latent_dim=3)(torch.zeros(5, 9)).batch_shape
        torch.Size([5])
    """

    def __init__(self, latent_dim: PositiveInt) -> None:
        super().__init__()
        self.sizes = [latent_dim, latent_dim, entries_below_the_diagonal(latent_dim)]

    @property
    def parameter_shape(self) -> tuple[int, ...]:
        """Means, raw scales, and what stands below the diagonal."""
        return (sum(self.sizes),)

    def forward(self, parameters: Tensor) -> TorchDistribution:
        """N(mu, L L') from ``(*, 2 M + M (M - 1) / 2)``."""
        loc, raw_scale, below = parameters.split(self.sizes, -1)
        return dist.MultivariateNormal(loc, scale_tril=cholesky_factor(raw_scale, below))
