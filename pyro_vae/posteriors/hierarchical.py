"""Two stochastic layers: the posterior's half."""

from __future__ import annotations

import pyro.distributions as dist
from pydantic import PositiveInt
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor

from pyro_vae.core.errors import DeclarationError
from pyro_vae.core.posterior import Posterior
from pyro_vae.distributions.bounds import bounded_scale
from pyro_vae.distributions.chain import Chain
from pyro_vae.networks.layers import Init, init_weights, perceptron

__all__ = ["Hierarchical"]


class Hierarchical(Posterior):
    r"""Two stochastic layers: the first is normal given x, the second is normal given the first.

    .. math:: q(z \mid x) = q(z_1 \mid x) \, q(z_2 \mid z_1)

    The code is z = (z_1, z_2), as in the prior of the same name; with another prior it is a
    posterior whose last dimensions depend on its first.

    Shapes:
        maps ``(*, 2, latent_dim - top)`` to batch_shape ``(*,)`` and event_shape
        ``(latent_dim,)``; ``log_prob`` is in nats.

    Args:
        latent_dim: Size M of the latent code, both layers together, at least 2.
        top: Size of z_2; half of the code, rounded down, by default.
        hidden: Width of the two hidden layers from z_1 to z_2.
        init: What their weights begin with: pytorch, xavier_uniform or kaiming_normal.

    References:
        | Importance weighted autoencoders (Burda et al., 2016), two stochastic layers
        | https://arxiv.org/abs/1509.00519

    Example:
        >>> import torch
        >>> Hierarchical(latent_dim=5, top=2)(torch.zeros(7, 2, 3)).event_shape
        torch.Size([5])
    """

    def __init__(
        self,
        latent_dim: PositiveInt,
        top: PositiveInt | None = None,
        hidden: PositiveInt = 100,
        init: Init = "pytorch",
    ) -> None:
        super().__init__()
        self.top = max(1, latent_dim // 2) if top is None else top
        if self.top >= latent_dim:
            raise DeclarationError(
                f"hierarchical.top: must be < latent_dim ({latent_dim}), so that z_1 has a size, "
                f"got {self.top}"
            )
        self.bottom = latent_dim - self.top
        self.network = perceptron(self.bottom, hidden, 2 * self.top)
        init_weights(self.network, init)

    @property
    def parameter_shape(self) -> tuple[int, ...]:
        """Means and raw scales of z_1, ``(2, latent_dim - top)``."""
        return (2, self.bottom)

    def forward(self, parameters: Tensor) -> TorchDistribution:
        """q(z_1|x) q(z_2|z_1) from ``(*, 2, latent_dim - top)``."""
        loc, raw_scale = parameters.unbind(-2)
        return Chain(dist.Normal(loc, bounded_scale(raw_scale)).to_event(1), self._above, self.top)

    def _above(self, bottom: Tensor) -> TorchDistribution:
        loc, raw_scale = self.network(bottom).chunk(2, -1)
        return dist.Normal(loc, bounded_scale(raw_scale)).to_event(1)
