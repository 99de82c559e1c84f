"""A training step by one process and by two: ``python -m benchmarks.processes``.

Prints the table of docs/processes.md: milliseconds a step of Pyro's ``Trace_ELBO``, batches of
128 of made-up pictures, one thread a process, gloo; the median of the epochs but the first.
"""

from __future__ import annotations

import os
import socket
import statistics
from typing import Any

import torch
import torch.multiprocessing

from pyro_vae import VAE, as_dataset, fit
from pyro_vae.report.table import Table

STEPS, BATCH, EPOCHS = 20, 128, 6
MODELS: dict[str, dict[str, Any]] = {
    "MLP, 784-400-20": {"kind": "mlp", "hidden": [400]},
    "convolutions, 28 x 28": {"kind": "conv"},
}


def train(rank: int, size: int, port: int, network: dict[str, Any], results: Any) -> None:
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(size)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    torch.manual_seed(0)
    data = as_dataset(torch.rand(STEPS * BATCH, 1, 28, 28), validation=0, test=0)
    vae = VAE((1, 28, 28), 20, likelihood="bernoulli", encoder=network, decoder=network)
    options: dict[str, Any] = {"step": "pyro", "show_progress": False}
    result = fit(vae, data.to("cpu"), epochs=EPOCHS, batch_size=BATCH, **options)
    if rank == 0:
        each = [record["seconds"] / STEPS for record in result.history[1:]]
        results.put(statistics.median(each) * 1e3)


def measured(size: int, network: dict[str, Any]) -> float:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    results = torch.multiprocessing.get_context("spawn").SimpleQueue()
    torch.multiprocessing.spawn(train, (size, port, network, results), size)
    value: float = results.get()
    return value


def main() -> None:
    table = Table("Processes", ["model", "one process, ms", "two processes, ms"])
    for name, network in MODELS.items():
        table.add(name, *(f"{measured(size, network):.1f}" for size in (1, 2)))
    print(table.markdown())


if __name__ == "__main__":
    main()
