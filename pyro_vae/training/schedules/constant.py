"""A constant learning rate."""

from __future__ import annotations

from pyro_vae.training.schedules.schedule import Schedule

__all__ = ["Constant"]


class Constant(Schedule):
    """A constant learning rate.

    Example:
        >>> Constant().factor(7, epochs=10)
        1.0
    """

    def factor(self, epoch: int, epochs: int) -> float:
        """1, always."""
        return 1.0
