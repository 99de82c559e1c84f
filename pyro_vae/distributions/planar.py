"""The planar transform, with its inverse."""

from __future__ import annotations

import math

import torch
from pyro.distributions.transforms.planar import ConditionedPlanar
from torch import Tensor
from torch.nn.functional import softplus

__all__ = ["Planar"]

MARGIN = 1e-3
SHIFT = math.log(math.expm1(1 - MARGIN))
HALVINGS = 60


class Planar(ConditionedPlanar):
    r"""Pyro's planar transform, made able to score what it has not drawn.

    .. math:: y = x + \hat u \tanh(w \cdot x + b), \quad
              \hat u = u + (m(u \cdot w) - u \cdot w) \frac{w}{\|w\|^2}, \quad
              m(a) = -1 + \epsilon + \log(1 + (e^{1 - \epsilon} - 1) e^a)

    The inverse is the root of an increasing function of one number, a = w.x, that a bisection
    finds to rounding and one Newton step gives its gradient. The paper's m is log(1 + e^a) - 1,
    which moves u to infinity as w goes to 0 and lets the determinant vanish: this one has
    m(0) = 0, and keeps u.w above -1 + 1e-3.

    Shapes:
        maps ``(*, M)`` to ``(*, M)``; the log-determinant is ``(*,)``.

    Args:
        bias: b, ``(*batch, 1)``.
        u: Direction of the move, ``(*batch, M)``.
        w: Normal of the plane, ``(*batch, M)``.

    References:
        | Variational inference with normalizing flows (Rezende and Mohamed, 2015)
        | https://arxiv.org/abs/1505.05770

    Example:
        >>> planar = Planar(torch.zeros(1), torch.ones(2), torch.ones(2))
        >>> planar.inv(planar(torch.ones(2)).clone()).tolist()
        [1.0, 1.0]
    """

    def __init__(self, bias: Tensor, u: Tensor, w: Tensor) -> None:
        super().__init__((bias, u, w))

    def u_hat(self, u: Tensor, w: Tensor) -> Tensor:
        """The direction nearest to u that keeps the transform invertible."""
        along = (u * w).sum(-1, keepdim=True)
        allowed = MARGIN - 1 + softplus(along + SHIFT)
        return u + (allowed - along) * w / (w.square().sum(-1, keepdim=True) + 1e-8)

    def _inverse(self, y: Tensor) -> Tensor:
        bias, u, w = self._params
        move = self.u_hat(u, w)
        slope, target = (move * w).sum(-1, keepdim=True), (y * w).sum(-1, keepdim=True)
        with torch.no_grad():
            a = _root(target, slope, bias)
            rise = 1 + slope * (1 - torch.tanh(a + bias).square())
        a = a - (a + slope * torch.tanh(a + bias) - target) / rise
        act = torch.tanh(a + bias)
        self._cached_logDetJ = (1 + slope * (1 - act.square())).log().squeeze(-1)
        return y - move * act


def _root(target: Tensor, slope: Tensor, bias: Tensor) -> Tensor:
    """The a for which a + slope tanh(a + bias) = target."""
    low, high = target - slope.abs(), target + slope.abs()
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        beyond = middle + slope * torch.tanh(middle + bias) > target
        low, high = torch.where(beyond, low, middle), torch.where(beyond, middle, high)
    return (low + high) / 2
