"""Scores of one declaration that was trained from several seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from scipy import stats
from torch import Tensor

from pyro_vae.core.messages import listed
from pyro_vae.diagnostics.scores import Scores
from pyro_vae.report.estimate import Estimate
from pyro_vae.report.numbers import number
from pyro_vae.report.shown import ShownAsTable
from pyro_vae.report.table import Table

__all__ = ["Replicates", "over_seeds", "over_seeds_and_data", "table_over_seeds"]


@dataclass(frozen=True, repr=False)
class Replicates(ShownAsTable):
    """Scores of models that differ in the seed of their training; Jupyter shows a table.

    :func:`~pyro_vae.compare` takes them in place of one model's scores.

    Args:
        scores: By the seed of training; all of the same data.
        confidence: Of each interval, by itself.

    Example:
        >>> from pyro_vae import VAE, evaluate, fit
        >>> def scores(seed):
        ...     torch.manual_seed(seed)
        ...     vae, x = VAE((3,), latent_dim=1), torch.ones(60, 3)
        ...     fit(vae, x, epochs=1, seed=seed, show_progress=False)
        ...     return evaluate(vae, x, show_progress=False)
        >>> found = Replicates({seed: scores(seed) for seed in range(3)})
        >>> found.estimates["ELBO"].draws
        3
    """

    scores: dict[int, Scores]
    confidence: float = 0.95
    derived = ("estimates",)

    @property
    def first(self) -> Scores:
        """The scores of the first seed."""
        return next(iter(self.scores.values()))

    @property
    def estimates(self) -> dict[str, Estimate]:
        """The mean of each score over the seeds, with its interval."""
        rows = [_numbers(scores) for scores in self.scores.values()]
        return over_seeds(rows, self.confidence)

    def table(self) -> Table:
        """The mean of each score over the seeds, in nats per datum."""
        caption = f"{self.first.data}. {_seeds(self.scores)}"
        return table_over_seeds("Scores over seeds", self.estimates, self.confidence, caption)


def _numbers(scores: Scores) -> dict[str, float]:
    losses = {
        f"-log p(x), {found.estimator.partition(',')[0]}": found.value
        for found in (scores.nll, scores.ais) if found is not None
    }  # fmt: skip
    return {
        "ELBO": scores.elbo.value,
        "E_q[log p(x|z)]": scores.log_likelihood.value,
        **{f"  of it, {name}": found.value for name, found in scores.columns.items()},
        "KL(q(z|x) || p(z))": scores.kl.value,
        **losses,
        **({"bits per spike (no nats)": bits.value} if (bits := scores.bits_per_spike) else {}),
        **{f"perplexity per word, {n}": found.value for n, found in scores.perplexity.items()},
        "squared error (no nats)": scores.reconstruction.value,
        "active units": float(scores.units.active.sum()),
    }


def over_seeds(rows: list[dict[str, float]], confidence: float = 0.95) -> dict[str, Estimate]:
    """The mean of each number over trainings, with its interval by Student's t.

    Args:
        rows: One mapping of numbers for each seed.
        confidence: Of each interval.
    """
    return {
        name: Estimate.of(torch.tensor([row[name] for row in rows], dtype=torch.float64),
                          estimator=f"over {len(rows)} seeds").within(confidence)
        for name in rows[0] if all(name in row for row in rows)
    }  # fmt: skip


def over_seeds_and_data(values: Tensor, confidence: float, estimator: str) -> Estimate:
    """The mean over seeds and data, ``(S, N)``, with an interval over both.

    Both are random: its variance is that of the seeds' means, of which there are S, plus that of
    the data's means, of which there are N (which counts their interaction twice); the degrees of
    freedom are Satterthwaite's. One seed leaves the data alone.

    References:
        | An Approximate Distribution of Estimates of Variance Components (Satterthwaite, 1946)
    """
    data = Estimate.of(values.mean(0), estimator=estimator)
    if len(values) == 1:
        return data.within(confidence)
    seeds = Estimate.of(values.mean(1))
    parts = [(part.stderr**2, part.draws - 1) for part in (seeds, data)]
    variance = sum(part for part, _ in parts)
    freedom = variance**2 / sum(v**2 / n for v, n in parts) if variance else 1.0
    half = float(stats.t.ppf((1 + confidence) / 2, freedom)) * math.sqrt(variance)
    return replace(data, stderr=math.sqrt(variance), low=data.value - half, high=data.value + half)


def table_over_seeds(
    title: str, estimates: Mapping[str, Estimate], confidence: float = 0.95, caption: str = ""
) -> Table:
    """A row for each number: its mean over seeds with its error, interval and spread."""
    columns = ["", "mean ± standard error", f"{confidence:.0%} interval", "standard deviation"]
    table = Table(title, columns, f"{caption} Intervals over the seeds, by Student's t.".strip(),
                  ["left", "right", "right", "right"])  # fmt: skip
    for name, found in estimates.items():
        low, high = (number(end) for end in found.interval)
        spread = number(found.stderr * math.sqrt(found.draws), 2)
        table.add(name, str(found), f"[{low}, {high}]", spread)
    return table


def _seeds(scores: Mapping[int, Any]) -> str:
    return f"Trained from the seeds {listed(scores, 'and')}."
