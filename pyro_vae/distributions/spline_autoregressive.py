"""The autoregressive rational-quadratic spline, with bounded parameters."""

from __future__ import annotations

import math

from pyro.distributions import transforms
from torch import Tensor, nn

from pyro_vae.distributions.bounds import bounded

__all__ = ["SplineAutoregressive", "spline_parameters"]

LIMIT = 5.0
IDENTITY = math.log(math.expm1(1 - 1e-3))  # of a slope: what makes it 1


def spline_parameters(bins: int) -> list[int]:
    """Widths, heights and inner slopes of each dimension's spline."""
    return [bins, bins, bins - 1]


class SplineAutoregressive(transforms.SplineAutoregressive):
    r"""Pyro's autoregressive spline, near the identity where its network puts out zeros.

    .. math:: y_m = g(x_m; \theta_m(x_{<m}, c))

    with g an increasing rational-quadratic spline on [-B, B] and the identity outside. What the
    network puts out is bounded, so that no bin is too narrow to invert in single precision.

    Shapes:
        maps ``(*, M)`` to ``(*, M)``; the log-determinant is ``(*,)``.

    Args:
        latent_dim: Size M.
        network: A masked network that puts out :func:`spline_parameters`.
        bins: Number of bins of each spline, at least 2.
        bound: B, above 0.
        context: What the network takes beside x, ``(*batch, C)``; None for one that takes none.

    References:
        | Neural spline flows (Durkan et al., 2019)
        | https://arxiv.org/abs/1906.04032

    Example:
        >>> import torch
        >>> from pyro_vae.distributions.masked_networks import masked_networks
        >>> t = SplineAutoregressive(2, masked_networks(2, [4, 4, 3], hidden=4)[0], 4, 3.0)
        >>> torch.allclose(t.inv(t(torch.ones(2)).clone()), torch.ones(2), atol=1e-5)
        True
    """

    def __init__(
        self,
        latent_dim: int,
        network: nn.Module,
        bins: int,
        bound: float,
        context: Tensor | None = None,
    ) -> None:
        def parameters(x: Tensor) -> tuple[Tensor, ...]:
            widths, heights, slopes = network(x) if context is None else network(x, context)
            return (
                bounded(widths, LIMIT),
                bounded(heights, LIMIT),
                bounded(slopes, LIMIT) + IDENTITY,
            )

        super().__init__(latent_dim, parameters, bins, bound, order="quadratic")
