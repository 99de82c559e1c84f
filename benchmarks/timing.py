"""Timing of contenders in turns, after a check that each trains the same model."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.contenders import Contender
from benchmarks.contenders.training import Unavailable, Weights
from benchmarks.data import binary_digits
from benchmarks.sizes import Size
from benchmarks.workers import Workers

__all__ = [
    "CHECKED", "TOLERANCE", "Effort", "Result", "best", "build", "check_losses",
    "initial_weights", "measure",
]  # fmt: skip

CHECKED = 5  # chunks that each contender trains before it is timed
TOLERANCE = 0.03  # largest relative difference of a loss from the median of all
SLOWER = 2  # a thread count that is this many times slower in the check is not timed


@dataclass(frozen=True)
class Effort:
    """How long to measure.

    Args:
        rounds: Turns of each contender.
        seconds: Approximate length of a turn.
        epochs: Turns of each contender, where a turn is an epoch.
    """

    rounds: int = 15
    seconds: float = 0.3
    epochs: int = 3


@dataclass
class Result:
    """The measurements of one contender at one size.

    Args:
        contender: Which.
        note: Why it was not measured; empty if it was.
        threads: The number of threads.
        parameters: Number of learned values.
        expected: Number of learned values that the model has.
        loss: Mean training loss over the check, in nats per datum.
        agrees: Whether the loss and the number of parameters match the others'.
        start: Seconds to build it and train the first chunk (or epoch), compilation included.
        times: Seconds a step (or an epoch) in each turn.
    """

    contender: Contender
    note: str = ""
    threads: int = 0
    parameters: int = 0
    expected: int = 0
    loss: float = float("nan")
    agrees: bool = True
    start: float = float("nan")
    times: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """Median of the times, in seconds; NaN if there are none."""
        return statistics.median(self.times) if self.times else float("nan")


def measure(
    size: Size, contenders: Sequence[Contender], workers: Workers, effort: Effort
) -> list[Result]:
    """Time a step of each contender, in turns, so that drift affects all alike."""
    given = size, binary_digits(size.event_shape), initial_weights(size)
    started = [run for one in contenders for run in _started(one, workers, *given)]
    check_losses(started)
    running = [run for run in started if not run.note]
    chunks = [max(1, round(effort.seconds / (min(r.times) * size.steps))) for r in running]
    for run in running:
        run.times.clear()
    for _ in range(effort.rounds):
        for run, count in zip(running, chunks, strict=True):
            _turn(run, count, size, workers)
    workers.forget()
    return best(started)


def initial_weights(size: Size) -> Weights:
    """The weights that every contender starts from."""
    from benchmarks.contenders import nets  # not at the top, for workers without PyTorch

    return nets.initial_weights(size)


def build(run: Result, workers: Workers, size: Size, x: Any, weights: Weights) -> None:
    """Build a contender for a size, on data ``(N, *event_shape)``.

    Raises:
        Unavailable: if it cannot be built.
    """
    variant = run.contender.variant
    run.parameters, run.start = workers.ask(
        run.contender, run.threads, "build", variant, size, x, weights
    )
    run.expected = sum(values.size for values in weights.values())


def check_losses(results: Sequence[Result]) -> None:
    """Mark the results whose number of parameters or loss differs from the others'."""
    trained = [r.loss for r in results if not r.note]
    middle = statistics.median(trained) if trained else float("nan")
    for result in results:
        close = abs(result.loss - middle) <= TOLERANCE * abs(middle)
        result.agrees = bool(result.note) or (close and result.parameters == result.expected)


def best(results: Sequence[Result]) -> list[Result]:
    """The faster thread count of each contender; one that failed only if both did."""
    found: dict[Contender, Result] = {}
    for run in sorted(results, key=lambda run: (bool(run.note), run.median)):
        found.setdefault(run.contender, run)
    return [found[one] for one in dict.fromkeys(run.contender for run in results)]


def _started(
    contender: Contender, workers: Workers, size: Size, x: Any, weights: Weights
) -> list[Result]:
    """A result for each thread count, without those that are much slower."""
    runs = [Result(contender, threads=threads) for threads in workers.threads]
    for run in runs:
        try:
            build(run, workers, size, x, weights)
            losses, seconds = workers.ask(
                contender, run.threads, "train", contender.variant, CHECKED
            )
        except Unavailable as reason:
            run.note = str(reason)
            continue
        run.start += seconds[0]
        run.times = [each / size.steps for each in seconds[1:]]
        run.loss = float(np.mean(losses))
    fastest = min((run.median for run in runs if not run.note), default=0)
    return [run for run in runs if run.note or run.median <= SLOWER * fastest]


def _turn(run: Result, chunks: int, size: Size, workers: Workers) -> None:
    if run.note:
        return
    variant = run.contender.variant
    try:
        _, seconds = workers.ask(run.contender, run.threads, "train", variant, chunks)
    except Unavailable as reason:
        run.note = str(reason)
        return
    run.times.append(sum(seconds) / (chunks * size.steps))
