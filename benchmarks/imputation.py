"""Tables with gaps, filled in beside scikit-learn's imputers: ``python -m benchmarks.imputation``.

30% of the cells of three of scikit-learn's tables are removed: completely at random, or not at
random (a number above its column's median is removed three times as often as one below it).
A VAE of the table, by ``VAE.for_table``, and each imputer are fitted to what is left, and fill it
in; where it is not at random, also a VAE with a missing model. Prints the table of
docs/missing_values.md.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn import datasets
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer

from pyro_vae import VAE, as_dataset, conditional, fit, impute

SHARE, SAMPLES = 0.3, 1000
TABLES = ("breast_cancer", "wine", "diabetes")
IMPUTERS = {
    "mean": SimpleImputer,
    "KNNImputer": KNNImputer,
    "IterativeImputer": lambda: IterativeImputer(max_iter=30, random_state=0),
}
VAES: dict[str, Any] = {
    "VAE": None,
    "VAE, self_masking": "self_masking",
    "VAE, self_masking, high": {"kind": "self_masking", "direction": "high"},
}
MODEL: dict[str, Any] = {
    "latent_dim": 8,
    "decoder": {"kind": "mlp", "hidden": [64], "activation": "tanh"},
    "encoder": {"kind": "mlp", "hidden": [128]},
}
TRAIN: dict[str, Any] = {
    "objective": {"kind": "iwae", "particles": 10}, "epochs": 60, "batch_size": 64, "lr": 3e-3,
    "schedule": "cosine", "step": "pyro",
}  # fmt: skip


def read(name: str) -> pd.DataFrame:
    """One of scikit-learn's tables, with its class as a column of categories."""
    bunch = getattr(datasets, f"load_{name}")(as_frame=True)
    table = bunch.data.astype(float)
    if "target_names" in bunch:
        table["class"] = pd.Categorical.from_codes(bunch.target, [*map(str, bunch.target_names)])
    return table


def removed(table: pd.DataFrame, how: str, seed: int = 0) -> np.ndarray[Any, Any]:
    """Where a cell is removed, ``(N, columns)``; something is left of every row."""
    rng = np.random.default_rng(seed)
    chance = np.full(table.shape, SHARE)
    if how == "not at random":
        numbers = table.select_dtypes("number")
        high = (numbers > numbers.median()).to_numpy()
        chance[:, : numbers.shape[1]] = np.where(high, 1.5 * SHARE, 0.5 * SHARE)
    lost = rng.random(table.shape) < chance
    lost[lost.all(1), 0] = False
    return lost


def by_imputer(make: Callable[[], Any], gaps: pd.DataFrame) -> pd.DataFrame:
    """What one of scikit-learn's imputers fills in: z-scores, and all categories but the first."""
    numbers = gaps.select_dtypes("number")
    mean, scale = numbers.mean(), numbers.std(ddof=0)
    x = ((numbers - mean) / scale).to_numpy()
    if "class" in gaps:
        known = pd.get_dummies(gaps["class"], drop_first=True, dtype=float)
        x = np.hstack([x, known.mask(gaps["class"].isna()).to_numpy()])
    filled = make().fit_transform(x)
    table = pd.DataFrame(filled[:, : len(mean)], columns=numbers.columns) * scale + mean
    if "class" in gaps:
        rest = filled[:, len(mean) :]
        codes = np.hstack([1 - rest.sum(1, keepdims=True), rest]).argmax(1)
        table["class"] = pd.Categorical.from_codes(codes, gaps["class"].cat.categories)
    return table


def by_vae(
    gaps: pd.DataFrame, table: pd.DataFrame, missing_model: Any = None
) -> tuple[pd.DataFrame, str]:
    """What a VAE fills in, and its log-density of what was removed, in nats per cell."""
    torch.manual_seed(0)
    vae = VAE.for_table(gaps, missing_model=missing_model, **MODEL)
    data = as_dataset(gaps, standardize=vae.standardization, missing="keep", test=0, validation=0)
    fit(vae, data, show_progress=False, **TRAIN)
    found = conditional(vae, table, gaps.notna(), samples=SAMPLES)
    cells = int(gaps.isna().to_numpy().sum())
    assert vae.standardization is not None
    total = found.log_prob.sum().item() + rescaled(table, gaps, vae.standardization.scale.numpy())
    return impute(vae, gaps, samples=SAMPLES).mean, f"{total / cells:.2f}"


def rescaled(table: pd.DataFrame, gaps: pd.DataFrame, scale: np.ndarray[Any, Any]) -> float:
    """What makes a density in these scales one in the complete table's standard deviations."""
    numbers = table.select_dtypes("number")
    lost = gaps[numbers.columns].isna().to_numpy().sum(0)
    deviation = numbers.std(ddof=0).to_numpy()
    return float((lost * np.log(deviation / scale[: len(deviation)])).sum())


def independent(gaps: pd.DataFrame, table: pd.DataFrame) -> str:
    """The log-density of independent columns: normals of z-scores, and shares of the classes."""
    lost = gaps.isna()
    numbers = gaps.select_dtypes("number")
    scale = numbers.std(ddof=0)
    z = (table[numbers.columns] - numbers.mean()) / scale
    log = rescaled(table, gaps, scale.to_numpy())
    log += (-0.5 * (z**2 + np.log(2 * np.pi))).where(lost[numbers.columns]).sum().sum()
    if "class" in gaps:
        shares = gaps["class"].value_counts(normalize=True)
        log += np.log(table["class"][lost["class"]].map(shares).astype(float)).sum()
    return f"{log / lost.to_numpy().sum():.2f}"


def error(filled: pd.DataFrame, table: pd.DataFrame, lost: np.ndarray[Any, Any]) -> list[str]:
    """Root mean squared error in standard deviations, and share of the classes that are right."""
    numbers = table.select_dtypes("number")
    z = ((filled[numbers.columns] - numbers) / numbers.std(ddof=0)).to_numpy()
    rmse = np.sqrt(np.square(z[lost[:, : numbers.shape[1]]]).mean())
    if "class" not in table:
        return [f"{rmse:.3f}", "-"]
    right = filled["class"].astype(str) == table["class"].astype(str)
    return [f"{rmse:.3f}", f"{right[lost[:, -1]].mean():.2f}"]


def main() -> None:
    """Print the table, row by row."""
    warnings.filterwarnings("ignore", "\\[IterativeImputer\\] Early stopping")
    print("| table | removed | method | RMSE | accuracy | log p per cell | seconds |")
    print("| :-- | :-- | :-- | --: | --: | --: | --: |", flush=True)
    for name in TABLES:
        table = read(name)
        for how in ("at random", "not at random"):
            lost = removed(table, how)
            gaps = table.mask(lost).astype(table.dtypes)
            vaes = list(VAES)[: None if how == "not at random" else 1]
            for method in (*IMPUTERS, *vaes):
                began, density = time.perf_counter(), "-"
                if method in IMPUTERS:
                    filled = by_imputer(IMPUTERS[method], gaps)
                    density = independent(gaps, table) if method == "mean" else density
                else:
                    filled, density = by_vae(gaps, table, VAES[method])
                seconds = f"{time.perf_counter() - began:.1f}"
                row = [name, how, method, *error(filled, table, lost), density, seconds]
                print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
