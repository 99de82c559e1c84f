"""An estimate: a number with its error, and how it was found."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from scipy import stats
from torch import Tensor

from pyro_vae.report.numbers import nats

__all__ = ["Estimate"]


@dataclass(frozen=True)
class Estimate:
    """A number with its error.

    Args:
        value: The estimate.
        stderr: Its standard error, over data and draws; NaN where it is not known.
        unit: Of the value and its errors.
        estimator: How it was found.
        draws: How many values it is the mean of.
        monte_carlo: The part of the standard error that more draws would remove, if it is known.
        low: Lower end of a confidence interval, if it has one.
        high: Upper end of that interval.
    """

    value: float
    stderr: float = math.nan
    unit: str = "nats per datum"
    estimator: str = ""
    draws: int = 1
    monte_carlo: float | None = None
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, values: Tensor, monte_carlo: float | None = None) -> Estimate:
        """The mean of independent values, ``(N,)``.

        Example:
            >>> import torch
            >>> print(Estimate.of(torch.tensor([1.0, 2.0, 3.0])))
            2.00 ± 0.58
        """
        values = values.detach().double()
        stderr = values.std().item() / math.sqrt(len(values)) if len(values) > 1 else math.nan
        return cls(values.mean().item(), stderr, draws=len(values), monte_carlo=monte_carlo)

    def within(self, confidence: float) -> Estimate:
        """The same mean with its interval, by Student's t."""
        half = float(stats.t.ppf((1 + confidence) / 2, self.draws - 1)) * self.stderr
        return replace(self, low=self.value - half, high=self.value + half)

    @property
    def interval(self) -> tuple[float, float]:
        """The ends of the confidence interval; NaN where it has none."""
        return (math.nan if self.low is None else self.low,
                math.nan if self.high is None else self.high)  # fmt: skip

    def times(self, factor: float) -> Estimate:
        """The estimate in another unit, each number multiplied by a positive factor."""
        low, high = (None if end is None else end * factor for end in (self.low, self.high))
        part = None if self.monte_carlo is None else self.monte_carlo * factor
        return replace(self, value=self.value * factor, stderr=self.stderr * factor,
                       monte_carlo=part, low=low, high=high)  # fmt: skip

    def root(self) -> Estimate:
        """The square root of the value and of its interval; 0 where that is negative."""
        low, high = (None if e is None else math.sqrt(max(e, 0.0)) for e in (self.low, self.high))
        return Estimate(math.sqrt(max(self.value, 0.0)), unit=self.unit, estimator=self.estimator,
                        draws=self.draws, low=low, high=high)  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """Its numbers, for JSON, which has no NaN."""
        stderr = self.stderr if math.isfinite(self.stderr) else None
        extra: dict[str, Any] = {"monte_carlo_stderr": self.monte_carlo, "low": self.low,
                                 "high": self.high}  # fmt: skip
        known = {name: value for name, value in extra.items() if value is not None}
        return {"value": self.value, "stderr": stderr, **known}

    def __str__(self) -> str:
        return nats(self.value, self.stderr)
