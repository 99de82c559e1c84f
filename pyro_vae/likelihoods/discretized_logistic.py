"""The discretized logistic likelihood, for gray levels."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor

from pyro_vae import distributions as dist
from pyro_vae.likelihoods.location_scale import LocationScale

__all__ = ["DiscretizedLogistic"]


class DiscretizedLogistic(LocationScale):
    r"""Independent logistics around the decoder's output, rounded to levels 0, 1/(L-1), ..., 1.

    .. math:: p(x \mid z) = \prod_d \left[ \mathrm{sigmoid}\!\left(
              \frac{x_d + w/2 - f_d(z)}{s}\right) - \mathrm{sigmoid}\!\left(
              \frac{x_d - w/2 - f_d(z)}{s}\right) \right], \quad w = \frac{1}{L - 1}

    where the lowest bin extends to minus infinity and the highest to infinity. It is a
    probability, so nats per datum divided by D log 2 are bits per dimension. The scale s, in the
    units of the data, is a number, ``learned``, ``per_dimension`` or ``heteroscedastic``, as for
    a Gaussian.

    Shapes:
        maps ``(*, *event_shape)`` (heteroscedastic: ``(*, 2, *event_shape)``) to batch_shape
        ``(*,)`` and event_shape ``event_shape``; ``log_prob`` is in nats, summed over the event.

    Args:
        event_shape: Shape of one datum.
        scale: A number above 0, learned, per_dimension or heteroscedastic.
        levels: Number of levels L, at least 2: 256 for 8-bit pictures.

    References:
        | Improving variational inference with inverse autoregressive flow (Kingma et al., 2016)
        | https://arxiv.org/abs/1606.04934
        | PixelCNN++ (Salimans et al., 2017) https://arxiv.org/abs/1701.05517

    Example:
        >>> import torch
        >>> likelihood = DiscretizedLogistic(event_shape=(1, 8, 8), levels=17)
        >>> likelihood(torch.zeros(5, 1, 8, 8)).batch_shape
        torch.Size([5])
    """

    remedies = (
        "give gray levels divided by the largest, so that they are 0, 1/(L-1), ..., 1, and "
        "declare how many there are (model.likelihood.levels: 17 for digits, 256 for 8 bits), or "
        "choose a likelihood for any value in [0, 1] (model.likelihood: continuous_bernoulli) or "
        "for real values (model.likelihood: gaussian)"
    )

    def __init__(
        self,
        event_shape: tuple[int, ...],
        scale: PositiveFloat | Literal["learned", "per_dimension", "heteroscedastic"] = "learned",
        levels: Annotated[int, Field(ge=2, le=65536)] = 256,
    ) -> None:
        super().__init__(event_shape, scale)
        self.levels = levels
        self.support = dist.Levels(levels)

    def forward(self, parameters: Tensor, x: Tensor | None = None) -> TorchDistribution:
        """Discretized logistics with this location and scale."""
        loc, scale = self.loc_and_scale(parameters)
        return dist.DiscretizedLogistic(loc, scale, self.levels).to_event(len(self.event_shape))
