"""The Laplace prior."""

from __future__ import annotations

from typing import Annotated

import pyro.distributions as dist
import torch
from pydantic import Field, PositiveInt
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor

from pyro_vae.core.prior import Prior
from pyro_vae.distributions.bounds import MAX_SCALE, MIN_SCALE

__all__ = ["Laplace"]

Scale = Annotated[float, Field(ge=MIN_SCALE, le=MAX_SCALE)]


class Laplace(Prior):
    r"""Independent Laplace distributions around 0; nothing is learned.

    .. math:: p(z) = \prod_m \frac{1}{2 b} \exp(-|z_m| / b)

    Sharper at 0 and heavier in the tails than a normal, so that codes become sparse. The
    variance of each dimension is 2 b^2.

    Shapes:
        ``forward()`` has batch_shape ``()`` and event_shape ``(latent_dim,)``;
        ``log_prob`` maps ``(*, latent_dim)`` to ``(*,)``, in nats.

    Args:
        latent_dim: Size M of the latent code, at least 1.
        scale: Scale b of every dimension, from 1e-3 to 1e3.

    References:
        | Sparse-coding variational auto-encoders (Barello et al., 2018)
        | https://doi.org/10.1101/399246

    Example:
        >>> Laplace(latent_dim=2, scale=0.5)().variance.tolist()
        [0.5, 0.5]
    """

    loc: Tensor
    scales: Tensor

    def __init__(self, latent_dim: PositiveInt, scale: Scale = 1.0) -> None:
        super().__init__()
        self.register_buffer("loc", torch.zeros(latent_dim), persistent=False)
        self.register_buffer("scales", torch.full((latent_dim,), float(scale)), persistent=False)

    def forward(self) -> TorchDistribution:
        """Laplace(0, b) in each dimension."""
        return dist.Laplace(self.loc, self.scales).to_event(1)
