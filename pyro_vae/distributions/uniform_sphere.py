"""The uniform distribution on the sphere."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from pyro.distributions import constraints
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor
from torch.nn.functional import normalize

__all__ = ["UniformSphere", "log_area"]


def log_area(size: int) -> float:
    r"""Logarithm of the area of the unit sphere in R^M.

    .. math:: \log 2 + \tfrac M2 \log\pi - \log\Gamma(\tfrac M2)

    Example:
        >>> round(math.exp(log_area(3)) / math.pi, 6)
        4.0
    """
    return math.log(2) + size / 2 * math.log(math.pi) - math.lgamma(size / 2)


class UniformSphere(TorchDistribution):
    r"""Every point of the unit sphere in R^M alike.

    .. math:: p(z) = \frac{\Gamma(M/2)}{2 \pi^{M/2}}, \quad \|z\| = 1

    Shapes:
        batch_shape is that of ``like`` without its last dimension, event_shape is ``(M,)``;
        ``log_prob`` is in nats, with respect to the area of the sphere.

    Args:
        like: ``(*batch, M)``; only its shape, precision and device count. M is at least 2.

    References:
        | Directional statistics (Mardia and Jupp, 1999)
        | https://doi.org/10.1002/9780470316979

    Example:
        >>> round(UniformSphere(torch.zeros(2)).log_prob(torch.tensor([0.0, 1.0])).item(), 4)
        -1.8379
    """

    arg_constraints: ClassVar[dict[str, Any]] = {"like": constraints.real_vector}
    support = constraints.sphere
    has_rsample = True

    def __init__(self, like: Tensor, validate_args: bool | None = None) -> None:
        self.like = like
        super().__init__(like.shape[:-1], like.shape[-1:], validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> UniformSphere:
        """The same for a larger batch."""
        new = self._get_checked_instance(UniformSphere, _instance)
        batch = torch.Size(batch_shape)
        new.like = self.like.expand(batch + self.event_shape)
        super(UniformSphere, new).__init__(batch, self.event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    @property
    def mean(self) -> Tensor:
        """0, which is no point of the sphere."""
        return torch.zeros_like(self.like)

    def log_prob(self, value: Tensor) -> Tensor:
        """The same everywhere: minus the logarithm of the sphere's area."""
        if self._validate_args:
            self._validate_sample(value)
        shape = torch.broadcast_shapes(value.shape[:-1], self.batch_shape)
        return value.new_full(shape, -log_area(self.event_shape[0]))

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:  # noqa: B008
        """Draws: the directions of normal ones."""
        shape = self._extended_shape(torch.Size(sample_shape))
        return normalize(self.like.new_empty(shape).normal_(), dim=-1)
