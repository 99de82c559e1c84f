"""The standard normal prior."""

from __future__ import annotations

import pyro.distributions as dist
import torch
from pydantic import PositiveInt
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor

from pyro_vae.core.prior import Prior

__all__ = ["StandardNormal"]


class StandardNormal(Prior):
    r"""Independent normals of mean 0 and scale 1; nothing is learned.

    .. math:: p(z) = N(z \mid 0, I)

    Shapes:
        ``forward()`` has batch_shape ``()`` and event_shape ``(latent_dim,)``;
        ``log_prob`` maps ``(*, latent_dim)`` to ``(*,)``, in nats.

    Args:
        latent_dim: Size M of the latent code, at least 1.

    References:
        | Auto-encoding variational Bayes (Kingma and Welling, 2013)
        | https://arxiv.org/abs/1312.6114

    Example:
        >>> StandardNormal(latent_dim=2)().event_shape
        torch.Size([2])
    """

    zeros: Tensor
    ones: Tensor

    def __init__(self, latent_dim: PositiveInt) -> None:
        super().__init__()
        self.register_buffer("zeros", torch.zeros(latent_dim), persistent=False)
        self.register_buffer("ones", torch.ones(latent_dim), persistent=False)

    def forward(self) -> TorchDistribution:
        """N(0, I)."""
        return dist.Normal(self.zeros, self.ones).to_event(1)
