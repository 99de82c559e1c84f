"""A piecewise constant learning rate."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from pydantic import PositiveFloat, PositiveInt

from pyro_vae.core.errors import DeclarationError
from pyro_vae.training.schedules.schedule import Schedule

__all__ = ["PiecewiseConstant"]


class PiecewiseConstant(Schedule):
    """One factor until the first milestone, another until the second, and so on.

    Args:
        milestones: Last epoch of each piece except the final one, increasing.
        factors: Factor of each piece, one more than there are milestones.

    Raises:
        DeclarationError: if the numbers do not match, or the milestones do not increase.

    Example:
        >>> schedule = PiecewiseConstant(milestones=[2, 5], factors=[1.0, 0.5, 0.1])
        >>> [schedule.factor(epoch, epochs=6) for epoch in (1, 2, 3, 4, 5, 6)]
        [1.0, 1.0, 0.5, 0.5, 0.5, 0.1]
    """

    def __init__(
        self, milestones: Sequence[PositiveInt], factors: Sequence[PositiveFloat]
    ) -> None:
        self.milestones, self.factors = list(milestones), list(factors)
        if self.milestones != sorted(set(self.milestones)):
            raise DeclarationError(
                f"{self.kind}.milestones: must increase, got {self.milestones}", "The schedule"
            )
        if len(self.factors) != len(self.milestones) + 1:
            raise DeclarationError(
                f"{self.kind}.factors: must be one more than the {len(self.milestones)} "
                f"milestones, got {len(self.factors)}",
                "The schedule",
            )

    def factor(self, epoch: int, epochs: int) -> float:
        """The factor of the epoch's piece."""
        return self.factors[bisect_left(self.milestones, epoch)]

    def check(self, epochs: int) -> None:
        """Refuse a run that ends before its last piece.

        Raises:
            DeclarationError: with both lengths.
        """
        if self.milestones and self.milestones[-1] >= epochs:
            raise DeclarationError(
                f"train.schedule.milestones: must be < train.epochs, so that every piece has an "
                f"epoch, got {self.milestones[-1]} in a run of {epochs}; lower it, or train longer"
            )
