"""The neural spline flow as a prior."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, PositiveInt

from pyro_vae.core.bounds import Layers
from pyro_vae.distributions.autoregressive import autoregressive_steps, spline
from pyro_vae.priors.flow_prior import FlowPrior

__all__ = ["NeuralSpline"]


class NeuralSpline(FlowPrior):
    r"""Autoregressive rational-quadratic splines on a standard normal.

    .. math:: p(z) = N(f(z) \mid 0, I) \left|\det \frac{\partial f}{\partial z}\right|, \quad
              f(z)_m = g(z_m; \theta_m(z_{<m}))

    with g an increasing spline on [-B, B] and the identity outside, so that the tails are normal;
    composed several times, every other time with the dimensions reversed. The density takes one
    pass of each network, a draw takes M.

    Shapes:
        ``forward()`` has batch_shape ``()`` and event_shape ``(latent_dim,)``;
        ``log_prob`` maps ``(*, latent_dim)`` to ``(*,)``, in nats.

    Args:
        latent_dim: Size M of the latent code, at least 1.
        transforms: Number of transforms, at least 1.
        bins: Number of bins of each spline, from 2 to 100.
        bound: B, from 0.1 to 1000.
        hidden: Width of each network's hidden layer, at least M; None for 4 M, and at least 32.

    References:
        | Neural spline flows (Durkan et al., 2019)
        | https://arxiv.org/abs/1906.04032

    Example:
        >>> NeuralSpline(latent_dim=2)().sample().shape
        torch.Size([2])
    """

    def __init__(
        self,
        latent_dim: PositiveInt,
        transforms: Layers = 2,
        bins: Annotated[int, Field(ge=2, le=100)] = 8,
        bound: Annotated[float, Field(ge=0.1, le=1000)] = 4.0,
        hidden: PositiveInt | None = None,
    ) -> None:
        super().__init__(latent_dim)
        self.steps = autoregressive_steps(
            "neural_spline", latent_dim, transforms, hidden, **spline(bins, bound)
        )
