"""Stochastic layers, each given the one above: the prior's half."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Annotated

import pyro.distributions as dist
import torch
from pydantic import Field, PositiveInt
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor, nn

from pyro_vae.core.prior import Prior
from pyro_vae.distributions.chain import Chain, layer_sizes, normal_of
from pyro_vae.networks.layers import Init, init_weights, perceptron

__all__ = ["Hierarchical"]


class Hierarchical(Prior):
    r"""Stochastic layers: the last is standard normal, each other is normal given the next.

    .. math:: p(z) = p(z_L) \prod_{l < L} p(z_l \mid z_{l+1}), \quad z_L \sim N(0, I), \quad
              z_l \mid z_{l+1} \sim N(\mu_l(z_{l+1}), \mathrm{diag}(\sigma_l(z_{l+1})^2))

    The code is z = (z_1, ..., z_L), and the decoder reads z_1 alone. The posterior of the same
    name goes the other way; ``ladder`` goes this way and uses these networks; others explain
    all layers from x at once.

    Shapes:
        ``forward()`` has batch_shape ``()`` and event_shape ``(latent_dim,)``;
        ``log_prob`` maps ``(*, latent_dim)`` to ``(*,)``, in nats.

    Args:
        latent_dim: Size M of the latent code, all layers together.
        layers: Number L of layers, or the size of each from z_1 to z_L; one is a standard normal.
        top: Size of z_L, if ``layers`` is a number; equal shares, rounded down, by default.
        hidden: Width of the two hidden layers from each layer to the next.
        init: What their weights begin with: pytorch, xavier_uniform or kaiming_normal.

    References:
        | Importance weighted autoencoders (Burda et al., 2016), two stochastic layers
        | https://arxiv.org/abs/1509.00519
        | Ladder variational autoencoders (Sonderby et al., 2016)
        | https://arxiv.org/abs/1602.02282

    Example:
        >>> prior = Hierarchical(latent_dim=9, layers=[5, 3, 1])
        >>> prior().event_shape, prior.decoded_dim
        (torch.Size([9]), 5)
    """

    zeros: Tensor

    def __init__(
        self,
        latent_dim: PositiveInt,
        layers: PositiveInt | Annotated[Sequence[PositiveInt], Field(min_length=1)] = 2,
        top: PositiveInt | None = None,
        hidden: PositiveInt = 100,
        init: Init = "pytorch",
    ) -> None:
        super().__init__()
        self.sizes = layer_sizes("hierarchical", latent_dim, layers, top)
        self.register_buffer("zeros", torch.zeros(self.sizes[-1]), persistent=False)
        self.networks = nn.ModuleList(
            perceptron(above, hidden, 2 * below) for below, above in pairwise(self.sizes)
        )
        init_weights(self.networks, init)

    @property
    def decoded_dim(self) -> int:
        """Size of z_1, which the decoder reads."""
        return self.sizes[0]

    def forward(self) -> TorchDistribution:
        """p(z_L) p(z_{L-1}|z_L) ... p(z_1|z_2)."""
        p: TorchDistribution = dist.Normal(self.zeros, torch.ones_like(self.zeros)).to_event(1)
        for layer in reversed(range(len(self.networks))):
            p = Chain(p, partial(self._below, layer), self.sizes[layer], root_first=False)
        return p

    def _below(self, layer: int, above: Tensor) -> TorchDistribution:
        return normal_of(self.networks[layer](above[..., : self.sizes[layer + 1]]))
