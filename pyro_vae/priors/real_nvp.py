"""The real NVP flow as a prior."""

from __future__ import annotations

from pydantic import PositiveInt

from pyro_vae.core.bounds import Layers
from pyro_vae.distributions.autoregressive import autoregressive_steps
from pyro_vae.priors.flow_prior import FlowPrior

__all__ = ["RealNVP"]


class RealNVP(FlowPrior):
    r"""Affine couplings on a standard normal.

    .. math:: p(z) = N(f(z) \mid 0, I) \left|\det \frac{\partial f}{\partial z}\right|, \quad
              f(z) = (\mu_a + \sigma_a z_a, \; \mu_b(z_a) + \sigma_b(z_a) \odot z_b)

    composed several times; z_a and z_b are the two halves of z, and swap roles each time. Both
    the density and a draw are fast. Each sigma stays within [1e-3, 1e3].

    Shapes:
        ``forward()`` has batch_shape ``()`` and event_shape ``(latent_dim,)``;
        ``log_prob`` maps ``(*, latent_dim)`` to ``(*,)``, in nats.

    Args:
        latent_dim: Size M of the latent code, at least 1.
        transforms: Number of couplings, at least 1.
        hidden: Width of each network's hidden layer, at least M; None for 4 M, and at least 32.

    References:
        | Density estimation using real NVP (Dinh et al., 2017)
        | https://arxiv.org/abs/1605.08803

    Example:
        >>> RealNVP(latent_dim=2)().sample().shape
        torch.Size([2])
    """

    def __init__(
        self,
        latent_dim: PositiveInt,
        transforms: Layers = 2,
        hidden: PositiveInt | None = None,
    ) -> None:
        super().__init__(latent_dim)
        self.steps = autoregressive_steps(
            "real_nvp", latent_dim, transforms, hidden, coupling=True
        )
