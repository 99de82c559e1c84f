"""The masked autoregressive flow as a prior."""

from __future__ import annotations

import pyro.distributions as dist
import torch
from pydantic import PositiveInt
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor

from pyro_vae.core.prior import Prior
from pyro_vae.distributions.affine_autoregressive import AffineAutoregressive
from pyro_vae.distributions.flow import Flow
from pyro_vae.distributions.masked_networks import masked_networks, width

__all__ = ["MAF"]


class MAF(Prior):
    r"""Masked autoregressive flow on a standard normal.

    .. math:: p(z) = N(f(z) \mid 0, I) \left|\det \frac{\partial f}{\partial z}\right|, \quad
              f(z)_m = \mu_m(z_{<m}) + \sigma_m(z_{<m}) \, z_m

    composed several times, the order of the dimensions turned each time. The density takes one
    pass of each network, a draw takes one for each dimension: fast in training, slower to
    generate. Each log sigma stays within [-5, 3].

    Shapes:
        ``forward()`` has batch_shape ``()`` and event_shape ``(latent_dim,)``;
        ``log_prob`` maps ``(*, latent_dim)`` to ``(*,)``, in nats.

    Args:
        latent_dim: Size M of the latent code, at least 1.
        transforms: Number of transforms, at least 1.
        hidden: Width of each network's hidden layer, at least M; None for 4 M, and at least 32.

    References:
        | Masked autoregressive flow for density estimation (Papamakarios et al., 2017)
        | https://arxiv.org/abs/1705.07057

    Example:
        >>> MAF(latent_dim=2)().sample().shape
        torch.Size([2])
    """

    zeros: Tensor
    ones: Tensor

    def __init__(
        self,
        latent_dim: PositiveInt,
        transforms: PositiveInt = 2,
        hidden: PositiveInt | None = None,
    ) -> None:
        super().__init__()
        self.register_buffer("zeros", torch.zeros(latent_dim), persistent=False)
        self.register_buffer("ones", torch.ones(latent_dim), persistent=False)
        size = width("maf", latent_dim, hidden)
        self.networks = masked_networks(latent_dim, [1, 1], size, transforms)

    def forward(self) -> TorchDistribution:
        """The flow, its fast direction from z."""
        base = dist.Normal(self.zeros, self.ones).to_event(1)
        return Flow(base, [AffineAutoregressive(network).inv for network in self.networks])
