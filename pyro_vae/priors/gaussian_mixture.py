"""A learned mixture of diagonal normals as a prior."""

from __future__ import annotations

import pyro.distributions as dist
import torch
from pydantic import PositiveInt
from pyro.distributions.torch_distribution import TorchDistribution
from torch import nn

from pyro_vae.core.prior import Prior
from pyro_vae.distributions.bounds import bounded_scale

__all__ = ["GaussianMixture"]


class GaussianMixture(Prior):
    r"""Learned mixture of diagonal normals.

    .. math:: p(z) = \sum_k \pi_k \, N(z \mid \mu_k, \mathrm{diag}(\sigma_k^2))

    It begins with equal weights, scales of 1, and means drawn from the standard normal. No
    closed-form KL to a mixture is known, so the objective samples it.

    Shapes:
        ``forward()`` has batch_shape ``()`` and event_shape ``(latent_dim,)``;
        ``log_prob`` maps ``(*, latent_dim)`` to ``(*,)``, in nats.

    Args:
        latent_dim: Size M of the latent code, at least 1.
        components: Number K of normals in the mixture, at least 1.

    References:
        | VAE with a VampPrior (Tomczak and Welling, 2018)
        | https://arxiv.org/abs/1705.07120

    Example:
        >>> GaussianMixture(latent_dim=2, components=3)().event_shape
        torch.Size([2])
    """

    def __init__(self, latent_dim: PositiveInt, components: PositiveInt = 32) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(components))
        self.loc = nn.Parameter(torch.randn(components, latent_dim))  # (K, M)
        self.raw_scale = nn.Parameter(torch.zeros(components, latent_dim))  # (K, M)

    def forward(self) -> TorchDistribution:
        """The mixture."""
        modes = dist.Normal(self.loc, bounded_scale(self.raw_scale)).to_event(1)
        return dist.MixtureSameFamily(dist.Categorical(logits=self.logits), modes)
