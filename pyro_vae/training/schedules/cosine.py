"""Cosine decay of the learning rate."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field

from pyro_vae.training.schedules.schedule import Schedule

__all__ = ["Cosine"]


class Cosine(Schedule):
    r"""Cosine decay, from the learning rate in the first epoch to a fraction of it in the last.

    .. math:: f + (1 - f) \, \frac12 \Big(1 + \cos \pi \frac{e - 1}{E - 1}\Big)

    in epoch e of E, with f the final fraction. There are no restarts.

    Args:
        final: Fraction of the learning rate in the last epoch, in [0, 1].

    References:
        | SGDR: stochastic gradient descent with warm restarts (Loshchilov and Hutter, 2017)
        | https://arxiv.org/abs/1608.03983

    Example:
        >>> [round(Cosine(final=0.1).factor(epoch, epochs=3), 3) for epoch in (1, 2, 3)]
        [1.0, 0.55, 0.1]
    """

    def __init__(self, final: Annotated[float, Field(ge=0, le=1)] = 0.0) -> None:
        self.final = final

    def factor(self, epoch: int, epochs: int) -> float:
        """Half a cosine; 1 in a run of a single epoch."""
        done = (epoch - 1) / max(epochs - 1, 1)
        return self.final + (1 - self.final) * (1 + math.cos(math.pi * done)) / 2
