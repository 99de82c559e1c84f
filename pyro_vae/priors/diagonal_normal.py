"""A learned diagonal normal prior."""

from __future__ import annotations

import pyro.distributions as dist
import torch
from pydantic import PositiveInt
from pyro.distributions.torch_distribution import TorchDistribution
from torch import nn

from pyro_vae.core.prior import Prior
from pyro_vae.distributions.bounds import bounded_scale

__all__ = ["DiagonalNormal"]


class DiagonalNormal(Prior):
    r"""Independent normals whose means and scales are learned (empirical Bayes).

    .. math:: p(z) = N(z \mid \mu, \mathrm{diag}(\sigma^2))

    It begins at the standard normal. Each sigma stays within [1e-3, 1e3].

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
        >>> DiagonalNormal(latent_dim=2)().event_shape
        torch.Size([2])
    """

    def __init__(self, latent_dim: PositiveInt) -> None:
        super().__init__()
        self.loc = nn.Parameter(torch.zeros(latent_dim))
        self.raw_scale = nn.Parameter(torch.zeros(latent_dim))

    def forward(self) -> TorchDistribution:
        """N(mu, diag(sigma^2))."""
        return dist.Normal(self.loc, bounded_scale(self.raw_scale)).to_event(1)
