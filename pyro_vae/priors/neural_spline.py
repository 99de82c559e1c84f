"""The neural spline flow as a prior."""

from __future__ import annotations

from typing import Annotated

import pyro.distributions as dist
import torch
from pydantic import Field, PositiveInt
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor

from pyro_vae.core.prior import Prior
from pyro_vae.distributions.flow import Flow
from pyro_vae.distributions.masked_networks import masked_networks, width
from pyro_vae.distributions.spline_autoregressive import SplineAutoregressive, spline_parameters

__all__ = ["NeuralSpline"]


class NeuralSpline(Prior):
    r"""Autoregressive rational-quadratic splines on a standard normal.

    .. math:: p(z) = N(f(z) \mid 0, I) \left|\det \frac{\partial f}{\partial z}\right|, \quad
              f(z)_m = g(z_m; \theta_m(z_{<m}))

    with g an increasing spline on [-bound, bound] and the identity outside, so that the tails are
    normal; composed several times, the order of the dimensions turned each time. The density
    takes one pass of each network, a draw takes one for each dimension.

    Shapes:
        ``forward()`` has batch_shape ``()`` and event_shape ``(latent_dim,)``;
        ``log_prob`` maps ``(*, latent_dim)`` to ``(*,)``, in nats.

    Args:
        latent_dim: Size M of the latent code, at least 1.
        transforms: Number of transforms, at least 1.
        bins: Number of bins of each spline, from 2 to 100.
        bound: Where the splines end, from 0.1 to 1000.
        hidden: Width of each network's hidden layer, at least M; None for 4 M, and at least 32.

    References:
        | Neural spline flows (Durkan et al., 2019)
        | https://arxiv.org/abs/1906.04032

    Example:
        >>> NeuralSpline(latent_dim=2)().sample().shape
        torch.Size([2])
    """

    zeros: Tensor
    ones: Tensor

    def __init__(
        self,
        latent_dim: PositiveInt,
        transforms: PositiveInt = 2,
        bins: Annotated[int, Field(ge=2, le=100)] = 8,
        bound: Annotated[float, Field(ge=0.1, le=1000)] = 4.0,
        hidden: PositiveInt | None = None,
    ) -> None:
        super().__init__()
        self.bins, self.bound = bins, float(bound)
        self.register_buffer("zeros", torch.zeros(latent_dim), persistent=False)
        self.register_buffer("ones", torch.ones(latent_dim), persistent=False)
        size = width("neural_spline", latent_dim, hidden)
        self.networks = masked_networks(latent_dim, spline_parameters(bins), size, transforms)

    def forward(self) -> TorchDistribution:
        """The flow, its fast direction from z."""
        base = dist.Normal(self.zeros, self.ones).to_event(1)
        splines = (
            SplineAutoregressive(len(self.zeros), network, self.bins, self.bound)
            for network in self.networks
        )
        return Flow(base, [spline.inv for spline in splines])
