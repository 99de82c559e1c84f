"""Stochastic layers from the top down, as in ladder VAEs."""

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

from pyro_vae.core.errors import IncompatibleComponents
from pyro_vae.core.posterior import Posterior
from pyro_vae.core.prior import Prior
from pyro_vae.distributions.bounds import bounded_scale
from pyro_vae.distributions.chain import Chain, layer_sizes, normal_of
from pyro_vae.networks.layers import Init, init_weights, perceptron

__all__ = ["Ladder"]


class Ladder(Posterior):
    r"""Stochastic layers, top down: each merges what x says with what the layer above says.

    .. math:: q(z \mid x) = q(z_L \mid x) \prod_{l < L} q(z_l \mid z_{l+1}, x), \quad
              q(z_l \mid z_{l+1}, x) \propto N(z_l \mid \hat\mu_l(x), \hat\sigma_l(x)^2) \,
              N(z_l \mid \mu_l(z_{l+1}), \sigma_l(z_{l+1})^2)

    The product of two normals is a normal of their precision-weighted mean. From the encoder's
    output d_1 a deterministic pass goes up, d_l from d_{l-1}, and each d_l gives one mean and
    scale. With the prior ``hierarchical`` the networks down from z_{l+1} are the prior's own, and
    have its weights; with another prior they are the posterior's.

    Shapes:
        maps ``(*, hidden)`` to batch_shape ``(*,)`` and event_shape ``(latent_dim,)``;
        ``log_prob`` is in nats.

    Args:
        latent_dim: Size M of the latent code, all layers together.
        layers: Number L of layers, or the size of each from z_1 to z_L, as the prior has them.
        top: Size of z_L, if ``layers`` is a number; equal shares, rounded down, by default.
        hidden: Size of each d_l, and width of networks of its own from each layer to the next.
        init: What the weights begin with: pytorch, xavier_uniform or kaiming_normal.

    References:
        | Ladder variational autoencoders (Sonderby et al., 2016)
        | https://arxiv.org/abs/1602.02282

    Example:
        >>> from pyro_vae import VAE
        >>> layers = {"layers": [4, 2, 1], "hidden": 20}
        >>> vae = VAE(
        ...     (8,),
        ...     7,
        ...     prior={"kind": "hierarchical", **layers},
        ...     posterior={"kind": "ladder", **layers},
        ... )
        >>> vae.encode(torch.zeros(5, 8)).sample().shape
        torch.Size([5, 7])
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
        self.hidden = hidden
        sizes = self.sizes = layer_sizes("ladder", latent_dim, layers, top)
        self.up = nn.ModuleList(perceptron(hidden, hidden, hidden, layers=1) for _ in sizes[1:])
        self.heads = nn.ModuleList(nn.Linear(hidden, 2 * size) for size in sizes)
        self.down = nn.ModuleList(
            perceptron(above, hidden, 2 * below) for below, above in pairwise(sizes)
        )
        init_weights(self, init)

    def share(self, prior: Prior) -> None:
        """Use the networks of the prior ``hierarchical`` in place of its own.

        Raises:
            IncompatibleComponents: if the prior has other layers.
        """
        if prior.kind != "hierarchical":
            return
        if prior.sizes != self.sizes:
            raise IncompatibleComponents(
                f"ladder: expected the prior's layers, of sizes {prior.sizes}, got {self.sizes}; "
                f"declare the same layers and top for both"
            )
        del self.down
        self.__dict__["down"] = prior.networks  # the prior's: not parameters of this module

    @property
    def parameter_shape(self) -> tuple[int, ...]:
        """The first deterministic layer, d_1."""
        return (self.hidden,)

    def forward(self, parameters: Tensor) -> TorchDistribution:
        """q(z_L|x) q(z_{L-1}|z_L, x) ... from ``(*, hidden)``."""
        seen = [parameters]
        for up in self.up:
            seen.append(up(seen[-1].tanh()))
        said = [head(d.tanh()) for head, d in zip(self.heads, seen, strict=True)]
        q = normal_of(said[-1])
        for layer in reversed(range(len(self.down))):
            merged = partial(self._merged, layer, said[layer])
            q = Chain(q, merged, self.sizes[layer], root_first=False)
        return q

    def _merged(self, layer: int, said: Tensor, above: Tensor) -> TorchDistribution:
        """The product of N from x and N from the layer above, normalized."""
        loc, raw_scale = said.chunk(2, -1)
        other, raw_other = self.down[layer](above[..., : self.sizes[layer + 1]]).chunk(2, -1)
        scale, width = bounded_scale(raw_scale), bounded_scale(raw_other)
        root = torch.hypot(scale, width)
        share = (width / root).square()  # of the precision, that of x
        return dist.Normal(other + share * (loc - other), scale * (width / root)).to_event(1)
