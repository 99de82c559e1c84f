"""A process that trains what it is told to: ``python -m benchmarks.worker GROUP DEVICE``.

It reads a request a line from standard input, as JSON, and answers each with a line. Its thread
count is the environment's, which is set before any library is imported.
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
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.contenders.training import Rows, Training, Unavailable
from benchmarks.data import first_weights
from benchmarks.sizes import Size

__all__ = ["THREADS", "main"]

THREADS = "OMP_NUM_THREADS"
MEGABYTE = 2**20


@dataclass
class Bench:
    """A contender at work, and the rows that its batches are drawn from."""

    training: Training
    size: Size
    rows: int
    random: np.random.Generator

    def chunk(self) -> Rows:
        """The rows of the next chunk's batches, ``(K, B)``, the same ones for every contender."""
        return self.random.integers(self.rows, size=(self.size.steps, self.size.batch))


class Worker:
    """Builds contenders of one group, and trains them."""

    def __init__(self, group: str, device: str) -> None:
        self.device = device
        self.benches: dict[str, Bench] = {}
        if group != "numpyro_svi":
            import torch

            torch.set_num_threads(int(os.environ[THREADS]))
        self.module = importlib.import_module(f"benchmarks.contenders.{group}")
        self.resident = _memory("VmRSS")

    def build(self, variant: str, size: dict[str, Any], data: str, seed: int) -> dict[str, Any]:
        """Build a contender; how many numbers it learns."""
        self._seed(seed)
        x = np.load(data)
        sized = Size.of(size)
        weights = first_weights(sized)
        began = time.perf_counter()
        training = self.module.build(variant, sized, x, weights, self.device)
        self.benches[variant] = Bench(training, sized, len(x), np.random.default_rng(seed))
        return {"parameters": training.parameters, "seconds": time.perf_counter() - began}

    def train(self, variant: str, chunks: int) -> dict[str, Any]:
        """Train for some chunks; what each took, and its losses."""
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
        """One pass over the data, in a fresh order."""
        bench = self.benches[variant]
        losses, seconds = bench.training.epoch(bench.random.permutation(bench.rows))
        return {"losses": losses.tolist(), "seconds": seconds}

    def profile(self, variant: str, chunks: int = 10) -> dict[str, Any]:
        """Where a step's time goes, once it is compiled."""
        from benchmarks.profile import profile

        bench = self.benches[variant]
        placed = [bench.training.place(bench.chunk()) for _ in range(chunks)]
        bench.training.train(placed[0])
        return profile(bench.training, placed, bench.size.steps, self.device)

    def ways(self, size: dict[str, Any]) -> dict[str, Any]:
        """The seconds that each product of a step takes in each way."""
        return {"products": self.module.ways(Size.of(size))}

    def reset_peak(self) -> dict[str, Any]:
        """Forget the most memory that was held so far, compiling included."""
        gc.collect()
        torch = sys.modules.get("torch")
        if self.device == "cuda" and torch is not None:
            torch.cuda.reset_peak_memory_stats()
        else:
            with suppress(OSError):
                Path("/proc/self/clear_refs").write_text("5")
        return {}

    def peak(self) -> dict[str, Any]:
        """The most memory held since, in MB, beyond what the imports hold; None if not known."""
        if self.device == "cuda":
            return {"megabytes": self._peak_of_the_device()}
        most = _memory("VmHWM")
        if most is None or self.resident is None:
            return {"megabytes": None}
        return {"megabytes": most - self.resident}

    def forget(self) -> dict[str, Any]:
        """Let go of every contender."""
        self.benches.clear()
        gc.collect()
        return {}

    def _peak_of_the_device(self) -> float | None:
        if "jax" in sys.modules:
            statistics = sys.modules["jax"].local_devices()[0].memory_stats() or {}
            most = statistics.get("peak_bytes_in_use")
        else:
            most = sys.modules["torch"].cuda.max_memory_allocated()
        return None if most is None else most / MEGABYTE

    def _seed(self, seed: int) -> None:
        np.random.seed(seed)
        if "torch" in sys.modules:
            sys.modules["torch"].manual_seed(seed)


def _memory(field: str) -> float | None:
    """A field of this process's status in MB, where the system is Linux."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) / 1024
    return None


def main() -> None:
    """Answer until the pipe is closed. What libraries print goes to standard error."""
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
    os._exit(0)  # with nothing left to do, without the seconds that libraries take to unload


if __name__ == "__main__":
    main()
