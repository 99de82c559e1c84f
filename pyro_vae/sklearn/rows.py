"""Rows of a table as scikit-learn's estimators hand them over, and as a model takes them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import validate_data
from torch import Tensor

from pyro_vae.core.modes import isolated_copy
from pyro_vae.data.standardization import log_scale
from pyro_vae.data.support import check_values
from pyro_vae.evidence.estimate import LogMean
from pyro_vae.evidence.importance import log_weights
from pyro_vae.evidence.imputation import impute
from pyro_vae.networks.lookup import keys_of
from pyro_vae.vae import VAE

__all__ = [
    "Numbers",
    "as_conditions",
    "as_events",
    "completed",
    "flat",
    "model_of",
    "scores_of",
    "seed_from",
    "valid",
]

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


def as_conditions(estimator: Any, given: Any, rows: int) -> Any:
    """Conditions of ``rows`` data as an array, if the estimator was declared with any.

    Raises:
        ValueError: if there are none, or superfluous ones, or they are no numbers.
    """
    if estimator.condition is None:
        if given is not None:
            raise ValueError(
                "condition: expected none, since the estimator was declared without; declare it, "
                "as VAEEstimator(condition={'kind': 'vector', 'size': 2}), or leave it out"
            )
        return None
    if given is None:
        raise ValueError(
            f"condition: expected one for each of the {rows} data, since the estimator was "
            f"declared with {estimator.condition}, got none; give condition=..., and in a "
            "Pipeline or a search enable metadata routing and request it: "
            "estimator.set_fit_request(condition=True).set_transform_request(condition=True)"
            ".set_score_request(condition=True)"
        )
    c = np.asarray(given)
    if c.dtype.kind not in "biuf":
        raise ValueError(f"condition: expected numbers, got values of type {c.dtype}; encode them")
    if not c.ndim or len(c) != rows:
        raise ValueError(
            f"condition: expected one for each of the {rows} data, got shape {c.shape}"
        )
    return c


@contextmanager
def model_of(
    estimator: Any, condition: Any, rows: int, seed: int = 0, *, validate: bool = True
) -> Iterator[VAE]:
    """A copy of an estimator's model in float64, given the conditions of so many data.

    Classes that may be missing are all missing where no condition is given.
    """
    summed = condition is None and estimator.vae_.with_missing().sums_out
    c = None if summed else as_conditions(estimator, condition, rows)
    with isolated_copy(estimator.vae_, torch.float64, seed, validate=validate) as vae:
        yield vae.given(c)


def scores_of(vae: VAE, X: Any, nll: int) -> Numbers:
    """log p(x) of each datum of ``X`` in its own units, by draws that depend on the datum alone.

    Args:
        vae: The model, in evaluation mode, given the data's conditions if it takes any.
        X: An array or a sparse matrix, ``(N, features)``.
        nll: Importance samples for each datum.
    """  # noqa: D403
    scores, scales = [], []
    for start in range(0, X.shape[0], 1000):
        x = vae.transform(as_events(X[start : start + 1000], vae))
        check_values(vae.likelihood, x)
        scales.append(log_scale(vae.standardization, x))
        for row, key in enumerate(keys_of(x).tolist()):
            torch.manual_seed(key)
            mean, datum = LogMean(), x[row : row + 1]
            given = vae.at(slice(start + row, start + row + 1))
            mean.add(log_weights(given, datum, given.each_class().encode(datum), nll))
            scores.append(mean.value.item())
    return np.array(scores) - torch.cat(scales).numpy()


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
            given = model.at(torch.as_tensor(rows))
            found = impute(given, x, draws=draws, samples=samples, seed=seed)
            filled[rows] = (found.draws[0] if draws else found.mean).reshape(len(rows), -1)
    return filled


def _dense(X: Any) -> Any:
    return X.toarray() if hasattr(X, "toarray") else X
