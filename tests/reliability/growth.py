"""What a long-lived process may not do: grow."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pyro
import torch

from pyro_vae import VAE, as_dataset, evaluate, fit

NET = {"kind": "mlp", "hidden": [4]}
MOST = 16.0  # MB: 10,000 epochs' records, and what the allocator keeps at first
QUIET = {"show_progress": False, "batch_size": 8, "step": "pyro"}


def resident():
    """The memory of this process, in MB."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def some_data():
    x = torch.randn(12, 3, generator=torch.Generator().manual_seed(0))
    return as_dataset(x, validation=2, test=2)


def a_vae():
    return VAE((3,), 2, encoder=NET, decoder=NET)


def of_epochs(count, warm=500):
    """Growth in MB, and in entries of Pyro's store, from epoch ``warm`` to the end of one fit."""
    seen = []

    def look(result):
        if len(result.history) in (warm, count):
            seen.append((resident(), len(pyro.get_param_store())))

    fit(a_vae(), some_data(), epochs=count, on_epoch=look, **QUIET)
    (before, entries), (after, left) = seen
    return after - before, left - entries


def of_models(count, warm=100):
    """The same, from model number ``warm`` to the last, each trained, scored and forgotten."""
    seen = []
    for number in range(1, count + 1):
        vae = a_vae()
        fit(vae, some_data(), epochs=1, **QUIET)
        evaluate(vae, some_data(), show_progress=False)
        del vae
        if number in (warm, count):
            seen.append((resident(), len(pyro.get_param_store())))
    (before, entries), (after, left) = seen
    return after - before, left - entries
