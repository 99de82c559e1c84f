"""The NICE flow as a posterior."""

from __future__ import annotations

from pydantic import PositiveInt
from zuko.transforms import AdditiveTransform

from pyro_vae.core.bounds import Layers
from pyro_vae.distributions.autoregressive import autoregressive_steps
from pyro_vae.posteriors.flow_posterior import AutoregressivePosterior

__all__ = ["NICE"]


class NICE(AutoregressivePosterior):
    r"""Additive couplings of a diagonal normal, which preserve volume.

    .. math:: z_t = (\mu_a(h) + a, \; \mu_b(a, h) + b), \quad (a, b) = z_{t-1}, \quad
              z_0 \sim N(\mu(x), \mathrm{diag}(\sigma(x)^2))

    with h a context that the encoder puts out; the two halves a and b swap roles at each
    coupling. The density of any code is fast, as are draws.

    Shapes:
        maps ``(*, 2 * latent_dim + context)`` to batch_shape ``(*,)`` and event_shape
        ``(latent_dim,)``; ``log_prob`` is in nats.

    Args:
        latent_dim: Size M of the latent code, at least 1.
        transforms: Number of couplings, at least 1.
        context: Size of the context h, at least 1.
        hidden: Width of each network's hidden layer, at least M; None for 4 M, and at least 32.

    References:
        | NICE: non-linear independent components estimation (Dinh et al., 2015)
        | https://arxiv.org/abs/1410.8516

    Example:
        >>> import torch
        >>> NICE(latent_dim=3, context=8)(torch.zeros(5, 14)).batch_shape
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
        self.steps = autoregressive_steps(
            "nice", latent_dim, transforms, hidden, context, AdditiveTransform, [()], coupling=True
        )
