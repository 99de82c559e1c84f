"""Stochastic layers, each given the one below: the posterior's half."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Annotated

import pyro.distributions as dist
from pydantic import Field, PositiveInt
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor, nn

from pyro_vae.core.posterior import Posterior
from pyro_vae.distributions.bounds import bounded_scale
from pyro_vae.distributions.chain import Chain, layer_sizes, normal_of
from pyro_vae.networks.layers import Init, init_weights, perceptron

__all__ = ["Hierarchical"]


class Hierarchical(Posterior):
    r"""Stochastic layers, bottom up: the first is normal given x, each other given the last.

    .. math:: q(z \mid x) = q(z_1 \mid x) \prod_{l > 1} q(z_l \mid z_{l-1})

    The code is z = (z_1, ..., z_L), as in the prior of the same name; with another prior it is a
    posterior whose last dimensions depend on its first.

    Shapes:
        maps ``(*, 2, size of z_1)`` to batch_shape ``(*,)`` and event_shape
        ``(latent_dim,)``; ``log_prob`` is in nats.

    Args:
        latent_dim: Size M of the latent code, all layers together.
        layers: Number L of layers, or the size of each from z_1 to z_L, as the prior has them.
        top: Size of z_L, if ``layers`` is a number; equal shares, rounded down, by default.
        hidden: Width of the two hidden layers from each layer to the next.
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
        layers: PositiveInt | Annotated[Sequence[PositiveInt], Field(min_length=1)] = 2,
        top: PositiveInt | None = None,
        hidden: PositiveInt = 100,
        init: Init = "pytorch",
    ) -> None:
        super().__init__()
        self.sizes = layer_sizes("hierarchical", latent_dim, layers, top)
        self.networks = nn.ModuleList(
            perceptron(below, hidden, 2 * above) for below, above in pairwise(self.sizes)
        )
        init_weights(self.networks, init)

    @property
    def parameter_shape(self) -> tuple[int, ...]:
        """Means and raw scales of z_1."""
        return (2, self.sizes[0])

    def forward(self, parameters: Tensor) -> TorchDistribution:
        """q(z_1|x) q(z_2|z_1) ... from ``(*, 2, size of z_1)``."""
        loc, raw_scale = parameters.unbind(-2)
        q: TorchDistribution = dist.Normal(loc, bounded_scale(raw_scale)).to_event(1)
        for layer in range(len(self.networks)):
            q = Chain(q, partial(self._above, layer), self.sizes[layer + 1])
        return q

    def _above(self, layer: int, below: Tensor) -> TorchDistribution:
        return normal_of(self.networks[layer](below[..., -self.sizes[layer] :]))
