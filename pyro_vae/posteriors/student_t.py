"""The Student t posterior."""

from __future__ import annotations

from typing import Annotated

import pyro.distributions as dist
from pydantic import Field, PositiveInt
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor

from pyro_vae.core.posterior import Posterior
from pyro_vae.distributions.bounds import bounded_scale

__all__ = ["StudentT"]


class StudentT(Posterior):
    r"""Independent Student t distributions, their means and scales given by the encoder.

    .. math:: z_m = \mu_m(x) + \sigma_m(x) \, t_m, \quad t_m \sim \mathrm{Student}(\nu)

    Heavy tails keep an importance-weighted estimate from missing what a normal leaves out. Each
    scale stays within [1e-3, 1e3].

    Shapes:
        maps ``(*, 2, latent_dim)`` to batch_shape ``(*,)`` and event_shape ``(latent_dim,)``;
        ``log_prob`` is in nats.

    Args:
        latent_dim: Size M of the latent code, at least 1.
        df: Degrees of freedom nu, from 1.1, so that there is a mean, to 1000.

    References:
        | Robust, accurate stochastic optimization for variational inference (Dhaka et al., 2020)
        | https://arxiv.org/abs/2009.00666

    Example:
        >>> import torch
        >>> StudentT(latent_dim=3)(torch.zeros(5, 2, 3)).batch_shape
        torch.Size([5])
    """

    def __init__(
        self, latent_dim: PositiveInt, df: Annotated[float, Field(ge=1.1, le=1000)] = 5.0
    ) -> None:
        super().__init__()
        self.latent_dim, self.df = latent_dim, float(df)

    @property
    def parameter_shape(self) -> tuple[int, ...]:
        """Means and raw scales, ``(2, latent_dim)``."""
        return (2, self.latent_dim)

    def forward(self, parameters: Tensor) -> TorchDistribution:
        """Student t from ``(*, 2, latent_dim)``."""
        loc, raw_scale = parameters.unbind(-2)
        df = loc.new_tensor(self.df)
        return dist.StudentT(df, loc, bounded_scale(raw_scale)).to_event(1)
