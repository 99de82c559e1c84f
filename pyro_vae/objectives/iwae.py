"""The importance-weighted bound as an objective."""

from __future__ import annotations

from pyro_vae.core.bounds import Particles
from pyro_vae.objectives.estimators import Estimator, refuse
from pyro_vae.objectives.importance_elbo import TraceImportance_ELBO
from pyro_vae.objectives.objective import Objective

__all__ = ["IWAE"]

MEANINGLESS = {
    "sticking_the_landing": (
        "sticking_the_landing is biased for the importance-weighted bound of two particles or "
        "more (Tucker et al., 2019); choose doubly_reparameterized, its unbiased form"
    ),
}


class IWAE(Objective):
    r"""The importance-weighted bound, tighter with more particles.

    .. math:: E_{z_1, ..., z_K \sim q(z \mid x)} \Big[ \log \frac1K \sum_k
              \frac{p(x, z_k)}{q(z_k \mid x)} \Big] \le \log p(x)

    It is the ELBO for K = 1, and rises with K. Each datum has its own weights.

    Args:
        particles: Number K of draws from the guide for each datum, at least 1.
        estimator: Of the guide's gradient: pathwise; doubly_reparameterized (no score, squared
            weights, so that its signal-to-noise ratio does not fall with K); score_function (no
            gradient through z, VIMCO's leave-one-out baseline, at least 2 particles).

    Raises:
        DeclarationError: for an estimator that does not apply.

    References:
        | Importance weighted autoencoders (Burda et al., 2016) https://arxiv.org/abs/1509.00519
        | Doubly reparameterized gradient estimators for Monte Carlo objectives (Tucker et al.,
        | 2019) https://arxiv.org/abs/1810.04152
        | Variational inference for Monte Carlo objectives (Mnih and Rezende, 2016)
        | https://arxiv.org/abs/1602.06725

    Example:
        >>> IWAE(particles=50).pyro_loss().name
        'IWAE bound, K = 50'
    """

    def __init__(self, particles: Particles = 5, estimator: Estimator = "pathwise") -> None:
        self.particles, self.estimator = particles, estimator
        refuse("iwae", estimator, particles, MEANINGLESS)

    def pyro_loss(self) -> TraceImportance_ELBO:
        """The bound of order 0, which weighs each datum's particles."""
        return TraceImportance_ELBO(num_particles=self.particles, estimator=self.estimator)
