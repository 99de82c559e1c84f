"""The diagonal normal posterior."""

from __future__ import annotations

import pyro.distributions as dist
from pydantic import PositiveFloat, PositiveInt
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor

from pyro_vae.core.errors import DeclarationError
from pyro_vae.core.posterior import Posterior
from pyro_vae.distributions.bounds import MAX_SCALE, MIN_SCALE, bounded_scale

__all__ = ["DiagonalNormal"]


class DiagonalNormal(Posterior):
    r"""Independent normals, their means and scales given by the encoder.

    .. math:: q(z \mid x) = N(z \mid \mu(x), \mathrm{diag}(\sigma(x)^2))

    The scale is bounded smoothly away from 0 and infinity, so that no output of the encoder
    makes it NaN.

    Shapes:
        maps ``(*, 2, latent_dim)`` to batch_shape ``(*,)`` and event_shape ``(latent_dim,)``;
        ``log_prob`` is in nats.

    Args:
        latent_dim: Size M of the latent code, at least 1.
        min_scale: Lower bound of each scale, above 0.
        max_scale: Upper bound of each scale.

    References:
        | Auto-encoding variational Bayes (Kingma and Welling, 2013)
        | https://arxiv.org/abs/1312.6114

    Example:
        >>> import torch
        >>> DiagonalNormal(latent_dim=3)(torch.zeros(5, 2, 3)).batch_shape
        torch.Size([5])
    """

    def __init__(
        self,
        latent_dim: PositiveInt,
        min_scale: PositiveFloat = MIN_SCALE,
        max_scale: PositiveFloat = MAX_SCALE,
    ) -> None:
        super().__init__()
        if min_scale >= max_scale:
            raise DeclarationError(
                f"{self.kind}.min_scale: must be < max_scale ({max_scale}), got {min_scale}"
            )
        self.latent_dim, self.min_scale, self.max_scale = latent_dim, min_scale, max_scale

    @property
    def parameter_shape(self) -> tuple[int, ...]:
        """Means and raw scales, ``(2, latent_dim)``."""
        return (2, self.latent_dim)

    def forward(self, parameters: Tensor) -> TorchDistribution:
        """N(mu, diag(sigma^2)) from ``(*, 2, latent_dim)``."""
        loc, raw_scale = parameters.unbind(-2)
        scale = bounded_scale(raw_scale, self.min_scale, self.max_scale)
        return dist.Normal(loc, scale).to_event(1)
