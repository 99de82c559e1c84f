"""Timing of contenders in turns, after a check that each trains the same model."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from benchmarks.contenders import Contender
from benchmarks.contenders.training import Unavailable
from benchmarks.data import saved_digits
from benchmarks.sizes import Size
from benchmarks.workers import Workers

__all__ = [
    "CHECKED", "TOLERANCE", "Effort", "Result", "best", "build", "check_losses", "measure",
]  # fmt: skip

CHECKED = 5  # chunks that each contender trains before it is timed
TOLERANCE = 0.03  # largest relative difference of a loss from the median of all
SLOWER = 2  # a thread count that is this many times slower in the check is not timed
SEED = 0


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
        loss: Mean training loss over the check, in nats per datum.
        agrees: Whether the loss and the number of parameters match the others'.
        start: Seconds to build it and train the first chunk (or epoch), compilation included.
        times: Seconds a step (or an epoch) in each turn.
    """

    contender: Contender
    note: str = ""
    threads: int = 0
    parameters: int = 0
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
    data = saved_digits(size, workers.folder)
    started = [run for one in contenders for run in _started(one, size, workers, data)]
    check_losses(started, size.parameters)
    running = [run for run in started if not run.note]
    chunks = [max(1, round(effort.seconds / (min(r.times) * size.steps))) for r in running]
    for run in running:
        run.times.clear()
    for _ in range(effort.rounds):
        for run, count in zip(running, chunks, strict=True):
            _turn(run, count, size, workers)
    workers.forget()
    return best(started)


def build(run: Result, size: Size, workers: Workers, data: str) -> None:
    """Build a contender.

    Raises:
        Unavailable: if it cannot be built.
    """
    built = workers.ask(
        run.contender, run.threads, "build", variant=run.contender.variant, size=size.json(),
        data=data, seed=SEED,
    )  # fmt: skip
    run.parameters, run.start = built["parameters"], built["seconds"]


def check_losses(results: Sequence[Result], parameters: int) -> None:
    """Mark the results whose number of parameters or loss differs from the others'."""
    trained = [r.loss for r in results if not r.note]
    middle = statistics.median(trained) if trained else float("nan")
    for result in results:
        close = abs(result.loss - middle) <= TOLERANCE * abs(middle)
        result.agrees = bool(result.note) or (close and result.parameters == parameters)


def best(results: Sequence[Result]) -> list[Result]:
    """The faster thread count of each contender; one that failed only if both did."""
    found: dict[Contender, Result] = {}
    for run in sorted(results, key=lambda run: (bool(run.note), run.median)):
        found.setdefault(run.contender, run)
    return [found[one] for one in dict.fromkeys(run.contender for run in results)]


def _started(contender: Contender, size: Size, workers: Workers, data: str) -> list[Result]:
    """A result for each thread count, without those that are much slower."""
    runs = [Result(contender, threads=threads) for threads in workers.threads]
    for run in runs:
        try:
            build(run, size, workers, data)
            ask = {"variant": contender.variant, "chunks": 1}
            first = workers.ask(contender, run.threads, "train", **ask)
            rest = workers.ask(contender, run.threads, "train", **ask | {"chunks": CHECKED - 1})
        except Unavailable as reason:
            run.note = str(reason)
            continue
        run.start += sum(first["seconds"])
        run.times = [seconds / size.steps for seconds in rest["seconds"]]
        run.loss = float(np.mean([*first["losses"], *rest["losses"]]))
    fastest = min((run.median for run in runs if not run.note), default=0)
    return [run for run in runs if run.note or run.median <= SLOWER * fastest]


def _turn(run: Result, chunks: int, size: Size, workers: Workers) -> None:
    if run.note:
        return
    variant = run.contender.variant
    try:
        took = workers.ask(run.contender, run.threads, "train", variant=variant, chunks=chunks)
    except Unavailable as reason:
        run.note = str(reason)
        return
    run.times.append(sum(took["seconds"]) / (chunks * size.steps))
