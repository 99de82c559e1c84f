"""The Laplace posterior."""

from __future__ import annotations

import pyro.distributions as dist
from pydantic import PositiveInt
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor

from pyro_vae.core.posterior import Posterior
from pyro_vae.distributions.bounds import bounded_scale

__all__ = ["Laplace"]


class Laplace(Posterior):
    r"""Independent Laplace distributions, their means and scales given by the encoder.

    .. math:: q(z \mid x) = \prod_m \frac{1}{2 b_m(x)}
              \exp\left(-\frac{|z_m - \mu_m(x)|}{b_m(x)}\right)

    With the ``laplace`` prior its KL has a closed form. Each scale stays within [1e-3, 1e3].

    Shapes:
        maps ``(*, 2, latent_dim)`` to batch_shape ``(*,)`` and event_shape ``(latent_dim,)``;
        ``log_prob`` is in nats.

    Args:
        latent_dim: Size M of the latent code, at least 1.

    References:
        | Auto-encoding variational Bayes (Kingma and Welling, 2013), section 2.4
        | https://arxiv.org/abs/1312.6114

    Example:
        >>> import torch
        >>> Laplace(latent_dim=3)(torch.zeros(5, 2, 3)).batch_shape
        torch.Size([5])
    """

    def __init__(self, latent_dim: PositiveInt) -> None:
        super().__init__()
        self.latent_dim = latent_dim

    @property
    def parameter_shape(self) -> tuple[int, ...]:
        """Means and raw scales, ``(2, latent_dim)``."""
        return (2, self.latent_dim)

    def forward(self, parameters: Tensor) -> TorchDistribution:
        """Laplace(mu, b) from ``(*, 2, latent_dim)``."""
        loc, raw_scale = parameters.unbind(-2)
        return dist.Laplace(loc, bounded_scale(raw_scale)).to_event(1)
