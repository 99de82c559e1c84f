"""Running means of a loss's terms, which synchronize the device only when read."""

from __future__ import annotations

import math
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
        seen: The number of data that were read.
        skipped: The batches whose steps were not finite, as far as they were read.
    """

    def __init__(self, loss: Trace_ELBO) -> None:
        self.loss = loss
        self._waiting: list[tuple[int, int, list[Tensor]]] = []
        self.seen, self._totals = 0, [0.0] * 3
        self.skipped: list[int] = []
        self._flagged = False
        self.live = {name: _Mean(self, name) for name in ("elbo", "log_likelihood", "kl")}

    @classmethod
    def from_facts(cls, loss: Trace_ELBO, facts: Sequence[Any]) -> Sums:
        """Sums that go on from others' :attr:`facts`."""
        sums = cls(loss)
        sums.seen, sums._totals, bounded = facts[0], list(facts[1]), facts[2]
        sums.skipped = list(*facts[3:])
        if bounded:
            sums.live["objective"] = _Mean(sums, "objective")
        return sums

    @property
    def facts(self) -> list[Any]:
        """What it goes on from, as JSON."""
        totals = self.read()
        return [self.seen, totals, "objective" in self.live, self.skipped]

    def add(self, count: int, batch: int = 0, good: Tensor | None = None) -> None:
        """Add the terms of a step.

        Args:
            count: How many data it was on.
            batch: Its number in the epoch.
            good: Whether it was finite, read later; without, it was.
        """
        terms = [self.loss.log_likelihood, self.loss.kl]
        terms += [] if self.loss.bound is None else [self.loss.bound]
        terms += [] if good is None else [good.to(terms[0])]  # a copy
        self._flagged = good is not None
        self._waiting.append((count, batch, terms))
        if self.loss.bound is not None and "objective" not in self.live:
            self.live["objective"] = _Mean(self, "objective")

    def read(self) -> list[float]:
        """The sums so far; synchronizes the device."""
        if self._waiting:
            parts = torch.stack([term for *_, terms in self._waiting for term in terms])
            parts = parts.double().reshape(len(self._waiting), -1)
            for (count, batch, _), row in zip(self._waiting, parts.tolist(), strict=True):
                if self._flagged and not row.pop():
                    self.skipped.append(batch)
                    continue
                self.seen += count
                for place, value in enumerate(row):
                    self._totals[place] += value
            self._waiting.clear()
        return list(self._totals)

    def means(self) -> dict[str, float]:
        """The mean of each term; synchronizes the device."""
        totals = self.read()
        log_likelihood, kl, bound = (t / self.seen if self.seen else math.nan for t in totals)
        means = {"elbo": log_likelihood - kl, "log_likelihood": log_likelihood, "kl": kl}
        return means | ({"objective": bound} if "objective" in self.live else {})


class _Mean:
    """One of the means, computed by ``float``."""

    def __init__(self, sums: Sums, name: str) -> None:
        self.sums, self.name = sums, name

    def __float__(self) -> float:
        return self.sums.means()[self.name]
