"""The ordinal likelihood, for categories that have an order."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor, nn
from torch.distributions import constraints

from pyro_vae import distributions as dist
from pyro_vae.core.likelihood import Likelihood
from pyro_vae.distributions.bounds import SPEED, bounded, bounded_scale

__all__ = ["Ordinal"]

LIMIT = 30.0
GAPS = 0.01, 100.0


class Ordinal(Likelihood):
    r"""Independent ordered categories 0 to K - 1, by the cumulative logit.

    .. math:: P(x_d \le k \mid z) = \mathrm{sigmoid}(c_{dk} - f_d(z)), \quad
              c_{d0} < \dots < c_{d, K - 2}

    The decoder returns one location for each dimension, whatever K is, smoothly bounded to
    [-30, 30]. Each dimension has its own cutpoints. ``fit`` first sets them near the training
    data's shares, where the decoder returns 0, and then learns them; until then all categories
    are about equally probable there. The first is bounded to [-30, 30], and the distances to
    [0.01, 100].

    Shapes:
        maps ``(*, *event_shape)`` to batch_shape ``(*,)`` and event_shape ``event_shape``;
        ``log_prob`` is in nats, summed over the event.

    Args:
        event_shape: Shape of one datum.
        categories: Number of categories K, at least 2: the data are whole numbers from 0 to
            K - 1, in order.

    References:
        | Regression models for ordinal data (McCullagh, 1980)
        | https://doi.org/10.1111/j.2517-6161.1980.tb01109.x

    Example:
        >>> Ordinal(event_shape=(7,), categories=4)(torch.zeros(5, 7)).batch_shape
        torch.Size([5])
    """

    remedies = (
        "number the categories from 0, in order, and declare how many there are "
        "(model.likelihood.categories), or choose a likelihood for counts without a limit "
        "(model.likelihood: poisson) or for real values (model.likelihood: gaussian)"
    )
    measured: Tensor

    def __init__(
        self, event_shape: tuple[int, ...], categories: Annotated[int, Field(ge=2)] = 2
    ) -> None:
        super().__init__(event_shape)
        self.categories = categories
        self.support = constraints.integer_interval(0, categories - 1)
        self.register_buffer("measured", torch.zeros((), dtype=torch.bool))
        self.first = nn.Parameter(torch.zeros(self.event_shape))
        self.raw_gaps: nn.Parameter | None = None  # between the cutpoints, if there are two
        if categories > 2:
            self.raw_gaps = nn.Parameter(torch.zeros(*self.event_shape, categories - 2))
        self._set(torch.arange(1, categories).expand(*self.event_shape, -1) / categories)

    @property
    def cutpoints(self) -> Tensor:
        """Of each dimension, ``(*event_shape, K - 1)``, increasing."""
        first = bounded(SPEED * self.first, LIMIT).unsqueeze(-1)
        if self.raw_gaps is None:
            return first
        gaps = bounded_scale(SPEED * self.raw_gaps, *GAPS)
        return torch.cat([first, gaps], -1).cumsum(-1)

    @torch.no_grad()
    def initialize(self, x: Tensor) -> None:
        """Set the cutpoints from the training data's shares, the first time only.

        Each category counts for half a datum more than there are.
        """
        if self.measured:
            return
        numbers = torch.arange(self.categories - 1, device=x.device)
        below = (x.unsqueeze(-1) <= numbers).sum(0) + (numbers + 1) / 2
        self._set(below / ((~x.isnan()).sum(0) + self.categories / 2).unsqueeze(-1))
        self.measured.fill_(True)

    @torch.no_grad()
    def _set(self, below: Tensor) -> None:
        """Have these probabilities of each category and those below it, at location 0."""
        edges = below.to(self.first).logit()
        self.first.copy_(edges[..., 0] / SPEED)
        if self.raw_gaps is not None:
            self.raw_gaps.copy_(edges.diff(dim=-1).log() / SPEED)

    def forward(self, parameters: Tensor, x: Tensor | None = None) -> TorchDistribution:
        """Independent ordered categories around these locations."""
        loc = bounded(parameters, LIMIT)
        return dist.OrderedLogistic(loc, self.cutpoints).to_event(len(self.event_shape))
