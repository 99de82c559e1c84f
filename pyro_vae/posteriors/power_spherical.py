"""The power spherical posterior."""

from __future__ import annotations

import torch
from pydantic import PositiveInt
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor
from torch.nn.functional import normalize

from pyro_vae.core.errors import DeclarationError
from pyro_vae.core.posterior import Posterior
from pyro_vae.distributions import power_spherical
from pyro_vae.distributions.bounds import bounded_scale

__all__ = ["PowerSpherical"]

TINY = 1e-12


class PowerSpherical(Posterior):
    r"""A bump on the sphere, its direction and concentration given by the encoder.

    .. math:: q(z \mid x) \propto (1 + \mu(x) \cdot z)^{\kappa(x)}, \quad \|z\| = 1

    It goes with a prior on the sphere; with ``uniform_sphere`` its KL has a closed form. The
    concentration stays within [1e-3, 1e3]. Its centre is its mode mu, since its mean lies inside
    the sphere.

    Shapes:
        maps ``(*, latent_dim + 1)`` to batch_shape ``(*,)`` and event_shape ``(latent_dim,)``;
        ``log_prob`` is in nats.

    Args:
        latent_dim: Size M of the latent code, at least 2.

    References:
        | The power spherical distribution (De Cao and Aziz, 2020)
        | https://arxiv.org/abs/2006.04437
        | Hyperspherical variational auto-encoders (Davidson et al., 2018)
        | https://arxiv.org/abs/1804.00891

    Example:
        >>> PowerSpherical(latent_dim=3)(torch.ones(5, 4)).batch_shape
        torch.Size([5])
    """

    def __init__(self, latent_dim: PositiveInt) -> None:
        super().__init__()
        if latent_dim < 2:
            raise DeclarationError(f"power_spherical.latent_dim: must be >= 2, got {latent_dim}")
        self.latent_dim = latent_dim

    @property
    def parameter_shape(self) -> tuple[int, ...]:
        """A direction and a raw concentration, ``(latent_dim + 1,)``."""
        return (self.latent_dim + 1,)

    def forward(self, parameters: Tensor) -> TorchDistribution:
        """The bump, from ``(*, latent_dim + 1)``."""
        raw, concentration = parameters[..., :-1], bounded_scale(parameters[..., -1])
        nowhere = raw.norm(dim=-1, keepdim=True) < TINY  # 0 has no direction: take the first axis
        first = torch.eye(self.latent_dim)[0].to(raw)
        loc = normalize(torch.where(nowhere, first, raw), dim=-1)
        return power_spherical.PowerSpherical(loc, concentration)

    def point_estimate(self, q: TorchDistribution) -> Tensor:
        """The mode, a point of the sphere."""
        mode: Tensor = q.mode
        return mode
