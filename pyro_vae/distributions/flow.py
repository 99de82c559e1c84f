"""A transformed distribution whose log-density has its whole gradient at every value."""

from __future__ import annotations

from typing import Any

import pyro.distributions as dist
import torch
from torch import Tensor

__all__ = ["Flow"]


class Flow(dist.TransformedDistribution):  # type: ignore[misc]
    r"""The image of a base distribution under bijections, T = T_K ... T_1.

    .. math:: \log q(z) = \log q_0(T^{-1}(z)) - \log |\det \partial T|

    Transforms cache their last draw, so that log q(z) of a draw needs no inverse. After
    ``sample``, the cached value would drop the inverse's part of the gradient of log q(z); draws
    of ``sample`` therefore go through the inverse, as any other value does.

    Shapes:
        as of :class:`pyro.distributions.TransformedDistribution`; ``log_prob`` is in nats.

    Args:
        base_distribution: The distribution of the noise.
        transforms: The bijections, in the order in which they apply to a draw.

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
        """Draws without gradients, copied so that no transform finds them in its cache."""
        drawn: Tensor = super().sample(sample_shape)
        return drawn.clone()

    def log_prob(self, value: Tensor) -> Tensor:
        """Log q(z) in nats, for values that broadcast against the batch.

        A draw of ``rsample`` is passed on as the same object, by which the cache knows it.
        """
        batch = torch.broadcast_shapes(value.shape[:-1], self.batch_shape)
        whole = value if value.shape[:-1] == batch else value.expand(*batch, value.shape[-1])
        density: Tensor = super().log_prob(whole)
        return density
