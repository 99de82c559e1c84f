"""Values that are missing by what they are."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.special import ndtri

from pyro_vae.core.missing import seen_mean
from pyro_vae.core.missing_model import MissingModel
from pyro_vae.distributions.bounds import SPEED, bounded, bounded_scale
from pyro_vae.distributions.marginal import Marginal
from pyro_vae.distributions.self_masked import SelfMasked

__all__ = ["SelfMasking"]

LIMIT = 10.0
SLOPES = 0.01, 10.0


class SelfMasking(MissingModel):
    r"""Whether an entry is missing depends on its own value, by a probit of its own.

    .. math:: P(x_d \text{ is missing} \mid x_d) = \Phi(a_d + b_d\, (x_d - m_d) / s_d)

    with m and s the mean and standard deviation of what is seen of the entry in the training data,
    which ``fit`` measures. It sets a to their share of missing values, and then learns a and b.
    The paper has a logistic function here, and draws the missing values; with a probit they are
    integrated out exactly (:class:`~pyro_vae.distributions.self_masked.SelfMasked`), which gives a
    bound that is at least as tight, and needs no draws of x.

    Where the direction is known, say so: what is seen alone may not tell it. Free slopes are 0
    initially and bounded to [-10, 10]; others are 1, and bounded to [0.01, 10].

    Goes with entries that are gaussian, bernoulli, ordinal, or categorical (whose absence does
    not depend on the category), and with ``columns`` of these.

    Shapes:
        maps a distribution of event_shape ``event_shape`` to one of the same shapes.

    Args:
        event_shape: Shape of one datum.
        direction: Which values are missing more often: high, low, or free to learn for each
            entry.

    References:
        | not-MIWAE: deep generative modelling with missing not at random data
        | (Ipsen, Mattei and Frellsen, 2021) https://arxiv.org/abs/2006.12871

    Example:
        >>> from pyro_vae import VAE
        >>> vae = VAE((3,), 2, missing="zero_and_mask", missing_model="self_masking")
        >>> type(vae.decode(torch.zeros(1, 2))).__name__
        'SelfMasked'
    """

    center: Tensor
    spread: Tensor
    measured: Tensor

    def __init__(
        self, event_shape: tuple[int, ...], direction: Literal["free", "high", "low"] = "free"
    ) -> None:
        super().__init__(event_shape)
        self.direction = direction
        self.raw_slope = nn.Parameter(torch.zeros(event_shape))
        self.raw_intercept = nn.Parameter(torch.zeros(event_shape))
        self.register_buffer("center", torch.zeros(event_shape))
        self.register_buffer("spread", torch.ones(event_shape))
        self.register_buffer("measured", torch.zeros((), dtype=torch.bool))

    @property
    def slope(self) -> Tensor:
        """b, of ``event_shape``."""
        if self.direction == "free":
            return bounded(SPEED * self.raw_slope, LIMIT)
        size = bounded_scale(SPEED * self.raw_slope, *SLOPES)
        return size if self.direction == "high" else -size

    @property
    def intercept(self) -> Tensor:
        """a, of ``event_shape``."""
        return bounded(SPEED * self.raw_intercept, LIMIT)

    @torch.no_grad()
    def initialize(self, x: Tensor) -> None:
        """Measure what is seen, and the share of what is missing, the first time only."""
        if self.measured:
            return
        lost = x.isnan()
        share = (lost.sum(0) + 0.5) / (len(x) + 1)
        center = seen_mean(x, 0)
        spread = seen_mean((x - center).square(), 0).sqrt()
        self.center.copy_(center.nan_to_num(0.0))
        self.spread.copy_(torch.where(spread > 0, spread, 1.0))
        self.raw_intercept.copy_(ndtri(share.to(self.raw_intercept)) / SPEED)
        self.measured.fill_(True)

    def forward(self, p: Marginal) -> SelfMasked:
        """p(x_S, S | z) from p(x_S | z)."""
        slope = self.slope / self.spread
        intercept = self.intercept - slope * self.center
        return SelfMasked(p.base_dist, p.reinterpreted_batch_ndims, slope, intercept)
