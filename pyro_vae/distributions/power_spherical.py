"""The power spherical distribution."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import pyro.distributions as dist
import torch
from pyro.distributions import constraints
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor
from torch.nn.functional import normalize

__all__ = ["PowerSpherical"]


class PowerSpherical(TorchDistribution):
    r"""A bump on the unit sphere in R^M, reparameterized without rejection.

    .. math:: q(z) \propto (1 + \mu \cdot z)^\kappa, \quad \|z\| = \|\mu\| = 1

    with the normalizer 2^(a + b) pi^b Gamma(a) / Gamma(a + b) for b = (M - 1) / 2 and
    a = b + kappa. A draw is t mu + sqrt(1 - t^2) v, with (1 + t) / 2 ~ Beta(a, b), and v uniform
    among the unit vectors at right angles to mu.

    Shapes:
        batch_shape is that of ``concentration``, event_shape is ``(M,)``; ``log_prob`` is in nats,
        with respect to the area of the sphere.

    Args:
        loc: Mean direction mu, ``(*batch, M)``, of length 1. M is at least 2.
        concentration: kappa, ``(*batch,)``, above 0.

    References:
        | The power spherical distribution (De Cao and Aziz, 2020)
        | https://arxiv.org/abs/2006.04437

    Example:
        >>> q = PowerSpherical(torch.tensor([0.0, 1.0]), torch.tensor(2.0))
        >>> [round(value, 4) for value in q.mean.tolist()]
        [0.0, 0.6667]
    """

    arg_constraints: ClassVar[dict[str, Any]] = {
        "loc": constraints.sphere,
        "concentration": constraints.positive,
    }
    support = constraints.sphere
    has_rsample = True

    def __init__(
        self, loc: Tensor, concentration: Tensor, validate_args: bool | None = None
    ) -> None:
        self.loc, self.concentration = loc, concentration
        super().__init__(concentration.shape, loc.shape[-1:], validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> PowerSpherical:
        """The same for a larger batch."""
        new = self._get_checked_instance(PowerSpherical, _instance)
        batch = torch.Size(batch_shape)
        new.loc = self.loc.expand(batch + self.event_shape)
        new.concentration = self.concentration.expand(batch)
        super(PowerSpherical, new).__init__(batch, self.event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    @property
    def shapes(self) -> tuple[Tensor, Tensor]:
        """The parameters a and b of the Beta distribution along the mean direction."""
        b = torch.full_like(self.concentration, (self.event_shape[0] - 1) / 2)
        return b + self.concentration, b

    @property
    def mean(self) -> Tensor:
        """(a - b) / (a + b) mu, which lies inside the sphere."""
        a, b = self.shapes
        return ((a - b) / (a + b)).unsqueeze(-1) * self.loc

    @property
    def mode(self) -> Tensor:
        """The mean direction, mu."""
        return self.loc

    @property
    def log_normalizer(self) -> Tensor:
        """Logarithm of the integral of (1 + mu.z)^kappa over the sphere."""
        a, b = self.shapes
        return (a + b) * math.log(2) + b * math.log(math.pi) + a.lgamma() - (a + b).lgamma()

    def log_prob(self, value: Tensor) -> Tensor:
        """The log-density in nats, for ``(*, M)``."""
        if self._validate_args:
            self._validate_sample(value)
        # 1 + mu.z as |mu + z|^2 / 2, which is never negative
        height = (self.loc + value).square().sum(-1) / 2
        tiny = torch.finfo(value.dtype).eps ** 2
        return self.concentration * height.clamp(min=tiny).log() - self.log_normalizer

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:  # noqa: B008
        """Draws with gradients, ``(*sample_shape, *batch, M)``."""
        shape = torch.Size(sample_shape)
        split = dist.Dirichlet(torch.stack(self.shapes, -1)).rsample(shape)
        near, far = split.clamp(min=torch.finfo(split.dtype).tiny).unbind(-1)
        noise = self.loc.new_empty(self._extended_shape(shape)).normal_()
        loc = self.loc.expand_as(noise)
        across = normalize(noise - (noise * loc).sum(-1, keepdim=True) * loc, dim=-1)
        along = (near - far).unsqueeze(-1) * loc
        return normalize(along + 2 * (near * far).sqrt().unsqueeze(-1) * across, dim=-1)

    def entropy(self) -> Tensor:
        """In nats, with respect to the area of the sphere, ``(*batch,)``."""
        a, b = self.shapes
        height = math.log(2) + a.digamma() - (a + b).digamma()
        return self.log_normalizer - self.concentration * height
