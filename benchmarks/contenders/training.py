"""What every contender offers: training on batches that are named by their rows."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Training", "Unavailable", "is_grey"]

Losses = NDArray[np.float64]
Rows = NDArray[np.int64]


class Unavailable(Exception):
    """This contender cannot be timed here; the message says why, and stands in its row."""


def is_grey(data: NDArray[np.float32]) -> bool:
    """Whether pixels are chances of a 1, so that every batch draws its own."""
    return bool(((data > 0) & (data < 1)).any())


class Training(ABC):
    """A model in training with Adam at 1e-3, on data that it was given when it was built.

    Of grey data each batch draws its own 0s and 1s.

    Attributes:
        parameters: How many numbers are learned.
        batch: Data in one step.
    """

    parameters: int
    batch: int

    @abstractmethod
    def place(self, rows: Rows) -> Any:
        """The rows of K batches, ``(K, B)``, as ``train`` takes them; not timed."""

    @abstractmethod
    def train(self, batches: Any) -> Losses:
        """Take a step on each batch; the losses, ``(K,)`` in nats per datum. Done when it returns.

        A contender that only knows a mean loss gives it K times.
        """

    def epoch(self, order: Rows) -> tuple[Losses, float]:
        """One pass over the data in this order ``(N,)``; losses and seconds, batching included."""
        began = time.perf_counter()
        losses = self.train(self.place(order.reshape(-1, self.batch)))
        return losses, time.perf_counter() - began
