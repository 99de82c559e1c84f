"""The neural spline flow as a posterior."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, PositiveInt

from pyro_vae.core.bounds import Layers
from pyro_vae.distributions.autoregressive import autoregressive_steps, spline
from pyro_vae.posteriors.flow_posterior import AutoregressivePosterior

__all__ = ["NeuralSpline"]


class NeuralSpline(AutoregressivePosterior):
    r"""Autoregressive rational-quadratic splines, shifted and scaled by the encoder.

    .. math:: z = \mu(x) + \sigma(x) \odot u_T, \quad u_{t,m} = g(u_{t-1,m};
              \theta_{t,m}(u_{t-1,<m}, h)), \quad u_0 \sim N(0, I)

    with g an increasing spline on [-B, B] and the identity outside, and h a context that the
    encoder puts out; every other step takes the dimensions in reverse. A draw and its density
    take one pass of each network; the density of any other code takes M.

    Shapes:
        maps ``(*, 2 * latent_dim + context)`` to batch_shape ``(*,)`` and event_shape
        ``(latent_dim,)``; ``log_prob`` is in nats.

    Args:
        latent_dim: Size M of the latent code, at least 1.
        transforms: Number of transforms, at least 1.
        bins: Number of bins of each spline, from 2 to 100.
        bound: B, in units of sigma, from 0.1 to 1000.
        context: Size of the context h, at least 1.
        hidden: Width of each network's hidden layer, at least M; None for 4 M, and at least 32.

    References:
        | Neural spline flows (Durkan et al., 2019)
        | https://arxiv.org/abs/1906.04032

    Example:
        >>> import torch
        >>> NeuralSpline(latent_dim=3, context=8)(torch.zeros(5, 14)).batch_shape
        torch.Size([5])
    """

    standardized = True

    def __init__(
        self,
        latent_dim: PositiveInt,
        transforms: Layers = 2,
        bins: Annotated[int, Field(ge=2, le=100)] = 8,
        bound: Annotated[float, Field(ge=0.1, le=1000)] = 4.0,
        context: PositiveInt = 16,
        hidden: PositiveInt | None = None,
    ) -> None:
        super().__init__(latent_dim, context)
        self.steps = autoregressive_steps(
            "neural_spline", latent_dim, transforms, hidden, context, **spline(bins, bound)
        )
