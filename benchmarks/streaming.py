"""An epoch on data in memory and on data that stream: ``python -m benchmarks.streaming``.

Made-up pictures, one thread, Pyro's step; CPU seconds of the fastest epoch, in turns. The file is
in the system's cache: what is not there waits for the disk besides.
"""

from __future__ import annotations

import tempfile
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

from pyro_vae import VAE, fit, load_data
from pyro_vae.data import DataSet
from pyro_vae.report.table import Table

ROWS, BATCH, ROUNDS, EPOCHS = 20_000, 128, 2, 3
SHAPES = {"MLP, 784-400-20": (1, 28, 28), "MLP, 3072-400-20": (3, 32, 32)}
NETWORK = {"kind": "mlp", "hidden": [400]}


def epoch(data: DataSet) -> float:
    """CPU seconds of the fastest epoch of a training."""
    torch.manual_seed(0)
    vae = VAE(data.event_shape, 20, likelihood="bernoulli", encoder=NETWORK, decoder=NETWORK)
    clock: list[float] = []
    fit(
        vae, data, epochs=EPOCHS, batch_size=BATCH, step="pyro", show_progress=False,
        on_epoch=lambda result: clock.append(time.process_time()),
    )  # fmt: skip
    return min(after - before for before, after in pairwise(clock))


def main() -> None:
    table = Table(
        "Streaming",
        ["model", "data: MB", "written: CPU s", "in memory: CPU s", "streamed: CPU s"],
    )
    torch.set_num_threads(1)
    for name, shape in SHAPES.items():
        with tempfile.TemporaryDirectory(dir=".") as folder:  # /tmp may be memory
            path = Path(folder, "x.npy")
            x = np.random.default_rng(0).integers(0, 2, (ROWS, *shape), np.uint8)
            np.save(path, x.astype(np.float32))
            declared = {"kind": "array", "path": path, "test": 0, "validation": 0}
            began = time.process_time()
            stream = load_data(declared | {"stream": f"{folder}/stream"})
            written = time.process_time() - began
            memory = load_data(declared)
            times = [(epoch(memory), epoch(stream)) for _ in range(ROUNDS)]
            one, other = (min(each) for each in zip(*times, strict=True))
            megabytes = path.stat().st_size / 1e6
        table.add(name, f"{megabytes:.0f}", *(f"{t:.2f}" for t in (written, one, other)))
    print(table.markdown())


if __name__ == "__main__":
    main()
