"""Values that are read piece by piece, and their statistics."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path

import torch
from torch import Tensor

from pyro_vae.core.missing import seen_mean
from pyro_vae.data.checks import AnyArray, deviation

__all__ = ["Chunks", "Moments", "key_of", "rows_at_once"]

VALUES = 2**20  # of a chunk


@dataclass(frozen=True, eq=False)
class Chunks:
    """Values that do not fit into memory, in the order of their rows.

    Args:
        shape: Of all of them, ``(N, *event)``.
        key: Tells their files, and what is read of them, from all others.
        read: Begins a pass over them: arrays ``(n, *event)``, with N rows together.
        exact: Whether float32 holds each of them, as their type says.
    """

    shape: tuple[int, ...]
    key: str
    read: Callable[[], Iterator[AnyArray]]
    exact: bool = False


def rows_at_once(event: Iterable[int]) -> int:
    """How many rows a chunk has: about a million values, and at least one row.

    Example:
        >>> rows_at_once((1, 32, 32))
        1024
    """
    return max(1, VALUES // prod(event))


def key_of(*files: Path) -> str:
    """Digest of the files' names, sizes and times of their last change."""
    total = hashlib.sha256()
    for file in files:
        facts = file.stat()
        total.update(f"{file.resolve()} {facts.st_size} {facts.st_mtime_ns}\n".encode())
    return total.hexdigest()


class Moments:
    r"""Mean, standard deviation and range of each position of an event, chunk by chunk.

    Two chunks that hold the shares a and b of the data have together

    .. math:: s^2 = a s_a^2 + b s_b^2 + a b (m_a - m_b)^2

    which is computed without squares, so that no unit is extreme. One chunk has exactly the
    moments that the data have at once; several have them to float64's rounding.

    References:
        | Updating formulae and a pairwise algorithm for computing sample variances
        | (Chan, Golub and LeVeque, 1982) https://doi.org/10.1007/978-3-642-51461-6_3

    Attributes:
        count: How many values are not missing, ``(*event)``.
        mean: Theirs, ``(*event)``; 0 where there are none.
        spread: Their standard deviation, which divides by N, ``(*event)``.
        low, high: The least and the greatest, ``(*event)``.

    Example:
        >>> moments = Moments()
        >>> for chunk in torch.tensor([[1.0], [3.0], [8.0]], dtype=torch.float64).split(2):
        ...     moments.add(chunk)
        >>> moments.mean.item(), round(moments.spread.item() ** 2, 12)  # 26 / 3
        (4.0, 8.666666666667)
    """

    def __init__(self) -> None:
        self.count = self.mean = self.spread = self.low = self.high = torch.zeros(())

    @property
    def varies(self) -> Tensor:
        """Where two values differ, ``(*event)``."""
        return self.low < self.high

    def add(self, x: Tensor) -> None:
        """Add values ``(n, *event)``, float64; NaN is missing."""
        if not len(x):
            return
        gaps = x.isnan()
        count = (~gaps).sum(0).double()
        mean, spread = seen_mean(x, 0).nan_to_num(0.0), deviation(x).nan_to_num(0.0)
        low = torch.where(gaps, torch.inf, x).amin(0)
        high = torch.where(gaps, -torch.inf, x).amax(0)
        if not self.count.dim():  # the first
            self.count, self.mean, self.spread = count, mean, spread
            self.low, self.high = low, high
            return
        total = self.count + count
        old, new = self.count / total.clamp(min=1), count / total.clamp(min=1)
        between = (mean - self.mean) * (old * new).sqrt()
        within = torch.hypot(self.spread * old.sqrt(), spread * new.sqrt())
        self.spread = torch.hypot(within, between)
        self.mean = self.mean + (mean - self.mean) * new
        self.low, self.high = torch.minimum(self.low, low), torch.maximum(self.high, high)
        self.count = total
