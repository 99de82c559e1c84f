"""What the flow priors share."""

from __future__ import annotations

from abc import abstractmethod

import pyro.distributions as dist
import torch
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor, nn

from pyro_vae.core.prior import Prior
from pyro_vae.distributions.flow import Flow

__all__ = ["FlowPrior"]


class FlowPrior(Prior):
    r"""p(z): transforms from z to a standard normal.

    .. math:: p(z) = N(f(z) \mid 0, I) \left|\det \frac{\partial f}{\partial z}\right|, \quad
              f = f_T \circ \cdots \circ f_1

    How to write one:
        As for :class:`~pyro_vae.core.prior.Prior`, with ``steps`` set in the constructor: lazy
        transforms of zuko, each from z to the normal. The density takes one pass of each; a draw
        takes their inverses.

    Args:
        latent_dim: Size M of the latent code, at least 1.
    """

    zeros: Tensor
    ones: Tensor
    steps: nn.ModuleList

    @abstractmethod
    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.register_buffer("zeros", torch.zeros(latent_dim), persistent=False)
        self.register_buffer("ones", torch.ones(latent_dim), persistent=False)

    def forward(self) -> TorchDistribution:
        """The flow."""
        base = dist.Normal(self.zeros, self.ones).to_event(1)
        return Flow(base, [step().inv for step in reversed(self.steps)])
