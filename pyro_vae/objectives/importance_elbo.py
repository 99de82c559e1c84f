"""The importance-weighted and the Renyi bound as a Pyro loss, with weights for each datum."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pyro_vae.objectives.estimators import Estimator, vimco_baseline
from pyro_vae.objectives.particle_elbo import (
    Draws,
    ParticleELBO,
    only_latent,
    path_of_log_posterior,
)

__all__ = ["TraceImportance_ELBO"]


class TraceImportance_ELBO(ParticleELBO):  # noqa: N801
    r"""The Renyi bound of order alpha from K weights of each datum; of order 0, IWAE's.

    .. math:: \sum_n \frac{1}{1 - \alpha} \log \frac1K \sum_k w_{nk}^{1 - \alpha}, \quad
              w_{nk} = \frac{p(x_n, z_{nk})}{q(z_{nk} \mid x_n)}

    Each datum has its own weights, and a scale multiplies its bound. Pyro's ``RenyiELBO`` weights
    whole batches and scales before the exponential, so that its value is no bound.

    Args:
        alpha: At least 0, and not 1.
        num_particles: Number K of draws for each datum.
        estimator: ``pathwise``; for alpha = 0 also ``doubly_reparameterized``, or
            ``score_function`` with VIMCO's baseline.
        max_plate_nesting: As for :class:`~pyro_vae.objectives.particle_elbo.ParticleELBO`.
    """

    def __init__(
        self,
        alpha: float = 0.0,
        num_particles: int = 5,
        estimator: Estimator = "pathwise",
        max_plate_nesting: int = 1,
    ) -> None:
        super().__init__(num_particles, estimator, max_plate_nesting)
        self.alpha = alpha

    @property
    def name(self) -> str:
        """Such as ``IWAE bound, K = 5``."""
        bound = "IWAE bound" if self.alpha == 0 else f"Renyi bound, alpha = {self.alpha:g}"
        return f"{bound}, K = {self.num_particles}"

    def value_and_surrogate(self, draws: Draws) -> tuple[Tensor, Tensor]:
        """The bound, and a surrogate with its gradient."""
        log_weights = draws.log_weights
        per_datum = _log_power_mean(log_weights, 1 - self.alpha)  # (N,)
        value = draws.summed(per_datum)
        kl = draws.log_posterior - draws.log_prior
        self.remember(draws, kl, value)
        if self.estimator == "pathwise":
            return value, value
        share = log_weights.detach().softmax(0)  # (K, N)
        if self.estimator == "doubly_reparameterized":
            return value, self._doubly_reparameterized(draws, share)
        signal = (per_datum - vimco_baseline(log_weights)).detach()
        surrogate = signal * draws.log_posterior + share * log_weights
        return value, draws.summed(surrogate.sum(0))

    def _doubly_reparameterized(self, draws: Draws, share: Tensor) -> Tensor:
        """Squared weights on the path through z, plain weights elsewhere.

        The gradient is weighted in the loss and again at z. The model's parameters, and the
        encoder's where the prior depends on it, are weighted once.
        """
        _, _, site = only_latent(draws, self.estimator)
        log_posterior = path_of_log_posterior(draws, self.estimator, through_z=True)
        _weigh_gradient(site["value"], share, site["fn"].event_dim)
        log_weights = draws.log_likelihood + draws.log_prior - log_posterior
        return draws.summed((share * log_weights).sum(0))


def _log_power_mean(log_weights: Tensor, order: float) -> Tensor:
    """The log of the power mean over K, ``(N,)``, accurate as the order goes to 0 too."""
    largest = (order * log_weights.detach()).argmax(0, keepdim=True)
    pivot = log_weights.detach().gather(0, largest)
    return pivot[0] + torch.expm1(order * (log_weights - pivot)).mean(0).log1p() / order


def _weigh_gradient(z: Tensor, share: Tensor, event_dim: int) -> None:
    """Multiply the gradient at z, ``(K, N, *event)``, by ``(K, N)``."""
    if not z.requires_grad:
        return
    batch = z.shape[: z.dim() - event_dim]
    weight = share.reshape(*batch, *(1 for _ in range(event_dim)))

    def weigh(gradient: Any) -> Any:
        return torch.mul(gradient, weight)

    z.register_hook(weigh)
