"""Integrals of exp(log-density) in one to three dimensions, by adaptive Gauss-Legendre rules."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

__all__ = ["Cells", "Nodes", "integrate"]

NODES = {1: 16, 2: 10, 3: 8}  # along each dimension of a cell
GRID = {1: 16, 2: 8, 3: 5}  # initial cells along each dimension
FAR = 36.0  # nats below the highest value, where cells are not refined
SMOOTH = 12.0  # nats of variation allowed within a cell that is not far
DOUBLINGS = 40
ROUNDS = 60
MOST = 4_000_000  # nodes in all
SAFETY = 10.0  # at kinks, two rules may differ by a tenth of either's error

LogDensity = Callable[[Tensor], tuple[Tensor, Tensor]]
"""From points ``(Q, d)`` to the log-density and the logarithm of the volume element, ``(Q,)``."""


@dataclass(frozen=True)
class Nodes:
    """The nodes of the final rule, with their weights.

    Args:
        points: ``(Q, d)``, in the coordinates of the box.
        log_mass: Logarithm of weight times integrand at each, ``(Q,)``.
        log_integral: Logarithm of the integral.
        error: Estimated error of ``log_integral``: ten times the change under a rule with one node
            fewer in each dimension of each cell, plus the neglected mass.
    """

    points: Tensor
    log_mass: Tensor
    log_integral: float
    error: float

    def mean(self, values: Tensor) -> Tensor:
        """Mean of values ``(Q, *)`` under the normalized integrand."""
        share = (self.log_mass - self.log_integral).exp()
        return torch.tensordot(share, values, dims=([0], [0]))


@dataclass
class Cells:
    """Boxes, with the log-density at their nodes.

    Args:
        centre: ``(R, d)``.
        half: Half of each width, ``(R, d)``.
        points: ``(R, Q, d)``.
        values: The log-density at each, ``(R, Q)``.
        log_mass: Logarithm of weight times integrand, ``(R, Q)``.
    """

    centre: Tensor
    half: Tensor
    points: Tensor
    values: Tensor
    log_mass: Tensor

    @classmethod
    def at(cls, centre: Tensor, half: Tensor, log_density: LogDensity, less: int = 0) -> Cells:
        """Evaluate the nodes of boxes ``(R, d)``, ``less`` of them along each dimension."""
        dim = centre.shape[-1]
        nodes, log_weights = _rule(dim, NODES[dim] - less)
        points = centre.unsqueeze(1) + half.unsqueeze(1) * nodes.to(centre)  # (R, Q, d)
        values, log_volume = log_density(points.reshape(-1, dim))
        log_mass = values + log_volume
        size = half.log().sum(-1, keepdim=True) + log_weights.to(centre)
        shape = points.shape[:2]
        return cls(centre, half, points, values.reshape(shape), log_mass.reshape(shape) + size)

    def __getitem__(self, index: Tensor) -> Cells:
        return Cells(*(getattr(self, name)[index] for name in self.__dataclass_fields__))

    @classmethod
    def joined(cls, parts: list[Cells]) -> Cells:
        """All of them together."""
        return cls(*(torch.cat([getattr(part, name) for part in parts])
                     for name in cls.__dataclass_fields__))  # fmt: skip

    @property
    def log_integrals(self) -> Tensor:
        """Of each cell, ``(R,)``."""
        return self.log_mass.logsumexp(-1)

    @property
    def top(self) -> Tensor:
        """The highest log-density seen in each, ``(R,)``."""
        return self.values.amax(-1)

    @property
    def spread(self) -> Tensor:
        """Range of the log-density in each cell along each dimension, ``(R, d)``."""
        dim = self.centre.shape[-1]
        grid = self.values.reshape(-1, *(NODES[dim],) * dim)
        ranges = [
            (grid.amax(axis) - grid.amin(axis)).reshape(len(grid), -1).amax(-1)
            for axis in range(1, dim + 1)
        ]
        return torch.stack(ranges, -1)

    def halves(self, along: Tensor) -> tuple[Tensor, Tensor]:
        """Centres and half-widths of the cells cut in two along the dimensions ``(R, d)``."""
        centres, halves = [], []
        for signs in itertools.product((-1.0, 1.0), repeat=self.centre.shape[-1]):
            sign = torch.tensor(signs).to(self.centre)
            kept = (along | (sign > 0)).all(-1)  # an uncut dimension is taken once
            half = torch.where(along, self.half / 2, self.half)
            centre = self.centre + torch.where(along, sign * half, 0.0)
            centres.append(centre[kept])
            halves.append(half[kept])
        return torch.cat(centres), torch.cat(halves)


def _rule(dim: int, count: int) -> tuple[Tensor, Tensor]:
    """Nodes ``(Q, d)`` and log-weights ``(Q,)`` of the Gauss-Legendre rule on [-1, 1]^d."""
    nodes, weights = (torch.from_numpy(a) for a in np.polynomial.legendre.leggauss(count))
    grid = torch.cartesian_prod(*[nodes] * dim).reshape(-1, dim)
    each = torch.cartesian_prod(*[weights.log()] * dim).reshape(-1, dim)
    return grid, each.sum(-1)


def integrate(
    log_density: LogDensity,
    low: Tensor,
    high: Tensor,
    *,
    closed: bool = False,
    tolerance: float = 1e-9,
    kinks: Tensor | None = None,
) -> Nodes:
    """Integrate exp(log-density) over a box, in float64.

    Cells are split until the log-density is smooth in each cell that matters, which leads to
    narrow peaks; then until a rule with one node fewer in each dimension gives the same integral,
    or the nodes run out. An open box grows while its boundary matters.

    Args:
        log_density: The integrand.
        low: Least corner, ``(d,)`` in float64, d from 1 to 3.
        high: Greatest corner, ``(d,)``.
        closed: Whether the box is the whole space, as for angles.
        tolerance: Requested error of the logarithm; ``Nodes.error`` is the estimated one.
        kinks: Points where the density may not be smooth, ``(K, d)``, such as the mean of a
            Laplace distribution; cell boundaries go through them.

    Example:
        >>> def normal(points):
        ...     return -points.square().sum(-1) / 2, torch.zeros(len(points))
        >>> edge = torch.full((2,), 6.0, dtype=torch.float64)
        >>> round(integrate(normal, -edge, edge).log_integral, 9)  # log(2 pi)
        1.837877066

    References:
        | Methods of numerical integration (Davis and Rabinowitz, 1984), chapters 2 and 5
    """
    for _ in range(DOUBLINGS):
        leaves, left_out = _cut_until_smooth(log_density, *_grid(low, high, kinks))
        grown = (high - low) / 2
        inside = (leaves.centre - leaves.half > low + 1e-9 * grown) & (
            leaves.centre + leaves.half < high - 1e-9 * grown
        )
        if closed or inside.all():
            break
        touched = (~inside).any(0)
        low, high = low - grown * touched, high + grown * touched
    return _cut_until_exact(log_density, leaves, left_out, tolerance)


def _grid(low: Tensor, high: Tensor, kinks: Tensor | None) -> tuple[Tensor, Tensor]:
    """Centres and half-widths of the first cells, ``(R, d)``."""
    dim = len(low)
    centres, halves = [], []
    for m in range(dim):
        edges = torch.linspace(0, 1, GRID[dim] + 1).to(low) * (high[m] - low[m]) + low[m]
        if kinks is not None:
            inside = kinks[:, m][(kinks[:, m] > low[m]) & (kinks[:, m] < high[m])]
            edges = torch.cat([edges, inside.to(edges)]).unique()
        centres.append((edges[1:] + edges[:-1]) / 2)
        halves.append((edges[1:] - edges[:-1]) / 2)
    return (torch.cartesian_prod(*centres).reshape(-1, dim),
            torch.cartesian_prod(*halves).reshape(-1, dim))  # fmt: skip


def _cut_until_smooth(
    log_density: LogDensity, centre: Tensor, half: Tensor
) -> tuple[Cells, Tensor]:
    """Cells that matter, and the integrals of those that do not."""
    dim = centre.shape[-1]
    highest = torch.tensor(-torch.inf).to(centre)
    done: list[Cells] = []
    left_out: list[Tensor] = []
    for _ in range(ROUNDS):
        cells = Cells.at(centre, half, log_density)
        highest = torch.maximum(highest, cells.top.max())
        spread = cells.spread
        whole = spread.sum(-1)
        far = cells.top + whole / 2 < highest - FAR  # it may be higher between nodes
        limit = SMOOTH + (highest - cells.top).clamp(min=0) / 2
        split = (whole > limit) & ~far
        rough = spread > (limit / dim).unsqueeze(-1)
        left_out.append(cells[far].log_integrals)
        done.append(cells[~far & ~split])
        if not split.any():
            break
        centre, half = cells[split].halves(rough[split])
    leaves = Cells.joined(done)
    far = leaves.top < highest - FAR  # refined before the highest value was known
    left_out.append(leaves[far].log_integrals)
    return leaves[~far], torch.cat(left_out)


def _cut_until_exact(
    log_density: LogDensity, cells: Cells, left_out: Tensor, tolerance: float
) -> Nodes:
    """Halve the cells in which a rule with fewer nodes gives another integral."""
    total = cells.log_integrals.logsumexp(0)
    done: list[Cells] = []
    spent = (left_out - total).exp().sum()
    nodes = 0
    while len(cells.centre):
        fewer = Cells.at(cells.centre, cells.half, log_density, less=1)
        change = (fewer.log_integrals - total).exp() - (cells.log_integrals - total).exp()
        error = SAFETY * change.abs()
        nodes += cells.values.numel() + fewer.values.numel()
        order = error.argsort()
        small = error[order].cumsum(0) <= (tolerance - spent) / 2
        enough = torch.empty_like(small).index_copy(0, order, small) | (nodes > MOST)
        done.append(cells[enough])
        spent = spent + error[enough].sum()
        cells = cells[~enough]
        if len(cells.centre):
            everywhere = torch.ones_like(cells.half, dtype=torch.bool)
            cells = Cells.at(*cells.halves(everywhere), log_density)
    leaves = Cells.joined(done)
    log_mass = leaves.log_mass.flatten()
    points = leaves.points.reshape(len(log_mass), -1)
    return Nodes(points, log_mass, log_mass.logsumexp(0).item(), spent.item())
