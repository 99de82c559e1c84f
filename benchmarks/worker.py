"""A process that trains contenders: ``python -m benchmarks.worker GROUP DEVICE THREADS``.

It reads requests from standard input, one JSON object a line, and answers each with a line.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import sys
import time
import traceback
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.contenders.training import Rows, Training, Unavailable
from benchmarks.data import initial_weights
from benchmarks.sizes import Size

__all__ = ["main"]


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

    def __init__(self, group: str, device: str, threads: str) -> None:
        self.device = device
        self.benches: dict[str, Bench] = {}
        if group != "numpyro_svi":
            import torch

            torch.set_num_threads(int(threads))
        self.module = importlib.import_module(f"benchmarks.contenders.{group}")

    def build(self, variant: str, size: dict[str, Any], data: str, seed: int) -> dict[str, Any]:
        """Build a contender; its number of learned values, and the seconds taken."""
        np.random.seed(seed)
        if "torch" in sys.modules:
            sys.modules["torch"].manual_seed(seed)
        x, sized = np.load(data), Size.of(size)
        weights = initial_weights(sized)
        began = time.perf_counter()
        training: Training = self.module.build(variant, sized, x, weights, self.device)
        self.benches[variant] = Bench(training, sized, len(x), np.random.default_rng(seed))
        return {"parameters": training.parameters, "seconds": time.perf_counter() - began}

    def train(self, variant: str, chunks: int) -> dict[str, Any]:
        """Train on some chunks; the losses, and the seconds of each chunk."""
        bench = self.benches[variant]
        placed = [bench.training.place(bench.chunk()) for _ in range(chunks)]
        losses, seconds = [], []
        for batches in placed:
            began = time.perf_counter()
            found = bench.training.train(batches)
            seconds.append(time.perf_counter() - began)
            losses += found.tolist()
        return {"losses": losses, "seconds": seconds}

    def epoch(self, variant: str) -> dict[str, Any]:
        """One pass over the data, in a new order."""
        bench = self.benches[variant]
        losses, seconds = bench.training.epoch(bench.random.permutation(bench.rows))
        return {"losses": losses.tolist(), "seconds": seconds}

    def forget(self) -> dict[str, Any]:
        """Free every contender."""
        self.benches.clear()
        gc.collect()
        return {}


def main() -> None:
    """Answer until standard input ends. What libraries print goes to standard error."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its workers
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    worker: Worker | None = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if worker is None:
                worker = Worker(*sys.argv[1:])
            answer = getattr(worker, request.pop("do"))(**request)
        except Unavailable as reason:
            answer = {"unavailable": str(reason)}
        except Exception as error:
            traceback.print_exc()
            first = (str(error).splitlines() or [""])[0]
            answer = {"unavailable": f"failed: {type(error).__name__}: {first}"[:200]}
        replies.write(json.dumps(answer) + "\n")
    if worker is not None:
        worker.forget()
    os._exit(0)  # libraries take seconds to unload


if __name__ == "__main__":
    main()
