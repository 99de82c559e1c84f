"""The continuous Bernoulli, exact in single precision and for any logit."""

from __future__ import annotations

import torch
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor
from torch.distributions import constraints
from torch.types import _size

__all__ = ["ContinuousBernoulli"]

SERIES = 0.1  # below this |logit| a series in it is more precise than the formula
MEAN_SERIES = 0.5
SAMPLE_SERIES = 1e-6


class ContinuousBernoulli(TorchDistribution):
    r"""The exponential family on [0, 1] whose natural parameter is the logit l.

    .. math:: p(x) = \frac{l\, e^{l x}}{e^l - 1}

    Torch's own passes through the probability, sigmoid(l): in single precision its normalizer
    stands still beyond a logit of 16, and its draws may leave [0, 1] by a rounding. Here all is
    computed from the distance to the favoured end, which is a truncated exponential of rate |l|.

    Shapes:
        batch_shape is that of ``logits``; event_shape is ``()``. ``log_prob`` is in nats.

    Args:
        logits: The natural parameter, any real number.

    References:
        | The continuous Bernoulli: fixing a pervasive error in variational autoencoders
        | (Loaiza-Ganem and Cunningham, 2019) https://arxiv.org/abs/1907.06845

    Example:
        >>> ContinuousBernoulli(torch.tensor([0.0, 1e6, -1e6])).mean
        tensor([5.0000e-01, 1.0000e+00, 1.0000e-06])
    """

    arg_constraints = {"logits": constraints.real}  # noqa: RUF012
    support = constraints.unit_interval
    has_rsample = True

    def __init__(self, logits: Tensor, validate_args: bool | None = None) -> None:
        self.logits = logits
        super().__init__(logits.shape, validate_args=validate_args)

    def expand(
        self, batch_shape: _size, _instance: ContinuousBernoulli | None = None
    ) -> ContinuousBernoulli:
        """The same distribution with a larger batch_shape."""
        new: ContinuousBernoulli = self._get_checked_instance(ContinuousBernoulli, _instance)
        new.logits = self.logits.expand(batch_shape)
        super(ContinuousBernoulli, new).__init__(torch.Size(batch_shape), validate_args=False)
        new._validate_args = self._validate_args
        return new

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) in nats."""  # noqa: D403
        if self._validate_args:
            self._validate_sample(x)
        near, rate = self._split(SERIES)
        distance = torch.where(self.logits > 0, 1 - x, x)
        far = rate.log() - (-torch.expm1(-rate)).log() - rate * distance
        s = self.logits.square()
        series = self.logits * (x - 0.5) - s / 24 + s**2 / 2880 - s**3 / 181440
        return torch.where(near, series, far)

    def rsample(self, sample_shape: _size = ()) -> Tensor:
        """Draws by the inverse of the distribution function, ``(*sample_shape, *batch)``."""
        logits = self.logits.expand(self._extended_shape(sample_shape))
        near, rate = self._split(SAMPLE_SERIES)
        u = torch.rand_like(logits)
        towards = torch.where(logits > 0, 1 - u, u)
        distance = -torch.log1p(towards * torch.expm1(-rate)) / rate
        far = torch.where(logits > 0, 1 - distance, distance)
        return torch.where(near, u + logits * u * (1 - u) / 2, far).clamp(0, 1)

    @property
    def mean(self) -> Tensor:
        """E[x], ``batch_shape``."""
        near, rate = self._split(MEAN_SERIES)
        distance = 1 / rate - 1 / torch.expm1(rate)
        s = self.logits.square()
        terms = 1 / 12 - s / 720 + s**2 / 30240 - s**3 / 1209600 + s**4 / 47900160
        far = torch.where(self.logits > 0, 1 - distance, distance)
        return torch.where(near, 0.5 + self.logits * terms, far)

    def _split(self, threshold: float) -> tuple[Tensor, Tensor]:
        """Where the series is taken, and |logit| elsewhere: 1 there, so that gradients exist."""
        near = self.logits.abs() < threshold
        return near, torch.where(near, torch.ones_like(self.logits), self.logits.abs())
