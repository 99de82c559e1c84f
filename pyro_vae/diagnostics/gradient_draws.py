"""Draws of gradients: a reference to hold them against, and what is measured of each estimator."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from scipy import stats
from torch import Tensor, nn

from pyro_vae.audit.gradients import directions_of, gradient_of
from pyro_vae.report.estimate import Estimate

__all__ = [
    "ALL",
    "Measured",
    "Reference",
    "mean_variance",
    "measure",
    "median",
    "reference_of",
    "stderr_of",
]

Loss = Callable[[], Tensor]
Groups = dict[str, list[nn.Parameter]]
ALL = "all"


@dataclass
class Reference:
    """The gradient that estimators of one bound are held against, along each direction."""

    name: str
    mean: dict[str, Tensor]
    stderr: dict[str, Tensor]
    directions: dict[str, Tensor]


@dataclass
class Measured:
    """Draws along the directions, squared half-distances of pairs, and seconds."""

    along: dict[str, Tensor]
    variances: dict[str, Tensor]
    seconds: list[float]


def reference_of(loss: Loss, name: str, groups: Groups, count: int, seed: int) -> Reference:
    """The mean of ``count`` gradients of a loss, or its one gradient where it is called exact."""
    everything = {ALL: [p for group in groups.values() for p in group]}
    exact = name == "exact"
    pilot = 1 if exact else 8
    directions = {**directions_of(loss, everything, seed, pilot),
                  **directions_of(loss, groups, seed, pilot)}  # fmt: skip
    rows: dict[str, list[Tensor]] = {group: [] for group in directions}
    for draw in range(1 if exact else count):
        torch.manual_seed(seed + 1_000_000 + draw)
        for group, gradient in _with_all(gradient_of(loss, groups)).items():
            rows[group].append(directions[group] @ gradient)
    along = {group: torch.stack(values) for group, values in rows.items()}
    return Reference(
        name.format(count=f"{count:,}"),
        {group: values.mean(0) for group, values in along.items()},
        {group: stderr_of(values) for group, values in along.items()},
        directions,
    )


def _with_all(gradients: dict[str, Tensor]) -> dict[str, Tensor]:
    return {ALL: torch.cat(list(gradients.values())), **gradients}


def stderr_of(values: Tensor) -> Tensor:
    """Of the mean over the first dimension; 0 for a single value."""
    return (
        values.std(0) / math.sqrt(len(values)) if len(values) > 1 else torch.zeros_like(values[0])
    )


def measure(
    losses: list[Loss], targets: list[Reference], groups: Groups, seeds: Iterable[int]
) -> list[Measured]:
    """Each estimator in turn on each seed, so that what slows the machine slows them all."""
    names = [ALL, *groups]
    along = [{name: [] for name in names} for _ in losses]  # type: ignore[var-annotated]
    squares = [{name: [] for name in names} for _ in losses]  # type: ignore[var-annotated]
    seconds: list[list[float]] = [[] for _ in losses]
    before: list[dict[str, Tensor] | None] = [None for _ in losses]
    for loss in losses:
        gradient_of(loss, groups)  # what is slow only once
    for seed in seeds:
        for i, (loss, target) in enumerate(zip(losses, targets, strict=True)):
            torch.manual_seed(seed)
            began = _now(groups)
            gradient = gradient_of(loss, groups)
            seconds[i].append(_now(groups) - began)
            gradient, last = _with_all(gradient), before[i]
            for name, value in gradient.items():
                along[i][name].append(target.directions[name] @ value)
                if last is not None:
                    squares[i][name].append((value - last[name]).square().sum() / 2)
            before[i] = gradient if last is None else None
    return [
        Measured({name: torch.stack(v) for name, v in a.items()},
                  {name: torch.stack(v) for name, v in s.items()}, t)
        for a, s, t in zip(along, squares, seconds, strict=True)
    ]  # fmt: skip


def _now(groups: Groups) -> float:
    device = next(iter(groups.values()))[0].device
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def mean_variance(values: Tensor, confidence: float, rounding: float) -> Estimate:
    """The mean of independent unbiased estimates, its interval on the logarithmic scale.

    A mean whose root is within ``rounding`` is 0.
    """
    mean = values.mean().item()
    if mean <= rounding**2 or mean == 0:
        return Estimate(0.0, draws=len(values), low=0.0, high=0.0)
    wide = float(stats.t.isf((1 - confidence) / 2, len(values) - 1))
    factor = math.exp(wide * stderr_of(values.unsqueeze(-1)).item() / mean)
    return Estimate(mean, draws=len(values), low=mean / factor, high=mean * factor)


def median(values: list[float], confidence: float) -> Estimate:
    """The median, and the order statistics that hold the true one with this confidence."""
    ordered = sorted(values)
    count = len(ordered)
    lowest = max(int(stats.binom.ppf((1 - confidence) / 2, count, 0.5)) - 1, 0)
    middle = (ordered[(count - 1) // 2] + ordered[count // 2]) / 2
    high = ordered[count - 1 - lowest]
    return Estimate(middle, unit="seconds", draws=count, low=ordered[lowest], high=high)
