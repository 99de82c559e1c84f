"""The uniform prior on the sphere."""

from __future__ import annotations

import torch
from pydantic import PositiveInt
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor

from pyro_vae.core.errors import DeclarationError
from pyro_vae.core.prior import Prior
from pyro_vae.distributions import uniform_sphere

__all__ = ["UniformSphere"]


class UniformSphere(Prior):
    r"""Codes of length 1, every direction alike; nothing is learned.

    .. math:: p(z) = \frac{\Gamma(M/2)}{2 \pi^{M/2}}, \quad \|z\| = 1

    It goes with a posterior on the sphere, such as ``power_spherical``.

    Shapes:
        ``forward()`` has batch_shape ``()`` and event_shape ``(latent_dim,)``;
        ``log_prob`` maps ``(*, latent_dim)`` to ``(*,)``, in nats.

    Args:
        latent_dim: Size M of the latent code, at least 2.

    References:
        | Hyperspherical variational auto-encoders (Davidson et al., 2018)
        | https://arxiv.org/abs/1804.00891

    Example:
        >>> round(UniformSphere(latent_dim=3)().sample().norm().item(), 4)
        1.0
    """

    zeros: Tensor

    def __init__(self, latent_dim: PositiveInt) -> None:
        super().__init__()
        if latent_dim < 2:
            raise DeclarationError(f"uniform_sphere.latent_dim: must be >= 2, got {latent_dim}")
        self.register_buffer("zeros", torch.zeros(latent_dim), persistent=False)

    def forward(self) -> TorchDistribution:
        """The uniform distribution on the sphere."""
        return uniform_sphere.UniformSphere(self.zeros)
