"""Codes and log-densities of new data, in the units that they come in."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyro
import torch
from torch import Tensor

from pyro_vae.core.errors import DataError, at_least
from pyro_vae.core.modes import evaluating
from pyro_vae.data.checks import AnyArray
from pyro_vae.data.standardization import log_scale
from pyro_vae.data.support import check_values
from pyro_vae.evidence.importance import importance_sampling
from pyro_vae.networks.lookup import Lookup
from pyro_vae.objectives.terms import elbo_terms_of_data
from pyro_vae.vae import VAE

__all__ = ["embed", "like", "log_densities", "score_samples"]


@torch.no_grad()
def embed(vae: VAE, X: AnyArray, *, batch_size: int = 1000) -> Any:
    """A code for each datum: the point estimate of z, usually the mean of q(z|x).

    Args:
        vae: The model.
        X: An array, sparse matrix or table ``(N, *event_shape)`` in the data's own units, which
            the model's standardization is applied to; or a tensor as a data set's splits hold it.
        batch_size: Data at a time; a sparse matrix is made dense by as many rows.

    Where classes are summed out, a code is that given the most probable class.

    Returns:
        The codes, a NumPy array ``(N, M)``; for a table, a DataFrame with its index and the
        columns ``z0``, ``z1``, ...

    Raises:
        DataError: if the data do not fit the model.
        IncompatibleComponents: if the likelihood gives a value no density.

    Example:
        >>> embed(VAE(event_shape=(4,), latent_dim=2), np.zeros((3, 4))).shape
        (3, 2)
    """
    with evaluating(vae):
        codes = [
            model.most_probable(x).point_estimate(x).cpu()
            for model, x in _batches(vae, X, batch_size)
        ]
    z = torch.cat(codes).numpy() if codes else np.empty((0, vae.latent_dim))
    if not np.isfinite(z).all():
        row = int(np.argwhere(~np.isfinite(z))[0, 0])
        raise DataError(
            f"x: expected data with a finite code, got NaN or infinity for row {row}; look at its "
            f"values, and at the encoder's weights"
        )
    return like(X, z, [f"z{m}" for m in range(vae.latent_dim)])


def score_samples(
    vae: VAE, X: AnyArray, nll: int = 50, *, seed: int = 0, batch_size: int = 1000
) -> Any:
    r"""The evidence of each datum, log p(x) in nats, by importance samples from q(z|x).

    It is the importance-weighted bound: too small in expectation, and the less so the more samples
    there are (:func:`~pyro_vae.importance_sampling`). A standardized model scores z-scores; their
    density becomes that of data in their own units by the logarithms of their scales:

    .. math:: \log p(x) = \log p(\text{z-scores}) - \sum_{d \text{ seen}} \log s_d

    Args:
        vae: The model.
        X: As :func:`embed` takes it. An array or a table is scored in its own units; a tensor as
            it is, like ``evaluate`` does.
        nll: Number of importance samples for each datum, at least 2.
        seed: Seed of the draws.
        batch_size: Rows of a sparse matrix that are made dense at a time.

    Returns:
        A NumPy array ``(N,)``; for a table, a Series with its index, named ``log_p``.

    Raises:
        DataError: if the data do not fit the model.
        IncompatibleComponents: if the likelihood gives a value no density.
        NonFiniteLoss: if a weight is NaN or infinite.

    References:
        | Importance weighted autoencoders (Burda et al., 2016), section 5
        | https://arxiv.org/abs/1509.00519

    Example:
        >>> score_samples(VAE(event_shape=(4,), latent_dim=2), np.zeros((3, 4))).shape
        (3,)
    """
    at_least(2, nll=nll)
    scores = log_densities(vae, X, nll, seed=seed, batch_size=batch_size)
    return like(X, scores, "log_p")


def log_densities(
    vae: VAE, X: AnyArray, samples: int, *, elbo: bool = False, seed: int = 0,
    batch_size: int = 1000,
) -> Any:  # fmt: skip
    """Estimates of log p(x), or the ELBO, of each datum: a NumPy array ``(N,)``.

    Of an array or a table in its own units, of a tensor as it is.
    """
    parts = []
    for n, (model, x) in enumerate(_batches(vae, X, batch_size)):
        if elbo:
            found = elbo_terms_of_data(model, x, particles=samples, seed=seed + n).elbo.cpu()
        else:
            found = importance_sampling(model, x, samples=samples, seed=seed + n).log_evidence
        own_units = not isinstance(X, Tensor)
        parts.append(found - log_scale(vae.standardization, x) if own_units else found)
    return torch.cat(parts).numpy() if parts else np.empty(0)


def _batches(vae: VAE, X: Any, size: int) -> Iterator[tuple[VAE, Tensor]]:
    """The data as the model sees them, on its device; a sparse matrix by ``size`` rows.

    With each the model, given the conditions of these data if it depends on a condition.
    """
    at_least(1, batch_size=size)
    if vae.batch:
        vae.check_count(X.shape[0])
    if "scipy.sparse" in sys.modules and sys.modules["scipy.sparse"].issparse(X):
        X = X.tocsr()
        parts = (vae.transform(X[start : start + size]) for start in range(0, X.shape[0], size))
    else:
        parts = iter(vae.rows(X if isinstance(X, Tensor) else vae.transform(X)).split(size))
    done = 0
    for x in parts:
        model = vae.at(slice(done, done + len(x)))
        done += len(x)
        if len(x):
            check_values(vae.likelihood, vae.rows(x))
            if isinstance(vae.encoder, Lookup):
                with pyro.validation_enabled(True):  # which refuses data without a row
                    model.encoder(x)
            yield model, x


def like(X: Any, values: Any, names: Any) -> Any:
    """The values as they are; for a table, one with its index."""
    pandas = sys.modules.get("pandas")
    if pandas is None or not isinstance(X, pandas.DataFrame):
        return values
    if isinstance(names, str):
        return pandas.Series(values, index=X.index, name=names)
    return pandas.DataFrame(values, index=X.index, columns=names)
