"""Interleaved timing of contenders, each checked to train the same model before it is timed."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from benchmarks.contenders import Contender
from benchmarks.contenders.training import Unavailable
from benchmarks.data import binary_digits
from benchmarks.sizes import Size
from benchmarks.workers import Workers

__all__ = ["TOLERANCE", "Effort", "Result", "check_losses", "grown", "measure", "save_data"]

TOLERANCE = 0.03  # of a contender's loss, from the median of all
SLOWER = 2  # times as slow in the check: a thread count that is not timed further
SEED = 0


@dataclass(frozen=True)
class Effort:
    """How much is done.

    Args:
        rounds: Turns that each contender takes.
        seconds: About how long a turn lasts.
        check: Steps that each contender trains, from the same weights, before it is timed.
    """

    rounds: int = 15
    seconds: float = 0.3
    check: int = 160


@dataclass
class Result:
    """What one contender did at one size.

    Args:
        contender: Which.
        note: Why there is nothing more to say; empty where there is.
        threads: The thread count that was best for it.
        parameters: How many numbers it learns.
        loss: Mean training loss over the check, in nats per datum.
        agrees: Whether that loss, and the parameters, are those of the others.
        start: Seconds to build it and train the first chunk, compiling included.
        times: Seconds a step (or an epoch) in each round.
        megabytes: Peak memory, where it was asked for and is known.
    """

    contender: Contender
    note: str = ""
    threads: int = 0
    parameters: int = 0
    loss: float = float("nan")
    agrees: bool = True
    start: float = float("nan")
    times: list[float] = field(default_factory=list)
    megabytes: float | None = None

    @property
    def median(self) -> float:
        """Of the times, in seconds; NaN where there are none."""
        return statistics.median(self.times) if self.times else float("nan")


def save_data(size: Size, folder: Path) -> str:
    """A file with the size's data; its path."""
    path = folder / f"{'x'.join(map(str, size.event_shape))}.npy"
    if not path.exists():
        np.save(path, binary_digits(size.event_shape))
    return str(path)


def measure(
    size: Size,
    contenders: Sequence[Contender],
    workers: Workers,
    effort: Effort,
) -> list[Result]:
    """Time a step of each contender, in turns so that drift strikes all alike."""
    data = save_data(size, workers.folder)
    results = [_started(contender, size, workers, data, effort) for contender in contenders]
    check_losses([result for runs in results for result in runs], size.parameters)
    running = [run for runs in results for run in runs if not run.note]
    turns = {id(run): _chunks(run, size, effort) for run in running}
    for run in running:
        run.times.clear()
    for _ in range(effort.rounds):
        for run in running:
            _turn(run, turns[id(run)], size, workers)
    workers.forget()
    return [_best(runs) for runs in results]


def grown(
    size: Size, contenders: Iterable[Contender], workers: Workers, effort: Effort
) -> list[Result]:
    """Time a step of each contender in a process of its own, with its peak memory."""
    data = save_data(size, workers.folder)
    short = replace(effort, check=2 * size.steps)
    results = []
    for contender in contenders:
        runs = []
        for threads in workers.threads:
            runs.append(_alone(contender, threads, size, workers, data, short))
            workers.end()
        results.append(_best(runs))
    return results


def _alone(
    contender: Contender, threads: int, size: Size, workers: Workers, data: str, effort: Effort
) -> Result:
    run = _start(contender, threads, size, workers, data, effort)
    run.agrees = bool(run.note) or run.parameters == size.parameters
    if run.note:
        return run
    chunks = _chunks(run, size, effort)
    run.times.clear()
    workers.ask(contender, threads, "reset_peak")
    for _ in range(effort.rounds):
        _turn(run, chunks, size, workers)
    if not run.note:
        run.megabytes = workers.ask(contender, threads, "peak")["megabytes"]
    return run


def check_losses(results: Sequence[Result], parameters: int) -> None:
    """Note of each result whether its model is that of the others.

    It must learn as many numbers, and its loss must be within ``TOLERANCE`` of the median of all.
    """
    trained = [r for r in results if not r.note and not np.isnan(r.loss)]
    middle = statistics.median(r.loss for r in trained) if trained else float("nan")
    for result in results:
        same = result.parameters == parameters
        off = abs(result.loss - middle) > TOLERANCE * abs(middle)
        result.agrees = same and not off


def _started(
    contender: Contender, size: Size, workers: Workers, data: str, effort: Effort
) -> list[Result]:
    """A run for each thread count that is not much the slower one."""
    runs = [_start(contender, threads, size, workers, data, effort) for threads in workers.threads]
    fastest = min((run.median for run in runs if not run.note), default=0)
    return [run for run in runs if run.note or run.median <= SLOWER * fastest]


def _start(
    contender: Contender, threads: int, size: Size, workers: Workers, data: str, effort: Effort
) -> Result:
    run = Result(contender, threads=threads)
    name = contender.variant
    chunks = max(2, -(-effort.check // size.steps))
    try:
        built = workers.ask(
            contender, threads, "build", variant=name, size=size.json(), data=data, seed=SEED
        )
        first = workers.ask(contender, threads, "train", variant=name, chunks=1)
        rest = workers.ask(contender, threads, "train", variant=name, chunks=chunks - 1)
    except Unavailable as reason:
        run.note = str(reason)
        return run
    run.parameters = built["parameters"]
    run.start = built["seconds"] + sum(first["seconds"])
    run.times = [seconds / size.steps for seconds in rest["seconds"]]
    run.loss = float(np.mean([*first["losses"], *rest["losses"]]))
    return run


def _chunks(run: Result, size: Size, effort: Effort) -> int:
    return max(1, round(effort.seconds / (min(run.times) * size.steps)))


def _turn(run: Result, chunks: int, size: Size, workers: Workers) -> None:
    if run.note:
        return
    name = run.contender.variant
    try:
        took = workers.ask(run.contender, run.threads, "train", variant=name, chunks=chunks)
    except Unavailable as reason:
        run.note = str(reason)
        return
    run.times.append(sum(took["seconds"]) / (chunks * size.steps))


def _best(runs: Sequence[Result]) -> Result:
    """The run of the best thread count; one that could not be timed only if none could."""
    return min(runs, key=lambda run: (bool(run.note), run.median))
