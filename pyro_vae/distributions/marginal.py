"""The distribution of those entries of an event that are seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyro.distributions as dist
import torch
from torch import Tensor
from torch.distributions import Independent, constraints
from torch.distributions.utils import _sum_rightmost

from pyro_vae.core.errors import IncompatibleComponents

__all__ = ["Marginal", "entries_of", "inside", "observed", "whole"]


class Marginal(dist.Independent):
    r"""Independent entries, masked where a value is NaN, which means missing.

    .. math:: \log p(x_S) = \sum_{d \in S} \log p_d(x_d), \quad S = \{d : x_d \ne \mathrm{NaN}\}

    An entry that is missing is integrated out: it adds 0 to ``log_prob``, and has no gradient.
    Draws and moments are those of complete events.

    Shapes:
        as Pyro's ``Independent``; ``log_prob`` is in nats, summed over the entries that are seen.

    References:
        | MIWAE: deep generative modelling and imputation of incomplete data sets
        | (Mattei and Frellsen, 2019) https://arxiv.org/abs/1812.02633

    Example:
        >>> d = Marginal(dist.Normal(torch.zeros(2), 1.0), 1)
        >>> x = torch.tensor([0.5, float("nan")])
        >>> bool(d.log_prob(x) == dist.Normal(0.0, 1.0).log_prob(x[0]))
        True
    """

    def filled(self, value: Tensor) -> Tensor:
        """A value with a number of the support wherever it is missing."""
        return torch.where(value.isnan(), inside(self.base_dist), value)

    def log_prob(self, value: Tensor) -> Tensor:
        """The log-density of what is not NaN, in nats."""
        total: Tensor = _sum_rightmost(self.entries(value), self.reinterpreted_batch_ndims)
        return total

    def entries(self, value: Tensor) -> Tensor:
        """The log-density of each entry; 0 where it is missing."""
        entries = self.base_dist.log_prob(self.filled(value))
        return torch.where(value.isnan(), 0.0, entries)

    @property
    def absent(self) -> Any:
        """The distribution of each entry, given that it is missing."""
        return self.base_dist


def entries_of(d: Any, purpose: str) -> Any:
    """The distribution of each entry of an event on its own.

    Raises:
        IncompatibleComponents: if the entries depend on each other.
    """
    base = d.base_dist if isinstance(d, Independent) else d
    if base.event_shape or len(base.batch_shape) - len(d.batch_shape) != len(d.event_shape):
        raise IncompatibleComponents(
            f"{purpose}: expected a likelihood whose entries are independent given z, got "
            f"{type(base).__name__}, a joint distribution of its event; choose another likelihood"
        )
    return base


def observed(d: Any, missing: str, model: Callable[[Marginal], Any] | None = None) -> Any:
    """What is seen of an event of this distribution: all of it, if ``missing`` is none.

    Args:
        d: p(x|z).
        missing: As :class:`~pyro_vae.VAE` takes it.
        model: Makes p(x_S, S|z) of p(x_S|z).

    Raises:
        IncompatibleComponents: if the entries depend on each other.
    """
    if missing == "none":
        return d
    seen = Marginal(entries_of(d, f"missing: {missing}"), len(d.event_shape))
    return seen if model is None else model(seen)


def whole(d: Any) -> Any:
    """The distribution of complete events."""
    return d.base_dist.to_event(len(d.event_shape)) if isinstance(d, Marginal) else d


def inside(d: Any) -> Tensor | float:
    """A number in the support of each entry."""
    own = getattr(d, "inside", None)
    if own is not None:
        found: Tensor = own
        return found
    if d.support == constraints.unit_interval:
        return 0.5
    return 1.0 if isinstance(d.support, type(constraints.positive)) else 0.0
