"""Held-out neurons and hand velocity: ``python -m benchmarks.spikes M1_REACH_FILE.npz [ab]``.

Two sessions of spike counts in macaque motor cortex (Dyer et al., 2017), in blocks of time. A
quarter of the neurons, drawn anew for each seed, is predicted from the others. The velocity of the
hand is decoded from the codes of all neurons by ridge regression, once from those of the same bin
and once from those of two bins before and after it too. Factor analysis of log(1 + x) and NMF of
the counts, under its Poisson (Kullback-Leibler) loss, are chosen by the validation block: their
number of factors, and the penalty of a Poisson regression from the factors to each hidden neuron.
The VAEs are trained on the data twice, with the hidden neurons and without; their settings are the
same for both sessions. Prints the table of docs/spikes.md.
"""

from __future__ import annotations

import itertools
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyro
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from sklearn.decomposition import NMF, FactorAnalysis
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import PoissonRegressor, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pyro_vae import VAE, as_dataset, bits_per_spike, fit, predict

Numbers = NDArray[np.float64]
Blocks = Sequence[Numbers]  # to train on, to validate and to test
Found = tuple[Numbers, list[Blocks]]  # rates of hidden neurons in the test block; candidate codes

SEEDS, LAGS = 4, (0, 2)
FACTORS, PENALTIES, RIDGES = (4, 8, 16, 32), (0.01, 0.1, 1.0), 10.0 ** np.arange(-2, 5)
WINDOW, FUNCTIONS = 8, 32
COMMON = {"likelihood": {"kind": "poisson", "offset": "data_mean"}, "missing": "zero_and_mask"}


def by_factors(make: Callable[[int], Any], seen_as: Callable[[Numbers], Numbers]) -> Any:
    """A method: factors, and from them a Poisson regression for each hidden neuron."""

    def method(blocks: Blocks, hidden: NDArray[Any], seed: int) -> Found:
        train, validation, _ = blocks
        found = {}
        for factors in FACTORS:
            seen = [seen_as(np.delete(x, hidden, 1)) for x in blocks]
            model = make(factors).fit(seen[0])
            first, *rest = map(model.transform, seen)
            for penalty in PENALTIES:
                rates = [np.empty((len(z), len(hidden))) for z in rest]
                for i, d in enumerate(hidden):
                    mean = make_pipeline(
                        StandardScaler(), PoissonRegressor(alpha=penalty, max_iter=500)
                    )
                    if train[:, d].any():
                        mean.fit(first, train[:, d])
                    for rate, z in zip(rates, rest, strict=True):
                        known = mean.predict(z) if train[:, d].any() else np.zeros(len(z))
                        rate[:, i] = known.clip(0.5 / len(train))
                found[bits(rates[0], validation, train, hidden)] = rates[1]
        models = [make(factors).fit(seen_as(train)) for factors in FACTORS]
        codes = [[model.transform(seen_as(x)) for x in blocks] for model in models]
        return found[max(found)], codes

    return method


def by_bin(blocks: Blocks, hidden: NDArray[Any], seed: int) -> Found:
    """A VAE of 8 codes that sees each bin alone."""
    net = {"kind": "mlp", "hidden": [64]}
    vae = VAE((blocks[0].shape[1],), latent_dim=8, decoder=net, encoder=net | {"input": "log1p"},
              **COMMON)  # fmt: skip
    _fitted(vae, blocks[0], hidden, seed, epochs=100, batch_size=64, lr=2e-3)
    rates = predict(vae, blocks[2], hidden, samples=500).mean
    return rates, [[vae.encode(x).mean.detach().numpy() for x in blocks]]


def over_time(blocks: Blocks, hidden: NDArray[Any], seed: int) -> Found:
    """A VAE of 32 Gaussian processes over windows of 8 bins."""
    net = {"kind": "temporal_conv", "activation": "elu"}
    shape = (blocks[0].shape[1], WINDOW)
    vae = VAE(shape, latent_dim=FUNCTIONS * WINDOW, prior="gaussian_process",
              decoder=net | {"channels": [64], "width": 1},
              encoder=net | {"channels": [64, 64], "input": "log1p"}, **COMMON)  # fmt: skip
    objective = {"kind": "elbo", "kl": "exact", "warm_up": 3}
    _fitted(vae, windows(blocks[0]), hidden, seed, epochs=15, batch_size=32, lr=3e-3,
            schedule="cosine", objective=objective)  # fmt: skip
    test = windows(blocks[2])
    test[:, hidden] = np.nan
    with torch.no_grad():  # so many codes have no useful importance weights: q as it is
        z = vae.encode(test).sample(torch.Size([100]))
        expected = torch.stack([vae.decode(draw).mean for draw in z]).mean(0)
        codes = [vae.encode(windows(x)).mean.reshape(-1, FUNCTIONS, WINDOW) for x in blocks]
    return averaged(expected)[:, hidden], [[averaged(z) for z in codes]]


