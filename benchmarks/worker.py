"""What runs in the process of a contender."""

from __future__ import annotations

import gc
import importlib
import multiprocessing
import os
import signal
import sys
import time
import traceback
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.contenders.training import Rows, Training, Unavailable, Weights
from benchmarks.sizes import Size

__all__ = ["serve"]

SEED = 0


@dataclass
class Bench:
    """A contender in training, and where its batches come from."""

    training: Any
    size: Size
    rows: int
    random: np.random.Generator

    def chunk(self) -> Rows:
        """Row numbers of the next chunk ``(K, B)``, the same for every contender."""
        return self.random.integers(self.rows, size=(self.size.steps, self.size.batch))


class Worker:
    """Builds the contenders of one group, and trains them."""

    def __init__(self, group: str, device: str, threads: int) -> None:
        self.device = device
        self.benches: dict[str, Bench] = {}
        if group != "numpyro_svi":
            import torch

            torch.set_num_threads(threads)
        self.module = importlib.import_module(f"benchmarks.contenders.{group}")

    def build(self, variant: str, size: Size, x: Any, weights: Weights) -> tuple[int, float]:
        """Build a contender; its number of learned values, and the seconds taken."""
        np.random.seed(SEED)
        if "torch" in sys.modules:
            sys.modules["torch"].manual_seed(SEED)
        began = time.perf_counter()
        training: Training = self.module.build(variant, size, x, weights, self.device)
        self.benches[variant] = Bench(training, size, len(x), np.random.default_rng(SEED))
        return training.parameters, time.perf_counter() - began

    def train(self, variant: str, chunks: int) -> tuple[list[float], list[float]]:
        """Train on some chunks; the losses, and the seconds of each chunk."""
        bench = self.benches[variant]
        placed = [bench.training.place(bench.chunk()) for _ in range(chunks)]
        losses, seconds = [], []
        for batches in placed:
            began = time.perf_counter()
            found = bench.training.train(batches)
            seconds.append(time.perf_counter() - began)
            losses += found.tolist()
        return losses, seconds

    def epoch(self, variant: str) -> tuple[list[float], float]:
        """One pass over the data in a new order; the losses and the seconds."""
        bench = self.benches[variant]
        losses, seconds = bench.training.epoch(bench.random.permutation(bench.rows))
        return losses.tolist(), seconds

    def forget(self) -> None:
        """Free every contender."""
        self.benches.clear()
        gc.collect()


def serve(connection: Connection, group: str, device: str, threads: int, log: Path) -> None:
    """Answer requests, a method of :class:`Worker` and its arguments, until there are no more.

    An exception is answered with :class:`Unavailable`; what is printed goes to the log.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its workers
    multiprocessing.set_start_method(None, force=True)  # a DataLoader's workers start as usual
    with log.open("a") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    worker: Worker | None = None
    while True:
        try:
            method, arguments = connection.recv()
        except EOFError:
            break
        answer: Any
        try:
            worker = worker or Worker(group, device, threads)
            answer = getattr(worker, method)(*arguments)
        except Unavailable as reason:
            answer = reason
        except Exception as error:
            traceback.print_exc()
            first = (str(error).splitlines() or [""])[0]
            answer = Unavailable(f"failed: {type(error).__name__}: {first}"[:200])
        connection.send(answer)
    if worker is not None:
        worker.forget()
    os._exit(0)  # libraries take seconds to unload
