"""A mixture of diagonal normals whose draws carry gradients."""

from __future__ import annotations

import math
from typing import Any

import torch
from pyro.distributions import constraints
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor
from torch.special import ndtr

__all__ = ["NormalMixture"]


class NormalMixture(TorchDistribution):
    r"""Mixture of diagonal normals, reparameterized implicitly.

    .. math:: q(z) = \sum_k \pi_k \, N(z \mid \mu_k, \mathrm{diag}(\sigma_k^2))

    A draw is made by choosing a component. Its gradient is that of the map which keeps each
    conditional distribution function F_m(z_m | z_1, ..., z_{m-1}) fixed while the parameters
    move: dz = -(dF/dz)^{-1} dF, with a triangular dF/dz. Pyro's ``MixtureOfDiagNormals`` knows
    no mixture in one dimension, and its weights' gradient is NaN where two means coincide.

    Shapes:
        batch_shape is that of ``logits`` without its last dimension, event_shape is ``(M,)``;
        ``log_prob`` is in nats.

    Args:
        logits: Unnormalized log-weights, ``(*batch, K)``.
        loc: Means, ``(*batch, K, M)``.
        scale: Scales, ``(*batch, K, M)``.

    References:
        | Implicit reparameterization gradients (Figurnov et al., 2018)
        | https://arxiv.org/abs/1805.08498
        | Stochastic backpropagation through mixture density distributions (Graves, 2016)
        | https://arxiv.org/abs/1607.05690

    Example:
        >>> q = NormalMixture(torch.zeros(3), torch.zeros(3, 2), torch.ones(3, 2))
        >>> round(q.log_prob(torch.zeros(2)).item(), 4)
        -1.8379
    """

    arg_constraints = {  # noqa: RUF012
        "logits": constraints.real_vector,
        "loc": constraints.independent(constraints.real, 2),
        "scale": constraints.independent(constraints.positive, 2),
    }
    support = constraints.real_vector
    has_rsample = True

    def __init__(
        self, logits: Tensor, loc: Tensor, scale: Tensor, validate_args: bool | None = None
    ) -> None:
        self.logits = logits.log_softmax(-1)
        self.loc, self.scale = loc, scale
        super().__init__(logits.shape[:-1], loc.shape[-1:], validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> NormalMixture:
        """The same mixture for a larger batch."""
        new = self._get_checked_instance(NormalMixture, _instance)
        batch = torch.Size(batch_shape)
        new.logits = self.logits.expand(batch + self.logits.shape[-1:])
        new.loc = self.loc.expand(batch + self.loc.shape[-2:])
        new.scale = self.scale.expand(batch + self.scale.shape[-2:])
        super(NormalMixture, new).__init__(batch, self.event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    @property
    def mean(self) -> Tensor:
        """The weighted mean of the means, ``(*batch, M)``."""
        return (self.logits.exp().unsqueeze(-1) * self.loc).sum(-2)

    @property
    def variance(self) -> Tensor:
        """Of each dimension, ``(*batch, M)``."""
        spread = self.scale.square() + (self.loc - self.mean.unsqueeze(-2)).square()
        return (self.logits.exp().unsqueeze(-1) * spread).sum(-2)

    def log_prob(self, value: Tensor) -> Tensor:
        """The log-density in nats, for ``(*, M)``."""
        if self._validate_args:
            self._validate_sample(value)
        return (self.logits + self._log_normals(value).sum(-1)).logsumexp(-1)

    @torch.no_grad()
    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:  # noqa: B008
        """Draws without gradients, ``(*sample_shape, *batch, M)``."""
        shape = torch.Size(sample_shape) + self.batch_shape
        weights = self.logits.exp().expand(shape + self.logits.shape[-1:])
        flat = weights.reshape(-1, weights.shape[-1])
        chosen = torch.multinomial(flat, 1).reshape((*shape, 1, 1))
        index = chosen.expand(*shape, 1, *self.event_shape)
        full = shape + self.loc.shape[-2:]
        loc, scale = (t.expand(full).gather(-2, index).squeeze(-2) for t in (self.loc, self.scale))
        return torch.normal(loc, scale)

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:  # noqa: B008
        """Draws with gradients, ``(*sample_shape, *batch, M)``."""
        z = self.sample(sample_shape)
        if not torch.is_grad_enabled():
            return z
        log_normals = self._log_normals(z)  # (*, K, M)
        before = log_normals.cumsum(-1) - log_normals  # of z_1, ..., z_{m-1}
        weights = (self.logits.unsqueeze(-1) + before).softmax(-2)  # (*, K, M)
        below = ndtr(self._standard(z))
        cumulative = (weights * below).sum(-2)  # F_m, (*, M)
        with torch.no_grad():
            density = (weights * log_normals.exp()).sum(-2)
            density = density.clamp(min=torch.finfo(z.dtype).tiny ** 0.5)
            slope = -self._standard(z) / self.scale  # of log N_k along z
            jacobian = ((weights * (below - cumulative.unsqueeze(-2))).mT @ slope).tril(-1)
            jacobian = jacobian / density.unsqueeze(-1) + torch.eye(z.shape[-1]).to(z)
        moved = ((cumulative - cumulative.detach()) / density).unsqueeze(-1)
        return z - torch.linalg.solve_triangular(
            jacobian, moved, upper=False, unitriangular=True
        ).squeeze(-1)

    def _standard(self, value: Tensor) -> Tensor:
        return (value.unsqueeze(-2) - self.loc) / self.scale

    def _log_normals(self, value: Tensor) -> Tensor:
        """The log-density of each component and dimension, ``(*, K, M)``."""
        square = self._standard(value).square()
        return -0.5 * square - self.scale.log() - 0.5 * math.log(2 * math.pi)
