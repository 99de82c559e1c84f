"""What every contender implements: steps on batches given by their row numbers, or epochs."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Losses", "Rows", "Steps", "Training", "Unavailable", "Weights", "is_grey"]

Losses = NDArray[np.float64]
Rows = NDArray[np.int64]
Weights = dict[str, NDArray[np.float32]]
"""Weights ``NAME.w``, in PyTorch's layout, and biases ``NAME.b``, by the layer's name."""


class Unavailable(Exception):
    """A contender cannot be timed here; its row shows the message."""


def is_grey(data: NDArray[np.float32]) -> bool:
    """Whether pixels are probabilities, so that each batch is drawn from them."""
    return bool(((data > 0) & (data < 1)).any())


class Training(ABC):
    """A model trained by Adam at 1e-3, on the data that it was built with.

    Batches of grey data are drawn as zeros and ones.

    Attributes:
        parameters: Number of learned values.
        batch: Data in one step.
    """

    parameters: int
    batch: int

    @abstractmethod
    def epoch(self, order: Rows) -> tuple[Losses, float]:
        """One pass over the data in this order ``(N,)``; losses and seconds, batching included."""


class Steps(Training):
    """A training that can be timed step by step."""

    @abstractmethod
    def place(self, rows: Rows) -> Any:
        """Prepare K batches ``(K, B)`` for :meth:`train`; not timed."""

    @abstractmethod
    def train(self, batches: Any) -> Losses:
        """Take a step on each batch and wait for the device; losses ``(K,)`` in nats per datum.

        A contender that only reports a mean loss repeats it K times.
        """

    def epoch(self, order: Rows) -> tuple[Losses, float]:
        began = time.perf_counter()
        losses = self.train(self.place(order.reshape(-1, self.batch)))
        return losses, time.perf_counter() - began
