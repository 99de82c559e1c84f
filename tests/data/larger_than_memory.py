"""Train, resume, score and audit on data of three times the memory that is left.

``python -m tests.data.larger_than_memory FILE FOLDER MEGABYTES`` limits this process to so many
megabytes more than it has after a small training, so that what is counted is what the data take.
The limit is RLIMIT_DATA (``ulimit -d``), on all memory that is not mapped from a file; without
FOLDER, the data are read into memory.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

import numpy as np
import torch

from pyro_vae import VAE, as_dataset, evaluate, fit, load_data
from pyro_vae.data import chunks
from pyro_vae.experiment.run import audit_of
from pyro_vae.objectives import ELBO
from pyro_vae.training import amortization

SIZE = 128
NET = {"kind": "mlp", "hidden": [8]}


def in_use():
    """Megabytes of this process that the limit counts."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmData:")) // 1024


def use(data):
    """Scores of a short training, resumed half way."""
    torch.manual_seed(0)
    vae = VAE(data.event_shape, 2, encoder=NET, decoder=NET)
    how = {"batch_size": 2000, "step": "pyro", "show_progress": False}
    half = fit(vae, data, epochs=1, **how)
    whole = fit(vae, data, epochs=2, resume=half, **how)
    scores = evaluate(vae, data, show_progress=False)
    few = evaluate(vae, data, nll=2, data_count=10, show_progress=False)
    audit = audit_of(vae, data, ELBO(), count=1, particles=100)
    return {
        "identity": str(data.identity),
        "validation_elbo": whole.history[-1]["validation_elbo"],
        "elbo": scores.elbo.value,
        "nll": few.nll.value,
        "audit": audit.passed,
    }


def main(path, folder, megabytes):
    chunks.VALUES, amortization.STARTING = 2**17, 2**18
    noise = np.random.default_rng(1).normal(size=(5000, SIZE)).astype(np.float32)
    use(as_dataset(noise))
    if megabytes:
        limit = (in_use() + megabytes) * 2**20
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    declared = {"kind": "array", "path": path} | ({"stream": folder} if folder else {})
    print(json.dumps(use(load_data(declared))))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
