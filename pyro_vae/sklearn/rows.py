"""Rows of a table as scikit-learn's estimators hand them over, and as a model takes them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import validate_data
from torch import Tensor

from pyro_vae.core.modes import isolated_copy
from pyro_vae.evidence.imputation import impute
from pyro_vae.networks.lookup import keys_of
from pyro_vae.vae import VAE

__all__ = ["Numbers", "as_events", "completed", "flat", "seed_from", "valid"]

Numbers = np.ndarray[Any, Any]


def valid(estimator: Any, X: Any, **how: Any) -> Any:
    """Data by scikit-learn's checks, with NaN if the estimator's ``missing`` allows it.

    Raises:
        ValueError: if ``X`` is not an array, table or sparse matrix of numbers, ``(N, features)``.
    """
    try:
        return validate_data(
            estimator, X, accept_sparse="csr", dtype=[np.float64, np.float32],
            ensure_all_finite=estimator.missing == "none" or "allow-nan", **how,
        )  # fmt: skip
    except ValueError as error:
        if "contains NaN" not in str(error):
            raise
        raise ValueError(
            "Input X contains NaN. Declare that it means a missing value, with "
            "VAEEstimator(missing='zero_and_mask'), or fill it in first, by a VAEImputer"
        ) from None


def as_events(X: Any, vae: VAE) -> Any:
    """``X`` with the event's shape; as it is where that has one dimension."""
    return X if len(vae.event_shape) == 1 else _dense(X).reshape(-1, *vae.event_shape)


def flat(x: Tensor) -> Numbers:
    """A model's values ``(N, *event_shape)`` as an array ``(N, features)``."""
    return x.flatten(1).cpu().double().numpy()


def seed_from(generator: Any) -> int:
    """A seed that a ``RandomState`` draws."""
    return int(generator.randint(2**31 - 1))


def completed(vae: VAE, X: Any, samples: int, generator: Any = None) -> Numbers:
    """``X``, ``(N, features)``, with its missing values filled in, as float64.

    Args:
        vae: The model.
        X: An array or a sparse matrix with NaN, in its own units.
        samples: Importance samples for each row.
        generator: A ``RandomState`` by which each missing value is a draw from
            p(x_missing | x_seen); None for its mean, by draws that depend on the row alone, so
            that it is the same in any batch.
    """
    filled = np.array(_dense(X), dtype=np.float64)
    gaps = np.flatnonzero(np.isnan(filled).any(1))
    if not len(gaps):
        return filled
    if generator is None:
        batches = gaps[:, None]
        seeds = (keys_of(torch.from_numpy(filled[gaps])) % 2**32).tolist()
    else:
        batches, seeds = gaps[None], [seed_from(generator)]
    draws = 0 if generator is None else 1
    with isolated_copy(vae, torch.float64, 0) as model:
        for rows, seed in zip(batches, seeds, strict=True):
            x = filled[rows].reshape(-1, *vae.event_shape)
            found = impute(model, x, draws=draws, samples=samples, seed=seed)
            filled[rows] = (found.draws[0] if draws else found.mean).reshape(len(rows), -1)
    return filled


def _dense(X: Any) -> Any:
    return X.toarray() if hasattr(X, "toarray") else X
