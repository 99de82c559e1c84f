"""The Renyi bound as an objective."""

from __future__ import annotations

from pydantic import NonNegativeFloat

from pyro_vae.core.bounds import Particles
from pyro_vae.core.errors import DeclarationError
from pyro_vae.objectives.importance_elbo import TraceImportance_ELBO
from pyro_vae.objectives.objective import Objective

__all__ = ["Renyi"]


class Renyi(Objective):
    r"""The Renyi bound of order alpha: IWAE's at 0, the ELBO as alpha goes to 1.

    .. math:: \frac{1}{1 - \alpha} E \Big[ \log \frac1K \sum_k
              \Big( \frac{p(x, z_k)}{q(z_k \mid x)} \Big)^{1 - \alpha} \Big]

    For alpha from 0 to 1 it lies between the ELBO and IWAE's bound with as many particles; above
    1 it lies below the ELBO, and seeks modes. Below 0 it is no lower bound, and refused, as is 1,
    where it is the ELBO. The gradient is pathwise.

    Args:
        alpha: The order, at least 0, and not 1.
        particles: Number K of draws from the guide for each datum, at least 1.

    Raises:
        DeclarationError: if alpha is 1.

    References:
        | Renyi divergence variational inference (Li and Turner, 2016)
        | https://arxiv.org/abs/1602.02311

    Example:
        >>> Renyi(alpha=2.0).pyro_loss().name
        'Renyi bound, alpha = 2, K = 5'
    """

    def __init__(self, alpha: NonNegativeFloat = 0.5, particles: Particles = 5) -> None:
        self.alpha, self.particles = float(alpha), particles
        if self.alpha == 1:
            raise DeclarationError(
                "renyi.alpha: must not be 1, where the Renyi bound is the ELBO: choose kind: elbo",
                "The objective",
            )

    def pyro_loss(self) -> TraceImportance_ELBO:
        """The bound of this order, which weighs each datum's particles."""
        return TraceImportance_ELBO(alpha=self.alpha, num_particles=self.particles)
