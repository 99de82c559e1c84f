"""The inverse autoregressive flow as a posterior."""

from __future__ import annotations

from pydantic import PositiveInt

from pyro_vae.core.bounds import Layers
from pyro_vae.distributions.autoregressive import autoregressive_steps
from pyro_vae.posteriors.flow_posterior import AutoregressivePosterior

__all__ = ["IAF"]


class IAF(AutoregressivePosterior):
    r"""Inverse autoregressive flow: scales and shifts that depend on the dimensions before.

    .. math:: z_{t,m} = \mu_{t,m}(z_{t-1,<m}, h) + \sigma_{t,m}(z_{t-1,<m}, h) \, z_{t-1,m},
              \quad z_0 \sim N(\mu(x), \mathrm{diag}(\sigma(x)^2))

    with h a context that the encoder puts out; every other step takes the dimensions in reverse.
    A draw and its density take one pass of each network; the density of any other code takes M.
    Each sigma of a step stays within [1e-3, 1e3].

    Shapes:
        maps ``(*, 2 * latent_dim + context)`` to batch_shape ``(*,)`` and event_shape
        ``(latent_dim,)``; ``log_prob`` is in nats.

    Args:
        latent_dim: Size M of the latent code, at least 1.
        transforms: Number of transforms, at least 1.
        context: Size of the context h, at least 1.
        hidden: Width of each network's hidden layer, at least M; None for 4 M, and at least 32.

    References:
        | Improving variational inference with inverse autoregressive flow (Kingma et al., 2016)
        | https://arxiv.org/abs/1606.04934

    Example:
        >>> import torch
        >>> IAF(latent_dim=3, context=8)(torch.zeros(5, 14)).batch_shape
        torch.Size([5])
    """

    def __init__(
        self,
        latent_dim: PositiveInt,
        transforms: Layers = 2,
        context: PositiveInt = 16,
        hidden: PositiveInt | None = None,
    ) -> None:
        super().__init__(latent_dim, context)
        self.steps = autoregressive_steps("iaf", latent_dim, transforms, hidden, context)
