"""The constraint to equally spaced levels between 0 and 1."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions.constraints import Constraint

__all__ = ["Levels"]

TOLERANCE = 0.01  # of a step; single precision errs by 0.002 of one at 65536 levels


class Levels(Constraint):
    """The values 0, 1/(L-1), 2/(L-1), ..., 1.

    Args:
        levels: How many, L, at least 2.

    Example:
        >>> Levels(256).check(torch.tensor([0.0, 17 / 255, 0.5, 1.2]))
        tensor([ True,  True, False, False])
    """

    is_discrete = True

    def __init__(self, levels: int) -> None:
        self.levels = levels
        super().__init__()

    def check(self, value: Tensor) -> Tensor:
        """Whether each value is one of the levels, up to rounding."""
        steps = value * (self.levels - 1)
        on_a_level = (steps - steps.round()).abs() < TOLERANCE
        return on_a_level & (value >= 0) & (value <= 1)

    def values(self) -> Tensor:
        """All of the levels, ``(L,)``."""
        return torch.arange(self.levels) / (self.levels - 1)

    def __repr__(self) -> str:
        return f"{self.levels} equally spaced levels from 0 to 1"
