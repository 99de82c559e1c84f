"""A transformed distribution whose draws without gradients keep no secret."""

from __future__ import annotations

from typing import Any

import pyro.distributions as dist
import torch
from torch import Tensor

__all__ = ["Flow"]


class Flow(dist.TransformedDistribution):  # type: ignore[misc]
    r"""The image of a base distribution under bijections, T = T_K ... T_1.

    .. math:: \log q(z) = \log q_0(T^{-1}(z)) - \log |\det \partial T|

    A transform caches its last draw, so that log q(z) of a draw needs no inverse. After
    ``sample`` that would leave out of the gradient of log q(z) what the inverse depends on: draws
    of ``sample`` are therefore scored by the inverse, as any other value is.

    Shapes:
        as of :class:`pyro.distributions.TransformedDistribution`; ``log_prob`` is in nats.

    Args:
        base_distribution: What the flow begins with.
        transforms: The bijections, in the order in which a draw passes them.

    References:
        | Variational inference with normalizing flows (Rezende and Mohamed, 2015)
        | https://arxiv.org/abs/1505.05770

    Example:
        >>> base = dist.Normal(torch.zeros(2), torch.ones(2)).to_event(1)
        >>> move = dist.transforms.AffineTransform(torch.ones(2), 2.0, event_dim=1)
        >>> Flow(base, [move]).event_shape
        torch.Size([2])
    """

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:  # noqa: B008
        """Draws without gradients, which no transform has in its cache."""
        drawn: Tensor = super().sample(sample_shape)
        return drawn.clone()

    def log_prob(self, value: Tensor) -> Tensor:
        """Log q(z) in nats; a value that broadcasts against the batch meets it whole.

        A draw of this very distribution keeps its identity, by which the cache knows it.
        """
        batch = torch.broadcast_shapes(value.shape[:-1], self.batch_shape)
        whole = value if value.shape[:-1] == batch else value.expand(*batch, value.shape[-1])
        density: Tensor = super().log_prob(whole)
        return density
