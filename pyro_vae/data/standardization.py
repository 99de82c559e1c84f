"""Values shifted and scaled by the statistics of what is trained on, in float64."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Self

import torch
from torch import Tensor

from pyro_vae.core.errors import DataError
from pyro_vae.data.checks import AnyArray, as_event_rows, deviation, fits_float32

__all__ = ["Standardization", "Standardize", "log_scale", "transformed"]

Standardize = Literal["none", "zscore"]
"""``zscore``: each position of the event minus its mean, over its standard deviation (both of the
training split, which divides by N); where the training data do not vary, the mean is taken off
and nothing is divided."""


@dataclass(frozen=True, eq=False)
class Standardization:
    """The z-score of each position of an event: ``(x - mean) / scale``.

    Args:
        mean: Of the training data, ``(*event)`` float64.
        scale: Their standard deviation, ``(*event)`` float64; 1 where they do not vary.

    Example:
        >>> days = Standardization.of(torch.tensor([[1.0], [3.0]], dtype=torch.float64))
        >>> days.transform(torch.tensor([[4.0]])), days.inverse(torch.tensor([[2.0]]))
        (tensor([[2.]]), tensor([[4.]], dtype=torch.float64))
    """

    mean: Tensor
    scale: Tensor

    @classmethod
    def of(cls, x: Tensor) -> Self:
        """That of training data, ``(N, *event)``."""
        x = x.double()
        spread = deviation(x)
        varies = (x != x[0]).any(0)
        return cls(x.mean(0), torch.where(varies, spread, torch.ones_like(spread)))

    def transform(self, x: AnyArray) -> Tensor:
        """Values in the data's units as z-scores, ``(N, *event)`` float32 on the CPU.

        Raises:
            DataError: if they are unfit, or of another shape.
        """
        rows = as_event_rows(x)
        if rows.shape[1:] != self.mean.shape:
            raise DataError(
                f"x: expected shape (N, {', '.join(map(str, self.mean.shape))}), as standardized, "
                f"got {tuple(rows.shape)}"
            )
        return fits_float32((rows.double() - self.mean) / self.scale, "x, as z-scores,")

    def inverse(self, x: Tensor) -> Tensor:
        """Z-scores ``(*batch, *event)`` in the data's units, as float64."""
        return x.double() * self.scale.to(x.device) + self.mean.to(x.device)

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, Standardization) and all(
            torch.equal(mine, its)
            for mine, its in ((self.mean, other.mean), (self.scale, other.scale))
        )

    __hash__ = None  # type: ignore[assignment]


def transformed(x: AnyArray, how: Standardization | None) -> Tensor:
    """Values in the data's units on the scale of the splits, ``(N, *event)`` float32 on the CPU.

    Raises:
        DataError: if they are unfit, or of another shape.
    """
    return fits_float32(as_event_rows(x), "x") if how is None else how.transform(x)


def log_scale(how: Standardization | None) -> float:
    """What a log-density of z-scores loses for data in their own units, in nats.

    Example:
        >>> round(log_scale(Standardization(torch.zeros(2), torch.tensor([1.0, 2.0]))), 4)
        0.6931
    """
    return 0.0 if how is None else how.scale.double().log().sum().item()
