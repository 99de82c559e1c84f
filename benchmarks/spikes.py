"""Held-out neurons beside factor analysis: ``python -m benchmarks.spikes M1_REACH_FILE.npz``.

Two sessions of spike counts in macaque motor cortex (Dyer et al., 2017), in blocks of time. A
quarter of the neurons, drawn anew for each seed, is predicted from the others: by factor analysis
of log(1 + x) and a Poisson regression on its factors, whose number and penalty are those best on
the validation block, and by ``predict`` on a VAE that is trained on the data twice, with these
neurons and without. Prints the table of docs/spikes.md.
"""

from __future__ import annotations

import itertools
import sys
import time
from typing import Any

import numpy as np
import pyro
from numpy.typing import NDArray
from sklearn.decomposition import FactorAnalysis
from sklearn.linear_model import PoissonRegressor

from pyro_vae import VAE, as_dataset, bits_per_spike, fit, predict

Counts = NDArray[np.float64]
SEEDS, EPOCHS = 4, 100
FACTORS, PENALTIES = (4, 8, 12, 16), (0.01, 0.1, 1.0)
NET = {"kind": "mlp", "hidden": [64]}


def by_factors(train: Counts, others: list[Counts], hidden: NDArray[Any]) -> list[Counts]:
    """Expected counts of the hidden neurons, for each of the other blocks; the first chooses."""
    found = {}
    for factors, penalty in itertools.product(FACTORS, PENALTIES):
        seen = [np.log1p(np.delete(x, hidden, 1)) for x in (train, *others)]
        model = FactorAnalysis(factors, random_state=0).fit(seen[0])
        first, *rest = map(model.transform, seen)
        means = [
            PoissonRegressor(alpha=penalty, max_iter=500).fit(first, train[:, d]) for d in hidden
        ]
        rates = [np.stack([mean.predict(z) for mean in means], 1) for z in rest]
        rates = [rate.clip(0.5 / len(train)) for rate in rates]  # of a silent neuron it is 0
        chosen = bits_per_spike(rates[0], others[0][:, hidden], train[:, hidden]).value
        found[chosen] = rates
    return found[max(found)]


def by_vae(train: Counts, others: list[Counts], hidden: NDArray[Any], seed: int) -> list[Any]:
    """The same by a VAE."""
    pyro.set_rng_seed(seed)
    without = train.copy()
    without[:, hidden] = np.nan
    vae = VAE((train.shape[1],), latent_dim=8, decoder=NET, encoder=NET | {"input": "log1p"},
              likelihood={"kind": "poisson", "offset": "data_mean"},
              missing="zero_and_mask")  # fmt: skip
    twice = as_dataset(np.concatenate([train, without]), validation=0, test=0, missing="keep")
    fit(vae, twice, epochs=EPOCHS, batch_size=64, lr=2e-3, seed=seed, show_progress=False)
    return [predict(vae, x, hidden, samples=500).mean for x in others]


def main(path: str) -> None:
    """Print the table, row by row."""
    print("| session | bins x neurons | method | bits per spike | seconds |")
    print("| :-- | :-- | :-- | --: | --: |", flush=True)
    with np.load(path) as file:
        sessions = {name: file[f"counts_{name}"].astype(float) for name in "ab"}
    for name, counts in sessions.items():
        train, *others = (s.x.numpy() for s in as_dataset(counts, split="blocks").splits.values())
        scores: dict[str, list[float]] = {"factor analysis, Poisson regression": [], "VAE": []}
        seconds = dict.fromkeys(scores, 0.0)
        for seed in range(SEEDS):
            neurons = np.random.default_rng(seed).permutation(counts.shape[1])
            hidden = np.sort(neurons[: counts.shape[1] // 4])
            for method, found in scores.items():
                began = time.perf_counter()
                given = (train, others, hidden)
                rates = by_vae(*given, seed) if method == "VAE" else by_factors(*given)
                bits = bits_per_spike(rates[1], others[1][:, hidden], train[:, hidden])
                found.append(bits.value)
                seconds[method] += (time.perf_counter() - began) / SEEDS
        first, second = scores.values()
        scores["VAE less factor analysis"] = [b - a for a, b in zip(first, second, strict=True)]
        for method, found in scores.items():
            error = np.std(found, ddof=1) / np.sqrt(SEEDS)
            sign = "+" if "less" in method else ""
            row = [name, f"{counts.shape[0]} x {counts.shape[1]}", method,
                   f"{np.mean(found):{sign}.3f} ± {error:.3f}",
                   f"{seconds[method]:.1f}" if method in seconds else ""]  # fmt: skip
            print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
