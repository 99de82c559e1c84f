"""The affine autoregressive transform, with an inverse in every precision."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from pyro.distributions import transforms
from pyro.distributions.transforms.utils import clamp_preserve_gradients
from torch import Tensor, nn

__all__ = ["AffineAutoregressive"]


class AffineAutoregressive(transforms.AffineAutoregressive):
    r"""Pyro's affine autoregressive transform, made able to invert in double precision.

    .. math:: y_m = \mu_m(x_{<m}, c) + \sigma_m(x_{<m}, c) \, x_m

    Forward is one pass of the network; the inverse takes one for each dimension, and each makes
    one more dimension exact. Pyro's own begins it in single precision, and fails in any other.

    Shapes:
        maps ``(*, M)`` to ``(*, M)``; the log-determinant is ``(*,)``.

    Args:
        network: A masked network that puts out means and log-scales.
        context: What the network takes beside x, ``(*batch, C)``; None for one that takes none.

    References:
        | Improving variational inference with inverse autoregressive flow (Kingma et al., 2016)
        | https://arxiv.org/abs/1606.04934

    Example:
        >>> from pyro_vae.distributions.masked_networks import masked_networks
        >>> t = AffineAutoregressive(masked_networks(2, [1, 1], hidden=4)[0])
        >>> torch.allclose(t.inv(t(torch.ones(2)).clone()), torch.ones(2), atol=1e-5)
        True
    """

    def __init__(self, network: nn.Module, context: Tensor | None = None) -> None:
        super().__init__(network if context is None else partial(network, context=context))

    def _inverse(self, y: Tensor) -> Tensor:
        x, log_scale = torch.zeros_like(y), torch.zeros_like(y)
        for _ in range(y.shape[-1]):
            mean, raw = self.arn(x)
            low, high = self.log_scale_min_clip, self.log_scale_max_clip
            log_scale = clamp_preserve_gradients(raw, low, high)
            x = (y - mean) * torch.exp(-log_scale)
        self._cached_log_scale: Any = log_scale
        return x
