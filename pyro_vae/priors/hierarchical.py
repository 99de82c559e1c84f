"""Two stochastic layers: the prior's half."""

from __future__ import annotations

import pyro.distributions as dist
import torch
from pydantic import PositiveInt
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor

from pyro_vae.core.errors import DeclarationError
from pyro_vae.core.prior import Prior
from pyro_vae.distributions.bounds import bounded_scale
from pyro_vae.distributions.chain import Chain
from pyro_vae.networks.layers import Init, init_weights, perceptron

__all__ = ["Hierarchical"]


class Hierarchical(Prior):
    r"""Two stochastic layers: the second is standard normal, the first is normal given it.

    .. math:: p(z) = p(z_2) \, p(z_1 \mid z_2), \quad z_2 \sim N(0, I), \quad
              z_1 \mid z_2 \sim N(\mu(z_2), \mathrm{diag}(\sigma(z_2)^2))

    The code is z = (z_1, z_2), and the decoder reads z_1 alone. The posterior of the same name
    goes the other way; others explain z_1 and z_2 from x at once.

    Shapes:
        ``forward()`` has batch_shape ``()`` and event_shape ``(latent_dim,)``;
        ``log_prob`` maps ``(*, latent_dim)`` to ``(*,)``, in nats.

    Args:
        latent_dim: Size M of the latent code, both layers together, at least 2.
        top: Size of z_2; half of the code, rounded down, by default.
        hidden: Width of the two hidden layers from z_2 to z_1.
        init: What their weights begin with: pytorch, xavier_uniform or kaiming_normal.

    References:
        | Importance weighted autoencoders (Burda et al., 2016), two stochastic layers
        | https://arxiv.org/abs/1509.00519
        | Ladder variational autoencoders (Sonderby et al., 2016)
        | https://arxiv.org/abs/1602.02282

    Example:
        >>> prior = Hierarchical(latent_dim=5, top=2)
        >>> prior().event_shape, prior.decoded_dim
        (torch.Size([5]), 3)
    """

    zeros: Tensor

    def __init__(
        self,
        latent_dim: PositiveInt,
        top: PositiveInt | None = None,
        hidden: PositiveInt = 100,
        init: Init = "pytorch",
    ) -> None:
        super().__init__()
        top = max(1, latent_dim // 2) if top is None else top
        if top >= latent_dim:
            raise DeclarationError(
                f"hierarchical.top: must be < latent_dim ({latent_dim}), so that z_1 has a size, "
                f"got {top}"
            )
        self.bottom = latent_dim - top
        self.register_buffer("zeros", torch.zeros(top), persistent=False)
        self.network = perceptron(top, hidden, 2 * self.bottom)
        init_weights(self.network, init)

    @property
    def decoded_dim(self) -> int:
        """Size of z_1, which the decoder reads."""
        return self.bottom

    def forward(self) -> TorchDistribution:
        """p(z_2) p(z_1|z_2)."""
        root = dist.Normal(self.zeros, torch.ones_like(self.zeros)).to_event(1)
        return Chain(root, self._below, self.bottom, root_first=False)

    def _below(self, top: Tensor) -> TorchDistribution:
        loc, raw_scale = self.network(top).chunk(2, -1)
        return dist.Normal(loc, bounded_scale(raw_scale)).to_event(1)
