"""What is seen of an event, and which entries are, where an entry's value decides about it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Normal
from torch.nn.functional import logsigmoid
from torch.special import log_ndtr, ndtr
from torch.types import _size

from pyro_vae.core.errors import IncompatibleComponents
from pyro_vae.distributions.by_column import ByColumn
from pyro_vae.distributions.categorical import Categorical
from pyro_vae.distributions.extended_skew_normal import ExtendedSkewNormal
from pyro_vae.distributions.marginal import Marginal
from pyro_vae.distributions.ordered_logistic import OrderedLogistic

__all__ = ["SelfMasked"]

KNOWN = Normal, Bernoulli, Categorical, OrderedLogistic


class SelfMasked(Marginal):
    r"""Independent entries, each missing (NaN) with a probability that its own value has.

    .. math:: \log p(x_S, S) = \sum_{d \in S} \log p_d(x_d)\, (1 - \pi_d(x_d))
              + \sum_{d \notin S} \log \int p_d(x)\, \pi_d(x) \, dx, \quad
              \pi_d(x) = \Phi(a_d + b_d x)

    The integral is exact: for a normal entry it is :math:`\Phi((a + b \mu) / \sqrt{1 + b^2
    \sigma^2})`, and for ordered categories and for 0 and 1 a sum. A category without an order has
    no b: its absence does not depend on it.

    Draws are of what is seen, NaN elsewhere. Moments are those of complete events.

    Shapes:
        as Pyro's ``Independent``; ``log_prob`` is in nats, summed over the event.

    Args:
        base: The distribution of each entry.
        dims: How many of its last batch dimensions are the event's.
        slope: b, of the event's shape.
        intercept: a, of the event's shape.

    Raises:
        IncompatibleComponents: for entries of another family.

    References:
        | not-MIWAE: deep generative modelling with missing not at random data
        | (Ipsen, Mattei and Frellsen, 2021) https://arxiv.org/abs/2006.12871

    Example:
        >>> d = SelfMasked(Normal(torch.zeros(1), 1.0), 1, torch.ones(1), torch.zeros(1))
        >>> d.log_prob(torch.tensor([float("nan")])).exp()
        tensor(0.5000)
    """

    has_rsample = False

    def __init__(self, base: Any, dims: int, slope: Tensor, intercept: Tensor) -> None:
        super().__init__(base, dims)
        self.slope, self.intercept = _slopes(base, slope), intercept

    def expand(self, batch_shape: _size, _instance: Any = None) -> SelfMasked:
        """The same distribution with a larger batch_shape."""
        base = self.base_dist.expand(torch.Size(batch_shape) + self.event_shape)
        dims = self.reinterpreted_batch_ndims
        return SelfMasked(base, dims, self.slope, self.intercept)

    def entries(self, value: Tensor) -> Tensor:
        """The log-density of each entry that is seen, and log-probability of each that is not."""
        filled = self.filled(value)
        seen = self.base_dist.log_prob(filled) + log_ndtr(-self._index(filled))
        return torch.where(value.isnan(), self.log_chance, seen)

    @property
    def log_chance(self) -> Tensor:
        """The log-probability of each entry to be missing, ``(*batch, *event)``."""
        return _log_chance(self.base_dist, self.slope, self.intercept)

    @property
    def absent(self) -> Any:
        """The distribution of each entry, given that it is missing."""
        return _absent(self.base_dist, self.slope, self.intercept)

    def log_odds(self, value: Tensor) -> Tensor:
        """Of being missing to being seen, of each entry if it had this value."""
        index = self._index(value)
        return log_ndtr(index) - log_ndtr(-index)

    @torch.no_grad()
    def sample(self, sample_shape: _size = ()) -> Tensor:
        """Draws of what is seen, ``(*sample_shape, *batch, *event)``."""
        drawn: Tensor = self.base_dist.sample(torch.Size(sample_shape))
        return torch.where(torch.rand_like(drawn) < ndtr(self._index(drawn)), torch.nan, drawn)

    def _index(self, value: Tensor) -> Tensor:
        return self.intercept + self.slope * value


def _slopes(d: Any, slope: Tensor) -> Tensor:
    """The slopes, 0 where the values are names."""
    if isinstance(d, ByColumn):
        pairs = zip(d.parts, d.layout.split(slope), strict=True)
        return d.layout.joined([_slopes(part, piece) for part, piece in pairs])
    if not isinstance(d, KNOWN):
        raise IncompatibleComponents(
            f"missing_model: expected entries that are {', '.join(k.__name__ for k in KNOWN)}, "
            f"whose integral over what is missing is exact, got {type(d).__name__}; choose "
            f"another likelihood for them (gaussian, bernoulli, ordinal, categorical), or leave "
            f"the missing_model out"
        )
    return torch.zeros_like(slope) if type(d) is Categorical else slope


def _parts(d: ByColumn, slope: Tensor, intercept: Tensor) -> Any:
    return zip(d.parts, d.layout.split(slope), d.layout.split(intercept), strict=True)


def _log_chance(d: Any, slope: Tensor, intercept: Tensor) -> Tensor:
    found: Tensor
    if isinstance(d, ByColumn):
        found = d.layout.joined([_log_chance(*part) for part in _parts(d, slope, intercept)])
    elif isinstance(d, Normal):
        tilted = ExtendedSkewNormal(d.loc, d.scale, slope, intercept, validate_args=False)
        found = log_ndtr(tilted.threshold)
    elif isinstance(d, Categorical):
        found = (d.logits + _of_categories(d, slope, intercept)).logsumexp(-1)
    else:
        one, zero = log_ndtr(intercept + slope), log_ndtr(intercept)
        found = torch.logaddexp(logsigmoid(d.logits) + one, logsigmoid(-d.logits) + zero)
    return found


def _absent(d: Any, slope: Tensor, intercept: Tensor) -> Any:
    if isinstance(d, ByColumn):
        return ByColumn([_absent(*part) for part in _parts(d, slope, intercept)], d.layout)
    if isinstance(d, Normal):
        return ExtendedSkewNormal(d.loc, d.scale, slope, intercept, validate_args=False)
    if isinstance(d, Categorical):
        return Categorical(logits=d.logits + _of_categories(d, slope, intercept))
    return type(d)(logits=d.logits + log_ndtr(intercept + slope) - log_ndtr(intercept))


def _of_categories(d: Categorical, slope: Tensor, intercept: Tensor) -> Tensor:
    """The log-probability of each category to be missing, ``(*event, K)``."""
    numbers = torch.arange(d.logits.shape[-1], dtype=slope.dtype, device=slope.device)
    return log_ndtr(intercept.unsqueeze(-1) + slope.unsqueeze(-1) * numbers)
