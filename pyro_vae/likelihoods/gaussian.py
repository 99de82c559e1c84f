"""The Gaussian likelihood, for real values."""

from __future__ import annotations

from typing import Literal

import pyro.distributions as dist
import torch
from pydantic import PositiveFloat
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor
from torch.distributions import constraints

from pyro_vae.core.whole_batch import batch_mean
from pyro_vae.distributions.bounds import MAX_SCALE, MIN_SCALE
from pyro_vae.likelihoods.location_scale import LocationScale

__all__ = ["Gaussian"]

MOMENTUM = 0.1


class Gaussian(LocationScale):
    r"""Independent normals around the decoder's output.

    .. math:: p(x \mid z) = N(x \mid f(z), \mathrm{diag}(\sigma^2))

    The normalizer, -D/2 log(2 pi sigma^2), is included. ``scale`` sets sigma as in
    :class:`~pyro_vae.likelihoods.location_scale.LocationScale`, or is

    - ``optimal``: the maximum-likelihood value, the root of the mean squared error. In training
      mode it is that of the batch, and a moving average of its square is updated; in evaluation
      mode it is the average, so that a score does not depend on the batch.

    Shapes:
        maps ``(*, *event_shape)`` (heteroscedastic: ``(*, 2, *event_shape)``) to batch_shape
        ``(*,)`` and event_shape ``event_shape``; ``log_prob`` is in nats, summed over the event.

    Args:
        event_shape: Shape of one datum.
        scale: A number above 0, learned, per_dimension, optimal or heteroscedastic.

    References:
        | Auto-encoding variational Bayes (Kingma and Welling, 2013), appendix C.2
        | https://arxiv.org/abs/1312.6114
        | Simple and effective VAE training with calibrated decoders (Rybkin et al., 2021)
        | https://arxiv.org/abs/2006.13202

    Example:
        >>> Gaussian(event_shape=(1, 8, 8), scale=0.1)(torch.zeros(5, 1, 8, 8)).batch_shape
        torch.Size([5])
    """

    support = constraints.real
    mean_square: Tensor
    updates: Tensor

    def __init__(
        self,
        event_shape: tuple[int, ...],
        scale: PositiveFloat
        | Literal["learned", "per_dimension", "optimal", "heteroscedastic"] = "learned",
    ) -> None:
        super().__init__(event_shape, scale)  # type: ignore[arg-type]
        if scale == "optimal":
            self.register_buffer("mean_square", torch.ones(()))
            self.register_buffer("updates", torch.zeros((), dtype=torch.long))

    def forward(self, parameters: Tensor, x: Tensor | None = None) -> TorchDistribution:
        """N(f(z), diag(sigma^2)); ``x`` sets an optimal sigma while training."""
        if self.scale == "optimal":
            loc = self.unit * parameters
            sigma = self._optimal_sigma(loc, x)
        else:
            loc, sigma = self.loc_and_scale(parameters)
        return dist.Normal(loc, sigma).to_event(len(self.event_shape))

    @torch.no_grad()
    def initialize(self, x: Tensor) -> None:
        """Measure the unit; an optimal scale is 1 unit until it is updated."""
        super().initialize(x)
        if self.scale == "optimal" and not self.updates:
            self.mean_square.copy_(self.unit.square())

    def _optimal_sigma(self, loc: Tensor, x: Tensor | None) -> Tensor:
        if x is None or not self.training:
            return self.mean_square.sqrt()
        with torch.no_grad():  # at the optimum the gradient through sigma is zero
            now = batch_mean((x - loc).square())
            now = now.clamp((MIN_SCALE * self.unit) ** 2, (MAX_SCALE * self.unit) ** 2)
            self.updates += 1
            weight = (1 / self.updates).clamp(min=MOMENTUM)
            self.mean_square.lerp_(now, weight.to(now))
        return now.sqrt()
