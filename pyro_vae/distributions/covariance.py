"""Cholesky factors that no input makes singular."""

from __future__ import annotations

import torch
from torch import Tensor

from pyro_vae.distributions.bounds import bounded, bounded_scale

__all__ = ["cholesky_factor", "entries_below_the_diagonal"]


def entries_below_the_diagonal(size: int) -> int:
    """How many numbers stand below the diagonal of a square matrix."""
    return size * (size - 1) // 2


def cholesky_factor(raw_scale: Tensor, below: Tensor) -> Tensor:
    r"""A lower triangular matrix with a positive diagonal, ``(*, M, M)``.

    .. math:: L = \mathrm{diag}(\sigma) (I + N)

    with each sigma bounded by :func:`~pyro_vae.distributions.bounds.bounded_scale`, and each
    entry of the strictly lower triangular N within 10 of 0; L = I for zeros.

    Args:
        raw_scale: ``(*, M)``.
        below: The entries of N row by row, ``(*, M (M - 1) / 2)``.

    Example:
        >>> cholesky_factor(torch.zeros(2), torch.zeros(1)).tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """
    size = raw_scale.shape[-1]
    rows, columns = torch.tril_indices(size, size, -1, device=raw_scale.device)
    unit = torch.ones_like(raw_scale).diag_embed()
    unit[..., rows, columns] = bounded(below)
    return bounded_scale(raw_scale).unsqueeze(-1) * unit
