"""Entries of several families, side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor
from torch.distributions import Bernoulli, constraints
from torch.distributions.constraints import Constraint
from torch.types import _size

from pyro_vae.distributions.categorical import Categorical
from pyro_vae.distributions.marginal import inside

__all__ = ["ByColumn", "ByColumnSupport", "Layout", "is_nominal", "typical"]


@dataclass(frozen=True)
class Layout:
    """Which columns of an event are whose.

    Args:
        columns: Numbers of the flattened event's columns, one part's after another's.
        sizes: How many columns each part has.
        shape: Of the event.
    """

    columns: Tensor
    sizes: Sequence[int]
    shape: Sequence[int]

    def split(self, value: Tensor) -> Sequence[Tensor]:
        """The columns of each part, ``(*batch, columns)``."""
        return value.flatten(-len(self.shape))[..., self.columns].split(list(self.sizes), -1)

    def joined(self, values: Sequence[Tensor]) -> Tensor:
        """The inverse of :meth:`split`."""
        return torch.cat(list(values), -1)[..., self.columns.argsort()].unflatten(-1, self.shape)


class ByColumn(TorchDistribution):
    """Independent entries, each of the family of its column.

    Shapes:
        batch_shape ``(*batch, *shape)`` and event_shape ``()``; ``log_prob`` is in nats, of each
        entry.

    Args:
        parts: Distributions of some columns each, of batch_shape ``(*batch, columns)``.
        layout: Which columns are whose.

    Example:
        >>> import pyro.distributions as dist
        >>> parts = [dist.Bernoulli(torch.full((1,), 0.5)), dist.Normal(torch.zeros(1), 1.0)]
        >>> d = ByColumn(parts, Layout(torch.tensor([1, 0]), [1, 1], (2,)))
        >>> d.log_prob(torch.tensor([0.0, 1.0])).exp()
        tensor([0.3989, 0.5000])
    """

    arg_constraints = {}  # noqa: RUF012

    def __init__(self, parts: Sequence[Any], layout: Layout) -> None:
        self.parts, self.layout = list(parts), layout
        batch = torch.broadcast_shapes(*(part.batch_shape[:-1] for part in self.parts))
        super().__init__(batch + torch.Size(layout.shape), validate_args=False)

    @property
    def support(self) -> Constraint:
        """That of each column."""
        return ByColumnSupport([part.support for part in self.parts], self.layout)

    def each(self, what: Callable[[Any], Tensor]) -> Tensor:
        """Something of every part, joined."""
        return self.layout.joined([what(part) for part in self.parts])

    def log_prob(self, value: Tensor) -> Tensor:
        """The log-density of each entry, in nats."""
        pairs = zip(self.parts, self.layout.split(value), strict=True)
        return self.layout.joined([part.log_prob(column) for part, column in pairs])

    def sample(self, sample_shape: _size = ()) -> Tensor:
        """Independent draws."""
        return self.each(lambda part: part.sample(torch.Size(sample_shape)))

    @property
    def mean(self) -> Tensor:
        """The mean of each entry; of a category, that of its number."""
        return self.each(lambda part: part.mean)

    @property
    def variance(self) -> Tensor:
        """The variance of each entry."""
        return self.each(lambda part: part.variance)

    @property
    def typical(self) -> Tensor:
        """The mean of each entry; of a category or of 0 and 1, the most probable value."""
        return self.each(lambda p: p.mode if is_nominal(p) else p.mean)

    @property
    def inside(self) -> Tensor:
        """A number in the support of each entry."""
        return self.each(lambda p: torch.full_like(p.mean, float(inside(p))))

    def expand(self, batch_shape: _size, _instance: Any = None) -> ByColumn:
        """The same distribution with a larger batch_shape."""
        batch = torch.Size(batch_shape)[: len(batch_shape) - len(self.layout.shape)]
        parts = [part.expand(batch + part.batch_shape[-1:]) for part in self.parts]
        return ByColumn(parts, self.layout)


class ByColumnSupport(Constraint):
    """The values that each column may have.

    Args:
        supports: Of the parts.
        layout: Which columns are whose.
    """

    def __init__(self, supports: Sequence[Any], layout: Layout) -> None:
        self.supports, self.layout = supports, layout
        super().__init__()

    def __repr__(self) -> str:
        return "the values of their columns' likelihoods"

    @property
    def is_discrete(self) -> bool:  # type: ignore[override]
        """Whether every column is."""
        return all(support.is_discrete for support in self.supports)

    def check(self, value: Tensor) -> Tensor:
        """Whether each column of a value is in its support."""
        parts = zip(self.supports, self.layout.split(value), strict=True)
        return self.layout.joined([support.check(column) for support, column in parts])


def is_nominal(d: Any) -> bool:
    """Whether the values of an entry are names, so that their mean is none of them."""
    return isinstance(d, Categorical | Bernoulli) or d.support is constraints.boolean


def typical(d: Any) -> Tensor:
    """The mean of p(x|z), but the most probable value in columns of categories or of 0 and 1."""
    base = getattr(d, "base_dist", d)
    value: Tensor = base.typical if isinstance(base, ByColumn) else d.mean
    return value
