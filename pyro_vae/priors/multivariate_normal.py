"""A learned normal prior with a full covariance."""

from __future__ import annotations

import pyro.distributions as dist
import torch
from pydantic import PositiveInt
from pyro.distributions.torch_distribution import TorchDistribution
from torch import nn

from pyro_vae.core.prior import Prior
from pyro_vae.distributions.covariance import cholesky_factor, entries_below_the_diagonal

__all__ = ["MultivariateNormal"]


class MultivariateNormal(Prior):
    r"""A normal whose mean and full covariance are learned.

    .. math:: p(z) = N(z \mid \mu, L L^\top)

    It begins at the standard normal. L is a Cholesky factor that no weight makes singular
    (:func:`~pyro_vae.distributions.covariance.cholesky_factor`).

    Shapes:
        ``forward()`` has batch_shape ``()`` and event_shape ``(latent_dim,)``;
        ``log_prob`` maps ``(*, latent_dim)`` to ``(*,)``, in nats.

    Args:
        latent_dim: Size M of the latent code, at least 1.

    References:
        | ELBO surgery: yet another way to carve up the variational evidence lower bound
        | (Hoffman and Johnson, 2016)
        | http://approximateinference.org/accepted/HoffmanJohnson2016.pdf

    Example:
        >>> MultivariateNormal(latent_dim=2)().covariance_matrix.tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """

    def __init__(self, latent_dim: PositiveInt) -> None:
        super().__init__()
        self.loc = nn.Parameter(torch.zeros(latent_dim))
        self.raw_scale = nn.Parameter(torch.zeros(latent_dim))
        self.below = nn.Parameter(torch.zeros(entries_below_the_diagonal(latent_dim)))

    def forward(self) -> TorchDistribution:
        """N(mu, L L')."""
        factor = cholesky_factor(self.raw_scale, self.below)
        return dist.MultivariateNormal(self.loc, scale_tril=factor)
