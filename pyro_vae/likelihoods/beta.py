"""The beta likelihood, for proportions."""

from __future__ import annotations

import math
from typing import Literal

import pyro.distributions as dist
from pydantic import PositiveFloat
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor
from torch.distributions.constraints import Constraint

from pyro_vae.core.missing import seen_mean
from pyro_vae.distributions.bounds import bounded, bounded_scale, learned_scale, raw_scale
from pyro_vae.likelihoods.data_mean import DataMean, Offset

__all__ = ["Beta"]

LIMIT = 15.0
PRECISION = 10.0


class Between(Constraint):
    """Numbers above 0 and below 1."""

    def __repr__(self) -> str:
        return "numbers above 0 and below 1"

    def check(self, value: Tensor) -> Tensor:
        """Whether each number is."""
        return (value > 0) & (value < 1)


class Beta(DataMean):
    r"""Independent proportions; the decoder returns the logits of their means.

    .. math:: p(x \mid z) = \prod_d \frac{x_d^{m_d \phi - 1} (1 - x_d)^{(1 - m_d) \phi - 1}}
              {B(m_d \phi, (1 - m_d) \phi)}, \quad m = \mathrm{sigmoid}(f(z))

    The variance is m (1 - m) / (1 + phi). The precision phi is a number, ``learned`` (one),
    ``per_dimension``, or ``heteroscedastic``, an output of the decoder. If it is not a number, it
    is about 10 initially, and bounded to [1e-3, 1e3]. The decoder's output is smoothly bounded to
    [-15, 15].

    At exactly 0 and 1 the density is 0 or infinite, so such data are refused.

    Shapes:
        maps ``(*, *event_shape)`` (heteroscedastic: ``(*, 2, *event_shape)``) to batch_shape
        ``(*,)`` and event_shape ``event_shape``; ``log_prob`` is in nats, summed over the event.

    Args:
        event_shape: Shape of one datum.
        precision: A number above 0, learned, per_dimension or heteroscedastic.
        offset: Where the decoder returns 0: zero (one half), or the data_mean.

    References:
        | Beta regression for modelling rates and proportions (Ferrari and Cribari-Neto, 2004)
        | https://doi.org/10.1080/0266476042000214501

    Example:
        >>> import torch
        >>> d = Beta(event_shape=(3,), precision=4.0)(torch.zeros(5, 3))
        >>> d.mean.unique(), d.variance.unique()
        (tensor([0.5000]), tensor([0.0500]))
    """

    support = Between()
    remedies = (
        "move zeros and ones inside, such as by (x (N - 1) + 0.5) / N with N data, or choose a "
        "likelihood for [0, 1] with its ends (model.likelihood: continuous_bernoulli) or for real "
        "values (model.likelihood: gaussian)"
    )

    def __init__(
        self,
        event_shape: tuple[int, ...],
        precision: PositiveFloat
        | Literal["learned", "per_dimension", "heteroscedastic"] = "per_dimension",
        offset: Offset = "zero",
    ) -> None:
        super().__init__(event_shape, offset)
        self.precision = precision
        if precision in ("learned", "per_dimension"):
            shape = self.event_shape if precision == "per_dimension" else ()
            self.raw_precision = raw_scale(shape, PRECISION)

    @property
    def parameter_shape(self) -> tuple[int, ...]:
        """Logits of the means; with a heteroscedastic precision, logits and raw precisions."""
        own = self.precision == "heteroscedastic"
        return (2, *self.event_shape) if own else self.event_shape

    def at_mean(self, x: Tensor) -> Tensor:
        """The logits of the mean."""
        return seen_mean(x, 0).logit()

    def forward(self, parameters: Tensor, x: Tensor | None = None) -> TorchDistribution:
        """Independent betas with these means."""
        if self.precision == "heteroscedastic":
            parameters, raw = parameters.unbind(-len(self.event_shape) - 1)
            precision = bounded_scale(raw + math.log(PRECISION))
        elif isinstance(self.precision, str):
            precision = learned_scale(self.raw_precision)
        else:
            precision = parameters.new_tensor(self.precision)
        logits = bounded(self.with_offset(parameters), LIMIT)
        one, other = precision * logits.sigmoid(), precision * (-logits).sigmoid()
        return dist.Beta(one, other).to_event(len(self.event_shape))
