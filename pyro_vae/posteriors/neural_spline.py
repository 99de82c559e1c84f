"""The neural spline flow as a posterior."""

from __future__ import annotations

from typing import Annotated

import pyro.distributions as dist
import torch
from pydantic import Field, PositiveInt
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor

from pyro_vae.distributions.flow import Flow
from pyro_vae.distributions.masked_networks import masked_networks, width
from pyro_vae.distributions.spline_autoregressive import SplineAutoregressive, spline_parameters
from pyro_vae.posteriors.flow_posterior import FlowPosterior

__all__ = ["NeuralSpline"]


class NeuralSpline(FlowPosterior):
    r"""Autoregressive rational-quadratic splines, shifted and scaled by the encoder.

    .. math:: z = \mu(x) + \sigma(x) \odot u_T, \quad u_{t,m} = g(u_{t-1,m};
              \theta_{t,m}(u_{t-1,<m}, h)), \quad u_0 \sim N(0, I)

    with g an increasing spline on [-bound, bound] and the identity outside, h a context that the
    encoder puts out, and the order of the dimensions turned at each step. A draw and its density
    take one pass of each network; the density of any other code takes one for each dimension.

    Shapes:
        maps ``(*, 2 * latent_dim + context)`` to batch_shape ``(*,)`` and event_shape
        ``(latent_dim,)``; ``log_prob`` is in nats.

    Args:
        latent_dim: Size M of the latent code, at least 1.
        transforms: Number T of steps, at least 1.
        bins: Number of bins of each spline, from 2 to 100.
        bound: Where the splines end, in units of sigma, from 0.1 to 1000.
        context: Size of the context h, at least 1.
        hidden: Width of each network's hidden layer, at least M; None for 4 M, and at least 32.

    References:
        | Neural spline flows (Durkan et al., 2019)
        | https://arxiv.org/abs/1906.04032

    Example:
        >>> NeuralSpline(latent_dim=3, context=8)(torch.zeros(5, 14)).batch_shape
        torch.Size([5])
    """

    def __init__(
        self,
        latent_dim: PositiveInt,
        transforms: PositiveInt = 2,
        bins: Annotated[int, Field(ge=2, le=100)] = 8,
        bound: Annotated[float, Field(ge=0.1, le=1000)] = 4.0,
        context: PositiveInt = 16,
        hidden: PositiveInt | None = None,
    ) -> None:
        super().__init__()
        self.latent_dim, self.context_size = latent_dim, context
        self.bins, self.bound = bins, float(bound)
        size, outputs = width("neural_spline", latent_dim, hidden), spline_parameters(bins)
        self.networks = masked_networks(latent_dim, outputs, size, transforms, context)

    def flow(self, loc: Tensor, scale: Tensor, context: Tensor) -> TorchDistribution:
        """The flow, its fast direction to z."""
        base = dist.Normal(torch.zeros_like(loc), torch.ones_like(scale)).to_event(1)
        splines = [
            SplineAutoregressive(self.latent_dim, network, self.bins, self.bound, context)
            for network in self.networks
        ]
        place = dist.transforms.AffineTransform(loc, scale, event_dim=1, cache_size=1)
        return Flow(base, [*splines, place])
