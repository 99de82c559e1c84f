"""Reads the parameters out of distributions whose exact structure is known.

A subclass is not taken for its base, since it may have another density: exactness is decided by
type, never assumed.
"""

from __future__ import annotations

import pyro.distributions as dist
import torch.distributions as torch_dist
from torch import Tensor
from torch.distributions import Distribution

__all__ = ["any_normal", "describe", "diagonal_normal", "full_normal"]

INDEPENDENT = (dist.Independent, torch_dist.Independent)
NORMAL = (dist.Normal, torch_dist.Normal)
MULTIVARIATE_NORMAL = (dist.MultivariateNormal, torch_dist.MultivariateNormal)


def diagonal_normal(d: Distribution) -> tuple[Tensor, Tensor] | None:
    """(loc, scale), each ``(*batch, M)``, if ``d`` is a normal with independent dimensions."""
    if not isinstance(d, torch_dist.Independent) or type(d) not in INDEPENDENT:
        return None
    base = d.base_dist
    known = d.reinterpreted_batch_ndims == 1 and type(base) in NORMAL
    return (base.loc, base.scale) if known else None


def full_normal(d: Distribution) -> tuple[Tensor, Tensor] | None:
    """(loc, Cholesky factor) if ``d`` is a normal with a full covariance."""
    if not isinstance(d, torch_dist.MultivariateNormal) or type(d) not in MULTIVARIATE_NORMAL:
        return None
    return d.loc, d.scale_tril


def any_normal(d: Distribution) -> tuple[Tensor, Tensor] | None:
    """(loc, Cholesky factor) if ``d`` is a normal with a full or a diagonal covariance."""
    diagonal = diagonal_normal(d)
    return full_normal(d) if diagonal is None else (diagonal[0], diagonal[1].diag_embed())


def describe(d: Distribution) -> str:
    """The structure of a distribution in words, for messages.

    Example:
        >>> import torch
        >>> describe(dist.Normal(torch.zeros(2), 1.0).to_event(1))
        'Independent(Normal, 1)'
    """
    if isinstance(d, torch_dist.Independent):
        return f"{type(d).__name__}({describe(d.base_dist)}, {d.reinterpreted_batch_ndims})"
    if isinstance(d, torch_dist.TransformedDistribution):
        steps = ", ".join(type(t).__name__ for t in d.transforms)
        return f"Transformed({describe(d.base_dist)}, [{steps}])"
    return type(d).__name__
