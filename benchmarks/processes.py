"""A training step by one process and by two: ``python -m benchmarks.processes``.

Milliseconds a step of Pyro's ``Trace_ELBO`` on made-up pictures, one thread a process, gloo; the
medians of the epochs but the first. The first process's CPU time is what its share costs it; on
a machine that does nothing else, the time by the clock is that and waiting.
"""

from __future__ import annotations

import os
import socket
import statistics
import time
from itertools import pairwise
from typing import Any

import torch
import torch.multiprocessing

from pyro_vae import VAE, as_dataset, fit
from pyro_vae.report.table import Table

STEPS, EPOCHS = 20, 6
MLP, CONV = {"kind": "mlp", "hidden": [400]}, {"kind": "conv"}
MODELS = [
    ("MLP, 784-400-20", MLP, 128), ("MLP, 784-400-20", MLP, 1000), ("convolutions", CONV, 128),
]  # fmt: skip


def train(rank: int, size: int, port: int, network: Any, batch: int, results: Any) -> None:
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(size)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    torch.manual_seed(0)
    data = as_dataset(torch.rand(STEPS * batch, 1, 28, 28).round(), validation=0, test=0)
    vae = VAE((1, 28, 28), 20, likelihood="bernoulli", encoder=network, decoder=network)
    clocks: list[tuple[float, float]] = []
    fit(
        vae, data, epochs=EPOCHS, batch_size=batch, step="pyro", show_progress=False,
        on_epoch=lambda result: clocks.append((time.perf_counter(), time.process_time())),
    )  # fmt: skip
    if rank == 0:
        each = [[b - a for a, b in zip(*pair, strict=True)] for pair in pairwise(clocks)]
        results.put([statistics.median(kind) / STEPS * 1e3 for kind in zip(*each, strict=True)])


def measured(size: int, network: Any, batch: int) -> list[float]:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    results = torch.multiprocessing.get_context("spawn").SimpleQueue()
    torch.multiprocessing.spawn(train, (size, port, network, batch, results), size)
    found_times: list[float] = results.get()
    return found_times


def main() -> None:
    table = Table(
        "Processes", ["model", "batch", "one: ms", "two: ms", "one: CPU ms", "two: CPU ms, each"]
    )
    for name, network, batch in MODELS:
        one, two = (measured(size, network, batch) for size in (1, 2))
        times = (one[0], two[0], one[1], two[1])
        table.add(name, str(batch), *(f"{value:.1f}" for value in times))
    print(table.markdown())


if __name__ == "__main__":
    main()
