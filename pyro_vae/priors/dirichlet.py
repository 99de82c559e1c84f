"""The Dirichlet prior of topic models, as a normal."""

from __future__ import annotations

from typing import Annotated

import pyro.distributions as dist
import torch
from pydantic import Field, PositiveInt
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor

from pyro_vae.core.errors import DeclarationError
from pyro_vae.core.prior import Prior

__all__ = ["Dirichlet"]

Concentration = Annotated[float, Field(ge=1e-4, le=1e4)]


class Dirichlet(Prior):
    r"""A symmetric Dirichlet over topics, by its Laplace approximation: a diagonal normal.

    .. math:: \mathrm{softmax}(z) \sim \mathrm{Dir}(\alpha, \ldots, \alpha) \;\approx\;
              p(z) = N\left(z \,\Big|\, 0, \frac{1}{\alpha}\left(1 - \frac1M\right) I\right)

    In general the approximation has mean log a_m - mean(log a) and variance
    (1 - 2/M) / a_m + sum(1 / a) / M^2. The code stays real-valued: the decoder takes its softmax,
    which makes it the topics' shares. A small alpha gives documents of few topics. Leaving out
    the covariances, as the paper does, makes the shares' variance smaller by about 1 - 1/M.

    Shapes:
        ``forward()`` has batch_shape ``()`` and event_shape ``(latent_dim,)``;
        ``log_prob`` maps ``(*, latent_dim)`` to ``(*,)``, in nats.

    Args:
        latent_dim: Number M of topics, at least 2.
        concentration: Concentration alpha of every topic, from 1e-4 to 1e4.

    References:
        | Autoencoding variational inference for topic models (Srivastava and Sutton, 2017)
        | https://arxiv.org/abs/1703.01488

    Example:
        >>> Dirichlet(latent_dim=2, concentration=0.5)().variance.tolist()
        [1.0, 1.0]
    """

    loc: Tensor
    scale: Tensor

    def __init__(self, latent_dim: PositiveInt, concentration: Concentration = 1.0) -> None:
        super().__init__()
        if latent_dim < 2:
            raise DeclarationError(f"dirichlet.latent_dim: must be >= 2, got {latent_dim}")
        variance = (1 - 1 / latent_dim) / concentration
        self.register_buffer("loc", torch.zeros(latent_dim), persistent=False)
        self.register_buffer("scale", torch.full((latent_dim,), variance**0.5), persistent=False)

    def forward(self) -> TorchDistribution:
        """The normal whose softmax is nearly Dirichlet."""
        return dist.Normal(self.loc, self.scale).to_event(1)
