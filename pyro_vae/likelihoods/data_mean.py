"""The base class of likelihoods that may begin at the mean of the training data."""

from __future__ import annotations

from abc import abstractmethod
from typing import Literal

import torch
from torch import Tensor

from pyro_vae.core.condition import Condition, Conditioned
from pyro_vae.core.likelihood import Likelihood
from pyro_vae.distributions.bounds import bounded_rate
from pyro_vae.likelihoods.own_units import OwnUnits

__all__ = ["CountMean", "DataMean", "Offset", "mean_count"]

Offset = Literal["zero", "data_mean"]


class DataMean(Likelihood):
    """A likelihood with ``offset: data_mean``: where the decoder returns 0 is the data's mean.

    ``fit`` sets the offset before its first step; until then it is 0.

    Args:
        event_shape: Shape of one datum.
        offset: Added to the decoder's output: zero, or that of the data_mean.

    References:
        | Importance weighted autoencoders (Burda et al., 2016), section 5
        | https://arxiv.org/abs/1509.00519
    """

    shift: Tensor
    shifted: Tensor

    def __init__(self, event_shape: tuple[int, ...], offset: Offset = "zero") -> None:
        super().__init__(event_shape)
        self.offset = offset
        if offset == "data_mean":
            self.register_buffer("shift", torch.zeros(self.event_shape))
            self.register_buffer("shifted", torch.zeros((), dtype=torch.bool))

    @torch.no_grad()
    def initialize(self, x: Tensor) -> None:
        """Set the offset from the training data, ``(N, *event_shape)``, the first time only."""
        super().initialize(x)
        if self.offset == "data_mean" and not self.shifted:
            self.shift.copy_(self.at_mean(x))
            self.shifted.fill_(True)

    @abstractmethod
    def at_mean(self, x: Tensor) -> Tensor:
        """The decoder's output whose mean is that of ``x``, ``(N, *event_shape)``."""

    def with_offset(self, parameters: Tensor) -> Tensor:
        """The decoder's output plus the offset."""
        return parameters + self.shift if self.offset == "data_mean" else parameters


def mean_count(x: Tensor) -> Tensor:
    """The mean of ``(N, *event)`` without NaN; of half a count in all, where there is none."""
    seen = ~x.isnan()
    return torch.where(seen, x, 0.0).sum(0).clamp(min=0.5) / seen.sum(0).clamp(min=1)


class CountMean(DataMean, OwnUnits, Conditioned):
    """Counts whose decoder returns the logarithm of their means, in units of the data's own.

    With the condition ``log_exposure``, of their means per unit of exposure.
    """

    exposed = False

    def decoder_condition(self, condition: Condition | None) -> Condition | None:
        """The condition that the decoder sees; log-exposures are added to its output."""
        self.exposed = condition is not None and not condition.decoded
        return None if self.exposed else condition

    def at_mean(self, x: Tensor) -> Tensor:
        """The logarithm of the mean in units; where nothing was counted, of half a count."""
        mean = mean_count(x) / self.unit
        return (mean / self._exposure(x).mean() if self.exposed else mean).log()

    def mean_of(self, parameters: Tensor) -> Tensor:
        """The means of the counts; what the decoder adds to the offset is bounded."""
        mean = self.unit * bounded_rate(parameters)
        if self.exposed:
            mean = mean * self._exposure(parameters)
        return mean * self.shift.exp() if self.offset == "data_mean" else mean

    def _exposure(self, like: Tensor) -> Tensor:
        """Of each datum, ``(N, 1, ...)``."""
        return self.known(like).to(like).exp().reshape(-1, *(1 for _ in self.event_shape))
