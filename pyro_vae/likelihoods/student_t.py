"""The Student t likelihood, for real values with heavy tails."""

from __future__ import annotations

from typing import Annotated, Literal

import pyro.distributions as dist
from pydantic import Field, PositiveFloat
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor
from torch.distributions import constraints

from pyro_vae.distributions.bounds import learned_scale, raw_scale
from pyro_vae.likelihoods.location_scale import LocationScale

__all__ = ["StudentT"]

INITIAL_DF = 5.0


class StudentT(LocationScale):
    r"""Independent Student t distributions around the decoder's output: robust to outliers.

    .. math:: p(x \mid z) = \prod_d \frac{\Gamma(\frac{\nu + 1}{2})}
              {\Gamma(\frac{\nu}{2}) \sqrt{\pi \nu}\, \sigma}
              \left(1 + \frac{(x_d - f_d(z))^2}{\nu \sigma^2}\right)^{-(\nu + 1) / 2}

    The degrees of freedom nu set the weight of the tails, which decay with power nu + 1; a
    Gaussian is the limit of large nu. They are above 1, so that the mean exists; above 2, the
    variance is finite. ``learned`` starts near 5 and is bounded to [1.001, 1001]. The scale sigma
    is a number, ``learned``, ``per_dimension`` or ``heteroscedastic``, as for a Gaussian.

    Shapes:
        maps ``(*, *event_shape)`` (heteroscedastic: ``(*, 2, *event_shape)``) to batch_shape
        ``(*,)`` and event_shape ``event_shape``; ``log_prob`` is in nats, summed over the event.

    Args:
        event_shape: Shape of one datum.
        scale: A number above 0, learned, per_dimension or heteroscedastic.
        df: Degrees of freedom: a number above 1, or learned.

    References:
        | Robust statistical modeling using the t distribution (Lange et al., 1989)
        | https://doi.org/10.1080/01621459.1989.10478852

    Example:
        >>> import torch
        >>> StudentT(event_shape=(1, 8, 8), df=4.0)(torch.zeros(5, 1, 8, 8)).batch_shape
        torch.Size([5])
    """

    support = constraints.real
    power = 1

    def __init__(
        self,
        event_shape: tuple[int, ...],
        scale: PositiveFloat | Literal["learned", "per_dimension", "heteroscedastic"] = "learned",
        df: Annotated[float, Field(gt=1)] | Literal["learned"] = "learned",
    ) -> None:
        super().__init__(event_shape, scale)
        self.df = df
        if df == "learned":
            self.raw_df = raw_scale((), INITIAL_DF - 1)

    def forward(self, parameters: Tensor, x: Tensor | None = None) -> TorchDistribution:
        """Student t distributions with this location and scale."""
        loc, scale = self.loc_and_scale(parameters)
        df = 1 + learned_scale(self.raw_df) if isinstance(self.df, str) else self.df
        return dist.StudentT(df, loc, scale).to_event(len(self.event_shape))
