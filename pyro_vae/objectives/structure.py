"""Reads the parameters of distributions by their exact type.

A subclass is not treated as its base class, since its density may differ.
"""

from __future__ import annotations

import pyro.distributions as dist
import torch
import torch.distributions as torch_dist
from pyro.distributions.transforms.householder import ConditionedHouseholder
from torch import Tensor
from torch.distributions import Distribution

from pyro_vae.distributions.flow import Flow
from pyro_vae.distributions.power_spherical import PowerSpherical
from pyro_vae.distributions.uniform_sphere import UniformSphere

__all__ = [
    "describe",
    "diagonal_laplace",
    "diagonal_normal",
    "full_normal",
    "log_det",
    "power_spherical",
    "rooted_normal",
    "uniform_sphere",
]

INDEPENDENT = (dist.Independent, torch_dist.Independent)
NORMAL = (dist.Normal, torch_dist.Normal)
LAPLACE = (dist.Laplace, torch_dist.Laplace)
MULTIVARIATE_NORMAL = (dist.MultivariateNormal, torch_dist.MultivariateNormal)
LOW_RANK = (dist.LowRankMultivariateNormal, torch_dist.LowRankMultivariateNormal)


def diagonal_normal(d: Distribution) -> tuple[Tensor, Tensor] | None:
    """(loc, scale), each ``(*batch, M)``, if ``d`` is a normal with independent dimensions."""
    return _independent(d, NORMAL)


def diagonal_laplace(d: Distribution) -> tuple[Tensor, Tensor] | None:
    """(loc, scale), each ``(*batch, M)``, if ``d`` is a Laplace of independent dimensions."""
    return _independent(d, LAPLACE)


def _independent(d: Distribution, kinds: tuple[type, ...]) -> tuple[Tensor, Tensor] | None:
    if not isinstance(d, torch_dist.Independent) or type(d) not in INDEPENDENT:
        return None
    base = d.base_dist
    known = d.reinterpreted_batch_ndims == 1 and type(base) in kinds
    return (base.loc, base.scale) if known else None


def full_normal(d: Distribution) -> tuple[Tensor, Tensor] | None:
    """(loc, Cholesky factor) if ``d`` is a normal with a full covariance.

    The factor has the batch dimensions that it was made with: a prior's, in a plate, none.
    """
    if not isinstance(d, torch_dist.MultivariateNormal) or type(d) not in MULTIVARIATE_NORMAL:
        return None
    return d.loc, d._unbroadcasted_scale_tril


def rooted_normal(d: Distribution) -> tuple[Tensor, Tensor, Tensor] | None:
    """(loc, root, log-determinant of the covariance's root) if ``d`` is a normal of any form.

    A root is any A, ``(*batch, M, R)``, for which A A' is the covariance: it need not be
    triangular, nor square. The log-determinant is half that of the covariance, ``(*batch,)``.
    """
    diagonal, full = diagonal_normal(d), full_normal(d)
    if diagonal is not None:
        loc, scale = diagonal
        return loc, scale.diag_embed(), scale.log().sum(-1)
    if full is not None:
        loc, factor = full
        return loc, factor, log_det(factor)
    return _low_rank_normal(d) or _reflected_normal(d)


def _low_rank_normal(d: Distribution) -> tuple[Tensor, Tensor, Tensor] | None:
    """N(loc, D + W W'): its root is D^(1/2) beside W; |D + W W'| = |D| |I + W' D^-1 W|."""
    if not isinstance(d, torch_dist.LowRankMultivariateNormal) or type(d) not in LOW_RANK:
        return None
    loc, scale = d.loc, d._unbroadcasted_cov_diag.sqrt()
    factor = d._unbroadcasted_cov_factor
    whitened = factor / scale.unsqueeze(-1)
    inner = torch.linalg.cholesky(whitened.mT @ whitened + torch.eye(factor.shape[-1]).to(factor))
    root = torch.cat([scale.diag_embed(), factor], -1)
    return loc, root, scale.log().sum(-1) + log_det(inner)


def _reflected_normal(d: Distribution) -> tuple[Tensor, Tensor, Tensor] | None:
    """A diagonal normal after Householder reflections: H loc and H D, with |det H| = 1."""
    if type(d) is not Flow or {type(t) for t in d.transforms} != {ConditionedHouseholder}:
        return None
    diagonal = diagonal_normal(d.base_dist)
    if diagonal is None:
        return None
    loc, scale = diagonal
    columns = scale.diag_embed().movedim(-1, 0)  # each an M-vector, (M, *batch, M)
    for reflect in d.transforms:  # not called, to keep the cache of each transform
        loc, columns = reflect._call(loc), reflect._call(columns)
    return loc, columns.movedim(0, -1), scale.log().sum(-1)


def log_det(factor: Tensor) -> Tensor:
    """Log-determinant of triangular matrices with a positive diagonal, ``(*,)``."""
    return factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)


def power_spherical(d: Distribution) -> tuple[Tensor, Tensor] | None:
    """(concentration, size M) if ``d`` is a power spherical distribution."""
    if type(d) is not PowerSpherical:
        return None
    return d.concentration, torch.tensor(d.event_shape[0])


def uniform_sphere(d: Distribution) -> tuple[()] | None:
    """Nothing, since it has no parameters, if ``d`` is uniform on the sphere."""
    return () if type(d) is UniformSphere else None


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
