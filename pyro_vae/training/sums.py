"""Running means of a loss's terms, which synchronize the device only when read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pyro_vae.objectives.pyro_elbos import Trace_ELBO

__all__ = ["Sums"]


class Sums:
    """The terms of a loss, averaged over an epoch's steps, in nats per datum.

    They are summed one after the other, so that the means are the same however often, and
    from wherever, they are read.

    Args:
        loss: The loss; its terms are read after each step.

    Attributes:
        live: The means so far, each computed when it is converted by ``float``.
    """

    def __init__(self, loss: Trace_ELBO) -> None:
        self.loss = loss
        self._waiting: list[list[Tensor]] = []
        self.seen, self._totals = 0, [0.0] * 3
        self.live = {name: _Mean(self, name) for name in ("elbo", "log_likelihood", "kl")}

    @classmethod
    def from_facts(cls, loss: Trace_ELBO, facts: Sequence[Any]) -> Sums:
        """Sums that go on from others' :attr:`facts`."""
        sums = cls(loss)
        sums.seen, sums._totals, bounded = facts[0], list(facts[1]), facts[2]
        if bounded:
            sums.live["objective"] = _Mean(sums, "objective")
        return sums

    @property
    def facts(self) -> list[Any]:
        """What it goes on from, as JSON."""
        return [self.seen, self.read(), "objective" in self.live]

    def add(self, count: int) -> None:
        """Add the terms of a step on ``count`` data."""
        terms = [self.loss.log_likelihood, self.loss.kl]
        self._waiting.append(terms if self.loss.bound is None else [*terms, self.loss.bound])
        self.seen += count
        if self.loss.bound is not None and "objective" not in self.live:
            self.live["objective"] = _Mean(self, "objective")

    def read(self) -> list[float]:
        """The sums so far; synchronizes the device."""
        if self._waiting:
            parts = torch.stack([term for terms in self._waiting for term in terms])
            for row in parts.double().reshape(len(self._waiting), -1).tolist():
                for place, value in enumerate(row):
                    self._totals[place] += value
            self._waiting.clear()
        return list(self._totals)

    def means(self) -> dict[str, float]:
        """The mean of each term; synchronizes the device."""
        log_likelihood, kl, bound = (total / self.seen for total in self.read())
        means = {"elbo": log_likelihood - kl, "log_likelihood": log_likelihood, "kl": kl}
        return means | ({"objective": bound} if "objective" in self.live else {})


class _Mean:
    """One of the means, computed by ``float``."""

    def __init__(self, sums: Sums, name: str) -> None:
        self.sums, self.name = sums, name

    def __float__(self) -> float:
        return self.sums.means()[self.name]
