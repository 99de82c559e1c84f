"""The Laplace likelihood, for real values with outliers."""

from __future__ import annotations

import pyro.distributions as dist
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor
from torch.distributions import constraints

from pyro_vae.likelihoods.location_scale import LocationScale

__all__ = ["Laplace"]


class Laplace(LocationScale):
    r"""Independent double exponentials around the decoder's output: absolute errors, normalized.

    .. math:: p(x \mid z) = \prod_d \frac{1}{2 b} \exp\!\left(-\frac{|x_d - f_d(z)|}{b}\right)

    An outlier costs in proportion to its distance rather than its square, so the decoder's output
    follows the median. The scale b is a number, ``learned``, ``per_dimension`` or
    ``heteroscedastic``, as for a Gaussian; the standard deviation is the root of 2 times b.

    Shapes:
        maps ``(*, *event_shape)`` (heteroscedastic: ``(*, 2, *event_shape)``) to batch_shape
        ``(*,)`` and event_shape ``event_shape``; ``log_prob`` is in nats, summed over the event.

    Args:
        event_shape: Shape of one datum.
        scale: A number above 0, learned, per_dimension or heteroscedastic.

    References:
        | The Laplace distribution and generalizations (Kotz et al., 2001), chapter 2
        | https://doi.org/10.1007/978-1-4612-0173-1

    Example:
        >>> import torch
        >>> Laplace(event_shape=(1, 8, 8), scale=0.1)(torch.zeros(5, 1, 8, 8)).batch_shape
        torch.Size([5])
    """

    support = constraints.real
    power = 1

    def forward(self, parameters: Tensor, x: Tensor | None = None) -> TorchDistribution:
        """Double exponentials with this location and scale."""
        loc, scale = self.loc_and_scale(parameters)
        return dist.Laplace(loc, scale).to_event(len(self.event_shape))
