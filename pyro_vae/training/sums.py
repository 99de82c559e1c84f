"""Running means of a loss's terms, which synchronize the device only when read."""

from __future__ import annotations

import torch
from torch import Tensor

from pyro_vae.objectives.pyro_elbos import Trace_ELBO

__all__ = ["Sums"]


class Sums:
    """The terms of a loss, averaged over an epoch's steps, in nats per datum.

    Args:
        loss: The loss; its terms are read after each step.

    Attributes:
        live: The means so far, each computed when it is converted by ``float``.
    """

    def __init__(self, loss: Trace_ELBO) -> None:
        self.loss = loss
        self.seen = 0
        self._waiting: list[list[Tensor]] = []
        self._sums = torch.zeros(3, dtype=torch.float64)
        self.live = {name: _Mean(self, name) for name in ("elbo", "log_likelihood", "kl")}

    def add(self, count: int) -> None:
        """Add the terms of a step on ``count`` data."""
        terms = [self.loss.log_likelihood, self.loss.kl]
        self._waiting.append(terms if self.loss.bound is None else [*terms, self.loss.bound])
        self.seen += count
        if self.loss.bound is not None and "objective" not in self.live:
            self.live["objective"] = _Mean(self, "objective")

    def means(self) -> dict[str, float]:
        """The mean of each term; synchronizes the device."""
        if self._waiting:
            parts = torch.stack([torch.stack(terms) for terms in self._waiting])
            found = parts.double().sum(0).cpu()
            self._sums[: len(found)] += found
            self._waiting.clear()
        log_likelihood, kl, bound = (self._sums / self.seen).tolist()
        means = {"elbo": log_likelihood - kl, "log_likelihood": log_likelihood, "kl": kl}
        return means | ({"objective": bound} if "objective" in self.live else {})


class _Mean:
    """One of the means, computed by ``float``."""

    def __init__(self, sums: Sums, name: str) -> None:
        self.sums, self.name = sums, name

    def __float__(self) -> float:
        return self.sums.means()[self.name]
