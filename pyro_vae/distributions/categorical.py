"""A categorical over the numbers 0 to K - 1."""

from __future__ import annotations

import pyro.distributions as dist
import torch
from torch import Tensor
from torch.types import _size

__all__ = ["Categorical"]


class Categorical(dist.Categorical):
    r"""Pyro's categorical, with draws that a network can take and with a mean.

    .. math:: p(x) = \pi_x, \quad x \in \{0, \dots, K - 1\}, \quad E[x] = \sum_k k\, \pi_k

    Draws have the floating type of the parameters. The mean is the expectation of the category's
    number: meaningful where the numbers are an order, such as grey levels; elsewhere ``mode`` is.

    Shapes:
        batch_shape is that of the parameters without their last dimension, K; event_shape is
        ``()``. ``log_prob`` is in nats.

    Args:
        probs: Probabilities, ``(*batch, K)``; or
        logits: Unnormalized log-probabilities, ``(*batch, K)``.

    Example:
        >>> d = Categorical(probs=torch.tensor([0.5, 0.0, 0.5]))
        >>> d.mean, d.sample().dtype
        (tensor(1.), torch.float32)
    """

    @property
    def mean(self) -> Tensor:
        """The expected number, ``batch_shape``."""
        numbers = torch.arange(self._num_events, dtype=self.probs.dtype, device=self.probs.device)
        return (self.probs * numbers).sum(-1)

    def sample(self, sample_shape: _size = ()) -> Tensor:
        """Numbers of categories, ``(*sample_shape, *batch)``."""
        drawn: Tensor = super().sample(sample_shape)
        return drawn.to(self._param.dtype)
