"""What every normalizing flow has in common as a posterior."""

from __future__ import annotations

from abc import abstractmethod

from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor

from pyro_vae.core.posterior import Posterior
from pyro_vae.distributions.bounds import bounded_scale

__all__ = ["FlowPosterior"]


class FlowPosterior(Posterior):
    """q(z|x): the image of a diagonal normal under bijections.

    How to write one:
        1. As for :class:`~pyro_vae.core.posterior.Posterior`, with ``latent_dim`` and
           ``context_size`` set in the constructor.
        2. ``flow(loc, scale, context)`` returns a :class:`~pyro_vae.distributions.flow.Flow`. Its
           transforms are made there, since each caches its last draw; what is learned belongs to
           networks that the posterior holds.

    Args:
        latent_dim: Size M of the latent code, at least 1.
    """

    latent_dim: int
    context_size: int

    @property
    def parameter_shape(self) -> tuple[int, ...]:
        """Means, raw scales and what the transforms take, ``(2 * latent_dim + context_size,)``."""
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
        """Where the flow takes its base's mean: the mean of q if every transform is linear."""
        z: Tensor = q.base_dist.mean
        for transform in q.transforms:
            z = transform(z)
        return z
