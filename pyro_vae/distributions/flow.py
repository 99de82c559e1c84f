"""A transformed distribution that scores its own draws without an inverse."""

from __future__ import annotations

from typing import Any

import pyro.distributions as dist
import torch
from torch import Tensor
from zuko.transforms import ComposedTransform

__all__ = ["Flow"]


class Flow(dist.TransformedDistribution):  # type: ignore[misc]
    r"""The image of a base distribution under bijections, T = T_K ... T_1.

    .. math:: \log q(z) = \log q_0(T^{-1}(z)) - \log |\det \partial T|

    ``rsample`` computes log q(z) along with z, and ``log_prob`` returns it for that very draw.
    Any other value goes through the inverse, draws of ``sample`` included: log q(z) then has its
    whole gradient. ``pyro.contrib.zuko.ZukoToPyro`` returns the cached value for both, and has
    no ``support``.

    Shapes:
        as of :class:`pyro.distributions.TransformedDistribution`; ``log_prob`` is in nats.

    Args:
        base_distribution: The distribution that the bijections transform.
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

    _drawn: tuple[Tensor, Tensor] | None = None  # the last draw of rsample, and its log q

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:  # noqa: B008
        """Draws with gradients, ``(*sample_shape, *batch, M)``."""
        noise = self.base_dist.rsample(torch.Size(sample_shape))
        z, log_det = ComposedTransform(*self.transforms).call_and_ladj(noise)
        self._drawn = z, self.base_dist.log_prob(noise) - log_det
        return z

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:  # noqa: B008
        """Draws without gradients; a copy, which no transform has in its cache."""
        drawn: Tensor = super().sample(sample_shape)
        return drawn.clone()

    def log_prob(self, value: Tensor) -> Tensor:
        """Log q(z) in nats."""
        if self._drawn is not None and value is self._drawn[0]:
            return self._drawn[1]
        if self._validate_args:
            self._validate_sample(value)
        batch = torch.broadcast_shapes(value.shape[:-1], self.batch_shape)
        whole = value.expand(*batch, value.shape[-1])
        noise, log_det = ComposedTransform(*self.transforms).inv.call_and_ladj(whole)
        density: Tensor = self.base_dist.log_prob(noise) + log_det
        return density
