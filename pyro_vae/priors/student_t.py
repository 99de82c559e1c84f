"""The Student t prior."""

from __future__ import annotations

from typing import Annotated

import pyro.distributions as dist
import torch
from pydantic import Field, PositiveInt
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor

from pyro_vae.core.prior import Prior

__all__ = ["StudentT"]


class StudentT(Prior):
    r"""Independent Student t distributions around 0, of scale 1; nothing is learned.

    .. math:: p(z) = \prod_m \frac{\Gamma(\frac{\nu + 1}{2})}{\sqrt{\nu\pi}\,\Gamma(\frac\nu2)}
              \left(1 + \frac{z_m^2}{\nu}\right)^{-\frac{\nu + 1}{2}}

    Its tails are heavy, so that codes far from 0 cost little; the larger nu, the closer it is to
    the standard normal.

    Shapes:
        ``forward()`` has batch_shape ``()`` and event_shape ``(latent_dim,)``;
        ``log_prob`` maps ``(*, latent_dim)`` to ``(*,)``, in nats.

    Args:
        latent_dim: Size M of the latent code, at least 1.
        df: Degrees of freedom nu, from 1.1, so that there is a mean, to 1000.

    References:
        | Variational auto-encoders with Student's t-prior (Abiri and Ohlsson, 2019)
        | https://arxiv.org/abs/2004.02581

    Example:
        >>> StudentT(latent_dim=2, df=4.0)().variance.tolist()
        [2.0, 2.0]
    """

    dfs: Tensor
    loc: Tensor
    scale: Tensor

    def __init__(
        self, latent_dim: PositiveInt, df: Annotated[float, Field(ge=1.1, le=1000)] = 5.0
    ) -> None:
        super().__init__()
        self.register_buffer("dfs", torch.full((latent_dim,), float(df)), persistent=False)
        self.register_buffer("loc", torch.zeros(latent_dim), persistent=False)
        self.register_buffer("scale", torch.ones(latent_dim), persistent=False)

    def forward(self) -> TorchDistribution:
        """Student t of nu degrees of freedom in each dimension."""
        return dist.StudentT(self.dfs, self.loc, self.scale).to_event(1)
