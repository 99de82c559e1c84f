"""The evidence lower bound as an objective."""

from __future__ import annotations

from typing import Literal

from pydantic import PositiveInt

from pyro_vae.objectives.objective import Objective
from pyro_vae.objectives.pyro_elbos import Trace_ELBO, TraceExactKL_ELBO

__all__ = ["ELBO"]


class ELBO(Objective):
    r"""The evidence lower bound, by Pyro's Trace_ELBO or with its KL in closed form.

    .. math:: E_{q(z \mid x)}[\log p(x \mid z)] - KL(q(z \mid x) \,\|\, p(z)) \le \log p(x)

    Args:
        kl: sampled (Pyro's Trace_ELBO, as it is), exact (the hand-written closed form, or an
            error where there is none), or auto (exact where there is one, sampled elsewhere).
        particles: Number of draws from the guide for each datum, at least 1.

    References:
        | Auto-encoding variational Bayes (Kingma and Welling, 2013)
        | https://arxiv.org/abs/1312.6114

    Example:
        >>> type(ELBO(kl="exact").pyro_loss()).__name__
        'TraceExactKL_ELBO'
    """

    def __init__(
        self, kl: Literal["sampled", "exact", "auto"] = "sampled", particles: PositiveInt = 1
    ) -> None:
        self.kl, self.particles = kl, particles

    def pyro_loss(self) -> Trace_ELBO:
        """Pyro's Trace_ELBO, or the one with exact KL."""
        options = {
            "num_particles": self.particles,
            "vectorize_particles": self.particles > 1,
            "max_plate_nesting": 1,
        }
        if self.kl == "sampled":
            return Trace_ELBO(**options)
        return TraceExactKL_ELBO(kl=self.kl, **options)
