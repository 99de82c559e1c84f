"""Whole epochs of MNIST, the data's own cost included."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.contenders import Contender
from benchmarks.contenders.training import Unavailable
from benchmarks.data import mnist_folder
from benchmarks.sizes import MNIST_MLP
from benchmarks.timing import SEED, Result, check_losses
from benchmarks.workers import Workers
from pyro_vae.core.errors import DataError
from pyro_vae.data.mnist import MNIST

__all__ = ["ROWS", "EpochData", "epochs", "prepare"]

ROWS = 468 * MNIST_MLP.batch  # of MNIST's 60,000: whole batches, so that all take the same steps


@dataclass(frozen=True)
class EpochData:
    """What the epochs go over.

    Args:
        name: In words.
        array: Path of the intensities in [0, 1], ``(N, 784)``.
        root: Folder of the same pictures as torchvision reads them.
    """

    name: str
    array: str
    root: str


def prepare(folder: Path, rows: int = ROWS) -> EpochData:
    """MNIST where it is found, and enlarged digits in its format where it is not."""
    try:
        root = MNIST(validation=0)._readable_root()
        name = "MNIST"
    except DataError:
        root = mnist_folder(folder / "stand-in", rows)
        name = "enlarged digits in MNIST's format, since MNIST was not found (PYRO_VAE_DATA)"
    x = np.asarray(MNIST(root=str(root), validation=0).read().x[:rows])
    pixels = x.astype(np.float32).reshape(-1, 784)
    array = folder / "epoch.npy"
    np.save(array, pixels)
    found = f"{len(pixels):,} rows of {name}, drawn as 0 or 1 anew for every batch"
    return EpochData(found, str(array), str(root))


def epochs(
    contenders: Sequence[Contender], workers: Workers, data: EpochData, rounds: int
) -> list[Result]:
    """Time whole epochs, in turns; the first one of each contender is the check, and not timed."""
    runs = [
        Result(contender, threads=threads)
        for contender in contenders
        for threads in workers.threads
    ]
    for run in runs:
        _epoch(run, workers, data, first=True)
    check_losses(runs, MNIST_MLP.parameters)
    for run in runs:
        run.times.clear()
    for _ in range(rounds):
        for run in runs:
            _epoch(run, workers, data)
    workers.forget()
    return [
        min((r for r in runs if r.contender == one), key=lambda r: (bool(r.note), r.median))
        for one in contenders
    ]


def _epoch(run: Result, workers: Workers, data: EpochData, *, first: bool = False) -> None:
    if run.note:
        return
    name = run.contender.variant
    try:
        if first:
            built = workers.ask(
                run.contender, run.threads, "build", variant=name, size=MNIST_MLP.json(),
                data=data.array, seed=SEED,
            )  # fmt: skip
            run.parameters, run.start = built["parameters"], built["seconds"]
        took = workers.ask(run.contender, run.threads, "epoch", variant=name)
    except Unavailable as reason:
        run.note = str(reason)
        return
    run.times.append(took["seconds"])
    if first:
        run.loss = float(np.mean(took["losses"]))
        run.start += took["seconds"]
