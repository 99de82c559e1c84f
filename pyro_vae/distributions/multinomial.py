"""The multinomial whose every datum has a total of its own."""

from __future__ import annotations

import math

import torch
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor
from torch.distributions import constraints
from torch.types import _size

__all__ = ["Multinomial"]


class Multinomial(TorchDistribution):
    r"""Counts of n independent draws from one categorical over the whole event.

    .. math:: p(x) = \frac{n!}{\prod_d x_d!} \prod_d \pi_d^{x_d}, \quad
              \pi = \mathrm{softmax}(l), \quad \sum_d x_d = n

    Torch's takes one total for all data, and an event of one dimension.

    Shapes:
        batch_shape is that of ``total_count`` and of ``logits`` without the event, broadcast;
        ``log_prob`` is in nats for the whole event, and -infinity where its sum is not n.

    Args:
        total_count: The total n of each datum, ``batch_shape`` or what broadcasts to it.
        logits: Unnormalized log-probabilities l, ``(*batch, *event)``.
        event_dims: How many of the last dimensions of ``logits`` are the event, at least 1.

    Example:
        >>> d = Multinomial(torch.tensor([4.0, 9.0]), torch.zeros(2, 3))
        >>> d.sample().sum(-1), d.mean[1]
        (tensor([4., 9.]), tensor([3., 3., 3.]))
    """

    arg_constraints = {  # noqa: RUF012
        "total_count": constraints.nonnegative_integer,
        "logits": constraints.independent(constraints.real, 1),
    }

    def __init__(
        self,
        total_count: Tensor,
        logits: Tensor,
        event_dims: int = 1,
        validate_args: bool | None = None,
    ) -> None:
        split = logits.dim() - event_dims
        batch = torch.broadcast_shapes(total_count.shape, logits.shape[:split])
        event = logits.shape[split:]
        self.total_count = total_count.to(logits.dtype).expand(batch)
        self.logits = logits.expand(batch + event)
        super().__init__(batch, event, validate_args=validate_args)

    def expand(self, batch_shape: _size, _instance: Multinomial | None = None) -> Multinomial:
        """The same distribution with a larger batch_shape."""
        new: Multinomial = self._get_checked_instance(Multinomial, _instance)
        batch = torch.Size(batch_shape)
        new.total_count = self.total_count.expand(batch)
        new.logits = self.logits.expand(batch + self.event_shape)
        super(Multinomial, new).__init__(batch, self.event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    @constraints.dependent_property(is_discrete=True)
    def support(self) -> constraints.Constraint:
        """Whole numbers from 0; that they sum to the total is for ``log_prob`` to say."""
        return constraints.independent(constraints.nonnegative_integer, len(self.event_shape))

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) in nats, ``(*sample_shape, *batch)``."""  # noqa: D403
        if self._validate_args:
            self._validate_sample(x)
        counts = self._flat(x)
        total = counts.sum(-1)
        ways = torch.lgamma(total + 1) - torch.lgamma(counts + 1).sum(-1)
        log_prob = ways + (counts * self._flat(self.logits).log_softmax(-1)).sum(-1)
        return log_prob.masked_fill(total != self.total_count, -math.inf)

    @torch.no_grad()
    def sample(self, sample_shape: _size = ()) -> Tensor:
        """Counts, ``(*sample_shape, *batch, *event)``; memory grows with the largest total."""
        shape = self._extended_shape(sample_shape)
        probs = self._flat(self.logits.expand(shape)).softmax(-1)
        rows = probs.reshape(-1, probs.shape[-1])
        totals = self.total_count.expand(probs.shape[:-1]).reshape(-1, 1)
        most = int(totals.max().item()) if totals.numel() else 0
        counts = torch.zeros_like(rows)
        if most > 0:
            draws = torch.multinomial(rows, most, replacement=True)  # (rows, most)
            counted = torch.arange(most, device=totals.device) < totals
            counts = counts.scatter_add(-1, draws, counted.to(counts.dtype))
        return counts.reshape(shape)

    @property
    def mean(self) -> Tensor:
        """The total times pi, ``(*batch, *event)``."""
        probs = self._flat(self.logits).softmax(-1) * self.total_count.unsqueeze(-1)
        return probs.reshape(self.logits.shape)

    def _flat(self, values: Tensor) -> Tensor:
        return values.flatten(-len(self.event_shape))
