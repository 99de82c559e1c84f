"""The tail of importance weights, by ArviZ."""

from __future__ import annotations

import importlib
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyro_vae.core.errors import DataError

__all__ = ["arviz", "pareto_k"]

EQUAL = 1e-6  # difference of log-weights below which they have no tail


def arviz(name: str) -> Any:
    """A module of ArviZ's packages.

    Raises:
        DataError: naming the extra that brings it, where it is missing.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise DataError(
            f"Expected ArviZ's {name.partition('.')[0]}, got none that can be imported ({error}); "
            "install it: pip install 'pyro-vae[arviz]'"
        ) from None


def pareto_k(log_weights: Tensor) -> Tensor:
    """Pareto k-hat of each datum's importance weights, ``(N,)`` in float64 on the CPU.

    It is -inf where the largest fifth of the weights are equal, and inf where some of them are 0.

    Args:
        log_weights: ``(S, N)``, with S at least 25.

    References:
        | Pareto smoothed importance sampling (Vehtari et al., 2024)
        | https://arxiv.org/abs/1507.02646

    Example:
        >>> pareto_k(torch.zeros(100, 1))
        tensor([-inf], dtype=torch.float64)
    """
    psis = arviz("arviz_stats.base").array_stats.psislw
    weights = log_weights.double().cpu()
    top = weights.topk(max(len(weights) // 5, 1), dim=0).values
    found = torch.full(weights.shape[1:], -math.inf, dtype=torch.float64)
    tailed = top[0] - top[-1] > EQUAL
    if tailed.any():
        with np.errstate(divide="ignore", invalid="ignore"):
            found[tailed] = torch.as_tensor(psis(-weights[:, tailed].numpy(), axis=0)[1])
    return torch.where(found.isnan() | (top[-1] == -math.inf), math.inf, found)
