"""The mixture of diagonal normals as a posterior."""

from __future__ import annotations

from pydantic import PositiveInt
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor

from pyro_vae.core.posterior import Posterior
from pyro_vae.distributions.bounds import bounded_scale
from pyro_vae.distributions.normal_mixture import NormalMixture

__all__ = ["GaussianMixture"]


class GaussianMixture(Posterior):
    r"""A mixture of diagonal normals, all of it given by the encoder.

    .. math:: q(z \mid x) = \sum_k \pi_k(x) \, N(z \mid \mu_k(x), \mathrm{diag}(\sigma_k(x)^2))

    The draws are reparameterized implicitly, weights included
    (:class:`~pyro_vae.distributions.normal_mixture.NormalMixture`). Between modes that lie far
    apart the gradient of the weights is noisy, since to move mass there takes a long way. Each
    scale stays within [1e-3, 1e3].

    Shapes:
        maps ``(*, components * (1 + 2 * latent_dim))`` to batch_shape ``(*,)`` and event_shape
        ``(latent_dim,)``; ``log_prob`` is in nats.

    Args:
        latent_dim: Size M of the latent code, at least 1.
        components: Number K of normals in the mixture, at least 1.

    References:
        | Automatic differentiation variational inference with mixtures (Morningstar et al., 2021)
        | https://arxiv.org/abs/2003.01687
        | Implicit reparameterization gradients (Figurnov et al., 2018)
        | https://arxiv.org/abs/1805.08498

    Example:
        >>> import torch
        >>> GaussianMixture(latent_dim=3, components=2)(torch.zeros(5, 14)).batch_shape
        torch.Size([5])
    """

    def __init__(self, latent_dim: PositiveInt, components: PositiveInt = 4) -> None:
        super().__init__()
        self.latent_dim, self.components = latent_dim, components

    @property
    def parameter_shape(self) -> tuple[int, ...]:
        """Logits, means and raw scales, ``(components * (1 + 2 * latent_dim),)``."""
        return (self.components * (1 + 2 * self.latent_dim),)

    def forward(self, parameters: Tensor) -> TorchDistribution:
        """The mixture, from ``(*, components * (1 + 2 * latent_dim))``."""
        each = parameters.unflatten(-1, (self.components, 1 + 2 * self.latent_dim))
        logits, loc, raw_scale = each.split([1, self.latent_dim, self.latent_dim], -1)
        return NormalMixture(logits.squeeze(-1), loc, bounded_scale(raw_scale))
