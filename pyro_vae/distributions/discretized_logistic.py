"""The logistic distribution, rounded to equally spaced levels between 0 and 1."""

from __future__ import annotations

import torch
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor
from torch.distributions import constraints
from torch.distributions.utils import broadcast_all
from torch.nn.functional import logsigmoid
from torch.types import _size

from pyro_vae.distributions.levels import Levels

__all__ = ["DiscretizedLogistic"]


class DiscretizedLogistic(TorchDistribution):
    r"""Each level has the mass of its bin; the outermost bins reach to infinity.

    .. math:: P(x) = \mathrm{sigmoid}(b) - \mathrm{sigmoid}(a), \quad
              a, b = \frac{x \mp w/2 - \mu}{s}, \quad w = \frac{1}{L - 1}

    In the tails the two sigmoids are equal to the last digit, so the logarithm is taken of
    sigmoid(b) sigmoid(-a) (1 - exp(a - b)), which is the same number.

    Shapes:
        batch_shape is that of ``loc`` and ``scale`` broadcast; event_shape is ``()``.
        ``log_prob`` is in nats, for a probability mass that sums to 1 over the levels.

    Args:
        loc: Location mu, in the units of the data, [0, 1].
        scale: Scale s, above 0, in the same units.
        levels: How many levels, L, at least 2.

    References:
        | Improving variational inference with inverse autoregressive flow (Kingma et al., 2016)
        | https://arxiv.org/abs/1606.04934
        | PixelCNN++ (Salimans et al., 2017) https://arxiv.org/abs/1701.05517

    Example:
        >>> d = DiscretizedLogistic(torch.tensor(0.3), torch.tensor(0.1), levels=5)
        >>> d.log_prob(d.support.values()).exp().sum()
        tensor(1.)
    """

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}  # noqa: RUF012

    def __init__(
        self, loc: Tensor, scale: Tensor, levels: int = 256, validate_args: bool | None = None
    ) -> None:
        self.loc, self.scale = broadcast_all(loc, scale)
        self.levels = levels
        super().__init__(self.loc.shape, validate_args=validate_args)

    def expand(
        self, batch_shape: _size, _instance: DiscretizedLogistic | None = None
    ) -> DiscretizedLogistic:
        """The same distribution with a larger batch_shape."""
        new: DiscretizedLogistic = self._get_checked_instance(DiscretizedLogistic, _instance)
        new.loc, new.scale = self.loc.expand(batch_shape), self.scale.expand(batch_shape)
        new.levels = self.levels
        super(DiscretizedLogistic, new).__init__(torch.Size(batch_shape), validate_args=False)
        new._validate_args = self._validate_args
        return new

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> Levels:
        """The levels."""
        return Levels(self.levels)

    def log_prob(self, x: Tensor) -> Tensor:
        """log P(x) in nats."""  # noqa: D403
        if self._validate_args:
            self._validate_sample(x)
        step = (x * (self.levels - 1)).round()
        below = self._standard(step - 0.5)
        above = self._standard(step + 0.5)
        bin_width = (self.scale * (self.levels - 1)).reciprocal()
        inner = (-torch.expm1(-bin_width)).log()
        inner = inner + logsigmoid(above) + logsigmoid(-below)
        outer = torch.where(step <= 0, logsigmoid(above), logsigmoid(-below))
        return torch.where((step <= 0) | (step >= self.levels - 1), outer, inner)

    @torch.no_grad()
    def sample(self, sample_shape: _size = ()) -> Tensor:
        """Logistic draws, each moved to the nearest level, ``(*sample_shape, *batch)``."""
        loc = self.loc.expand(self._extended_shape(sample_shape))
        tiny = torch.finfo(loc.dtype).tiny
        u = torch.rand_like(loc).clamp(min=tiny)
        drawn = loc + self.scale * (u.log() - torch.log1p(-u))
        return (drawn.clamp(0, 1) * (self.levels - 1)).round() / (self.levels - 1)

    @property
    def mean(self) -> Tensor:
        """E[x], ``batch_shape``: the sum over the steps of the chance to be above each."""
        edges = (torch.sigmoid(-self._standard(k - 0.5)) for k in range(1, self.levels))
        return sum(edges, torch.zeros_like(self.loc)) / (self.levels - 1)

    def _standard(self, step: Tensor | float) -> Tensor:
        return (step / (self.levels - 1) - self.loc) / self.scale
