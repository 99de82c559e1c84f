"""Timing of whole epochs of MNIST, including what each contender does to load the data."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.contenders import Contender
from benchmarks.contenders.training import Unavailable
from benchmarks.data import mnist
from benchmarks.sizes import MNIST_MLP
from benchmarks.timing import Result, best, build, check_losses, initial_weights
from benchmarks.workers import Workers

__all__ = ["ROWS", "measure_epochs"]

ROWS = 468 * MNIST_MLP.batch  # whole batches of MNIST's 60,000, so that all take the same steps


def measure_epochs(
    contenders: Sequence[Contender], workers: Workers, rows: int, rounds: int
) -> tuple[str, list[Result]]:
    """Time whole epochs in turns, after a first one that is the check.

    Args:
        contenders: What to time.
        workers: Where.
        rows: Training data in an epoch.
        rounds: Epochs of each contender.

    Returns:
        A description of the data, and the results.
    """
    name, x = mnist(rows)
    weights = initial_weights(MNIST_MLP)
    runs = [Result(one, threads=threads) for one in contenders for threads in workers.threads]
    for run in runs:
        try:
            build(run, workers, MNIST_MLP, x, weights)
        except Unavailable as reason:
            run.note = str(reason)
        run.loss = _epoch(run, workers)
        run.start += sum(run.times)
        run.times.clear()
    check_losses(runs)
    for _ in range(rounds):
        for run in runs:
            _epoch(run, workers)
    workers.forget()
    return f"{len(x):,} rows of {name}", best(runs)


def _epoch(run: Result, workers: Workers) -> float:
    """Time one epoch; its mean loss."""
    if run.note:
        return float("nan")
    try:
        losses, seconds = workers.ask(run.contender, run.threads, "epoch", run.contender.variant)
    except Unavailable as reason:
        run.note = str(reason)
        return float("nan")
    run.times.append(seconds)
    return float(np.mean(losses))
