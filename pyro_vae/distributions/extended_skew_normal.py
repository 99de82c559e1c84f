"""A normal variable, given that a noisy linear function of it is positive."""

from __future__ import annotations

import math

import torch
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor
from torch.distributions import Normal, constraints
from torch.distributions.utils import broadcast_all
from torch.special import log_ndtr, ndtr, ndtri
from torch.types import _size

__all__ = ["ExtendedSkewNormal"]

FAR = -30.0


class ExtendedSkewNormal(TorchDistribution):
    r"""x ~ N(mu, sigma^2), given that a + b x + e > 0 with standard normal noise e.

    .. math:: p(x) = N(x \mid \mu, \sigma^2) \frac{\Phi(a + b x)}{\Phi(t)}, \quad
              t = \frac{a + b \mu}{\sqrt{1 + b^2 \sigma^2}}

    Shapes:
        batch_shape is that of the arguments broadcast; event_shape is ``()``. ``log_prob`` is in
        nats.

    Args:
        loc: Location mu.
        scale: Scale sigma, above 0.
        slope: b.
        intercept: a.

    References:
        | The skew-normal distribution and related multivariate families (Azzalini, 2005)
        | https://doi.org/10.1111/j.1467-9469.2005.00426.x

    Example:
        >>> zero, one = torch.zeros(()), torch.ones(())
        >>> ExtendedSkewNormal(zero, one, slope=one, intercept=zero).mean
        tensor(0.5642)
    """

    arg_constraints = {  # noqa: RUF012
        "loc": constraints.real, "scale": constraints.positive,
        "slope": constraints.real, "intercept": constraints.real,
    }  # fmt: skip
    support = constraints.real

    def __init__(
        self, loc: Tensor, scale: Tensor, slope: Tensor, intercept: Tensor,
        validate_args: bool | None = None,
    ) -> None:  # fmt: skip
        parts = broadcast_all(loc, scale, slope, intercept)
        self.loc, self.scale, self.slope, self.intercept = parts
        super().__init__(self.loc.shape, validate_args=validate_args)

    def expand(
        self, batch_shape: _size, _instance: ExtendedSkewNormal | None = None
    ) -> ExtendedSkewNormal:
        """The same distribution with a larger batch_shape."""
        loc, scale = self.loc.expand(batch_shape), self.scale.expand(batch_shape)
        return ExtendedSkewNormal(loc, scale, self.slope, self.intercept, validate_args=False)

    @property
    def _root(self) -> Tensor:
        """The deviation of a + b x + e."""
        return (1 + (self.slope * self.scale).square()).sqrt()

    @property
    def threshold(self) -> Tensor:
        """t, whose normal cdf is the probability of the condition."""
        return (self.intercept + self.slope * self.loc) / self._root

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) in nats."""  # noqa: D403
        if self._validate_args:
            self._validate_sample(x)
        tilt = log_ndtr(self.intercept + self.slope * x) - log_ndtr(self.threshold)
        normal: Tensor = Normal(self.loc, self.scale, validate_args=False).log_prob(x)
        return normal + tilt

    @property
    def mean(self) -> Tensor:
        """E[x], ``batch_shape``."""
        return self.loc + self._covariance * self._ratio

    @property
    def variance(self) -> Tensor:
        """Var[x], ``batch_shape``."""
        ratio = self._ratio
        shrunk = self._covariance.square() * ratio * (ratio + self.threshold)
        return (self.scale.square() - shrunk).clamp(min=0)

    @torch.no_grad()
    def sample(self, sample_shape: _size = ()) -> Tensor:
        """Exact draws, ``(*sample_shape, *batch)``: of a + b x + e above 0, then of x given it."""
        t = self.threshold.expand(self._extended_shape(sample_shape)).double()
        u = torch.rand_like(t).clamp(min=torch.finfo(t.dtype).tiny)
        far = (t.square() - 2 * u.log()).sqrt()  # of its tail, where the cdf is 0
        above = torch.where(t < FAR, far, -ndtri(u * ndtr(t.clamp(min=FAR)))).to(self.loc)
        rest = torch.randn_like(above) * self.scale / self._root
        return self.loc + self._covariance * above + rest

    @property
    def _covariance(self) -> Tensor:
        """Of x, and of a + b x + e over its deviation."""
        return self.slope * self.scale.square() / self._root

    @property
    def _ratio(self) -> Tensor:
        """The normal density over the normal cdf, at t."""
        t = self.threshold
        return (-0.5 * (t.square() + math.log(2 * math.pi)) - log_ndtr(t)).exp()