def _fitted(vae: VAE, x: Numbers, hidden: NDArray[Any], seed: int, **how: Any) -> None:
    without = x.copy()
    without[:, hidden] = np.nan
    twice = as_dataset(np.concatenate([x, without]), validation=0, test=0, missing="keep")
    fit(vae, twice, seed=seed, step="pyro", show_progress=False, **how)


def windows(x: Numbers) -> Numbers:
    """Every window of a block, ``(W, neurons, WINDOW)``."""
    return sliding_window_view(x, WINDOW, 0).copy()


def averaged(values: torch.Tensor) -> Numbers:
    """Each bin's mean over the windows it is in, ``(bins, channels)``; its middle counts most."""
    weight = np.bartlett(WINDOW + 2)[1:-1]
    total = np.zeros((len(values) + WINDOW - 1, values.shape[1] + 1))
    for i, one in enumerate(values.double().numpy()):
        total[i : i + WINDOW] += (np.vstack([one, np.ones(WINDOW)]) * weight).T
    return total[:, :-1] / total[:, -1:]


def bits(rates: Numbers, x: Numbers, train: Numbers, hidden: NDArray[Any]) -> float:
    """Bits per spike of the hidden neurons."""
    return bits_per_spike(rates, x[:, hidden], train[:, hidden]).value


def velocity(candidates: list[Blocks], speeds: Blocks, lag: int) -> float:
    """R^2 on the test block of ridge regression, its penalty and codes chosen by validation."""
    best = (-np.inf, 0.0)
    for codes, penalty in itertools.product(candidates, RIDGES):
        around = [_around(z, lag) for z in codes]
        ridge = make_pipeline(StandardScaler(), Ridge(penalty)).fit(around[0], speeds[0])
        scores = (ridge.score(z, v) for z, v in zip(around[1:], speeds[1:], strict=True))
        best = max(best, tuple(scores))
    return best[1]


def _around(z: Numbers, lag: int) -> Numbers:
    """The codes of the bins up to ``lag`` away, those of the block's ends in place of others."""
    rows = np.arange(len(z))[:, None] + np.arange(-lag, lag + 1)
    return z[rows.clip(0, len(z) - 1)].reshape(len(z), -1)


METHODS = {
    "factor analysis": by_factors(lambda k: FactorAnalysis(k, random_state=0), np.log1p),
    "KL-NMF": by_factors(
        lambda k: NMF(k, solver="mu", beta_loss="kullback-leibler", init="nndsvda", max_iter=500),
        np.asarray,
    ),
    "VAE, each bin alone": by_bin,
    "VAE over time": over_time,
}


def main(path: str, sessions: str = "ab") -> None:
    """Print the table, row by row."""
    warnings.simplefilter("ignore", ConvergenceWarning)  # NMF's last digits
    columns = ["bits per spike", *(f"velocity R^2, ±{lag} bins" for lag in LAGS), "seconds"]
    print(f"| session | method | {' | '.join(columns)} |\n| :-- | :-- {'| --: ' * len(columns)}|")
    for name in sessions:
        with np.load(path) as file:
            counts, speed = (file[f"{kind}_{name}"].astype(float) for kind in ("counts", "vel"))
        splits = as_dataset(counts, split="blocks").splits.values()
        blocks = [split.x.double().numpy() for split in splits]
        speeds = [speed[split.rows] for split in splits]
        scores: dict[str, NDArray[Any]] = {}
        for method, run in METHODS.items():
            rows = []
            for seed in range(SEEDS):
                neurons = np.random.default_rng(seed).permutation(counts.shape[1])
                hidden = np.sort(neurons[: counts.shape[1] // 4])
                pyro.set_rng_seed(seed)
                began = time.perf_counter()
                rates, codes = run(blocks, hidden, seed)
                row = [bits(rates, blocks[2], blocks[0], hidden)]
                row += [velocity(codes, speeds, lag) for lag in LAGS]
                rows.append([*row, time.perf_counter() - began])
            scores[method] = np.array(rows)
            print(_row(name, method, scores[method]), flush=True)
        first, second, _, ours = scores.values()
        better = np.where(first.mean(0) > second.mean(0), first, second)
        print(_row(name, "VAE over time less the better of the first two", ours - better, "+"))


def _row(session: str, method: str, scores: NDArray[Any], sign: str = "") -> str:
    """Means and standard errors over the seeds; an error of 0 is left out."""
    errors = scores.std(0, ddof=1) / np.sqrt(len(scores))
    cells = [
        f"{mean:{sign}.3f}" + (f" ± {error:.3f}" if error > 1e-9 else "")
        for mean, error in zip(scores.mean(0)[:-1], errors, strict=False)
    ]
    seconds = "" if sign else f"{scores[:, -1].mean():.0f}"
    return f"| {' | '.join([session, method, *cells, seconds])} |"


if __name__ == "__main__":
    main(*sys.argv[1:])
