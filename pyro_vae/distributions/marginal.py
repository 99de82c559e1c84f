"""The distribution of those entries of an event that are seen."""

from __future__ import annotations

from typing import Any

import torch
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor
from torch.distributions import Independent, constraints
from torch.distributions.utils import _sum_rightmost
from torch.types import _size

from pyro_vae.core.errors import IncompatibleComponents

__all__ = ["Marginal"]

NO_SHAPE = torch.Size()


class Marginal(TorchDistribution):
    r"""A distribution of independent entries, masked where a value is NaN, which means missing.

    .. math:: \log p(x_S) = \sum_{d \in S} \log p_d(x_d), \quad S = \{d : x_d \ne \mathrm{NaN}\}

    An entry that is missing is integrated out: it adds 0 to ``log_prob``, and has no gradient.
    Draws are complete.

    Shapes:
        those of ``base_dist``; ``log_prob`` is in nats, summed over the entries that are seen.

    Args:
        base_dist: An ``Independent`` over its whole event.

    Raises:
        IncompatibleComponents: if the entries depend on each other.

    References:
        | MIWAE: deep generative modelling and imputation of incomplete data sets
        | (Mattei and Frellsen, 2019) https://arxiv.org/abs/1812.02633

    Example:
        >>> import pyro.distributions as dist
        >>> d = Marginal(dist.Normal(torch.zeros(2), 1.0).to_event(1))
        >>> x = torch.tensor([0.5, float("nan")])
        >>> bool(d.log_prob(x) == dist.Normal(0.0, 1.0).log_prob(x[0]))
        True
    """

    arg_constraints = {}  # noqa: RUF012

    def __init__(self, base_dist: Any, validate_args: bool | None = None) -> None:
        if not _is_separable(base_dist):
            raise IncompatibleComponents(
                f"missing: expected a likelihood whose entries are independent given z, so that "
                f"each can be missing, got {type(base_dist).__name__}, a joint distribution of "
                f"its event; choose another likelihood, or missing: none"
            )
        self.base_dist = base_dist
        super().__init__(base_dist.batch_shape, base_dist.event_shape, validate_args=validate_args)

    @constraints.dependent_property(is_discrete=False)
    def support(self) -> Any:
        """That of a complete event."""
        return self.base_dist.support

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        """Whether draws have a gradient."""
        return bool(self.base_dist.has_rsample)

    @property
    def mean(self) -> Tensor:
        """The mean of a complete event."""
        mean: Tensor = self.base_dist.mean
        return mean

    @property
    def variance(self) -> Tensor:
        """The variance of each entry."""
        variance: Tensor = self.base_dist.variance
        return variance

    def expand(self, batch_shape: _size, _instance: Marginal | None = None) -> Marginal:
        """The same distribution with a larger batch_shape."""
        return Marginal(self.base_dist.expand(batch_shape))

    def sample(self, sample_shape: _size = NO_SHAPE) -> Tensor:
        """Complete events."""
        drawn: Tensor = self.base_dist.sample(sample_shape)
        return drawn

    def rsample(self, sample_shape: _size = NO_SHAPE) -> Tensor:
        """Complete events, with a gradient."""
        drawn: Tensor = self.base_dist.rsample(sample_shape)
        return drawn

    def filled(self, value: Tensor) -> Tensor:
        """A value with a number of the support wherever it is missing."""
        return torch.where(value.isnan(), _inside(self.base_dist), value)

    def log_prob(self, value: Tensor) -> Tensor:
        """The log-density of what is not NaN, in nats."""
        entries = self.base_dist.base_dist.log_prob(self.filled(value))
        seen = torch.where(value.isnan(), 0.0, entries)
        total: Tensor = _sum_rightmost(seen, len(self.event_shape))
        return total


def _is_separable(d: Any) -> bool:
    """Whether log-densities of the entries of an event add up."""
    return (
        isinstance(d, Independent)
        and not d.base_dist.event_shape
        and d.reinterpreted_batch_ndims == len(d.event_shape)
    )


def _inside(d: Any) -> float:
    """A number in the support of every entry."""
    support = d.base_dist.support
    if support == constraints.unit_interval:
        return 0.5
    return 1.0 if isinstance(support, type(constraints.positive)) else 0.0
