"""What the flow posteriors share."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import pyro.distributions as dist
import torch
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor, nn

from pyro_vae.core.posterior import Posterior
from pyro_vae.distributions.bounds import bounded_scale
from pyro_vae.distributions.flow import Flow

__all__ = ["AutoregressivePosterior", "FlowPosterior"]


class FlowPosterior(Posterior):
    """q(z|x): the image of a diagonal normal under bijections.

    How to write one:
        1. As for :class:`~pyro_vae.core.posterior.Posterior`, with ``latent_dim`` and
           ``context_size`` set in the constructor.
        2. ``flow(loc, scale, context)`` returns a :class:`~pyro_vae.distributions.flow.Flow`. It
           makes new transforms each time, since some cache their last draw; what is learned
           belongs to modules that the posterior holds.

    Args:
        latent_dim: Size M of the latent code, at least 1.
    """

    latent_dim: int
    context_size: int

    @property
    def parameter_shape(self) -> tuple[int, ...]:
        """Means, raw scales and context, ``(2 * latent_dim + context_size,)``."""
        return (2 * self.latent_dim + self.context_size,)

    @abstractmethod
    def flow(self, loc: Tensor, scale: Tensor, context: Tensor) -> TorchDistribution:
        """The flow, from ``(*, M)``, ``(*, M)`` and ``(*, context_size)``."""

    def forward(self, parameters: Tensor) -> TorchDistribution:
        """The flow, from ``(*, 2 * latent_dim + context_size)``."""
        sizes = [self.latent_dim, self.latent_dim, self.context_size]
        loc, raw_scale, context = parameters.split(sizes, -1)
        return self.flow(loc, bounded_scale(raw_scale), context)

    def point_estimate(self, q: TorchDistribution) -> Tensor:
        """The image of the base's mean: the mean of q if every transform is linear."""
        z: Tensor = q.base_dist.mean
        for transform in q.transforms:
            z = transform(z)
        return z


class AutoregressivePosterior(FlowPosterior):
    """A flow of zuko's lazy transforms, which read a context that the encoder puts out.

    How to write one:
        As for :class:`FlowPosterior`, with ``steps`` set in the constructor
        (:func:`~pyro_vae.distributions.autoregressive.autoregressive_steps`): transforms from
        noise to codes. With ``standardized = True`` they transform a standard normal, which the
        encoder then shifts and scales; otherwise they transform the encoder's normal.

    Args:
        latent_dim: Size M of the latent code, at least 1.
        context: Size of the context, at least 1.
    """

    standardized: ClassVar[bool] = False
    steps: nn.ModuleList

    @abstractmethod
    def __init__(self, latent_dim: int, context: int) -> None:
        super().__init__()
        self.latent_dim, self.context_size = latent_dim, context

    def flow(self, loc: Tensor, scale: Tensor, context: Tensor) -> TorchDistribution:
        """The flow, from ``(*, M)``, ``(*, M)`` and ``(*, context_size)``."""
        steps = [step(context) for step in self.steps]
        if not self.standardized:
            return Flow(dist.Normal(loc, scale).to_event(1), steps)
        base = dist.Normal(torch.zeros_like(loc), torch.ones_like(scale)).to_event(1)
        return Flow(base, [*steps, dist.transforms.AffineTransform(loc, scale, event_dim=1)])
