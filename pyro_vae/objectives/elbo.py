"""The evidence lower bound as an objective."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import NonNegativeFloat, NonNegativeInt

from pyro_vae.core.bounds import Particles
from pyro_vae.core.errors import DeclarationError
from pyro_vae.objectives.beta_elbo import TraceBeta_ELBO
from pyro_vae.objectives.enumerated_elbo import TraceEnum_ELBO
from pyro_vae.objectives.estimators import Estimator, refuse
from pyro_vae.objectives.objective import Objective
from pyro_vae.objectives.pyro_elbos import Trace_ELBO, TraceExactKL_ELBO

__all__ = ["ELBO"]

MEANINGLESS = {
    "doubly_reparameterized": (
        "doubly_reparameterized does not apply to the ELBO, whose particles have equal weights; "
        "choose sticking_the_landing, its form for one particle, or kind: iwae"
    ),
}
NO_SCORE = (
    "sticking_the_landing drops the score of a sampled log q(z|x), and a KL in closed form has "
    "none; choose kl: sampled, or estimator: pathwise"
)


class ELBO(Objective):
    r"""The evidence lower bound, by Pyro's Trace_ELBO or with its KL in closed form.

    .. math:: E_{q(z \mid x)}[\log p(x \mid z)] - \beta \,
              KL(q(z \mid x) \,\|\, p(z)) \le \log p(x) \quad \text{for } \beta \ge 1

    A beta below 1 gives no bound. With free bits the batch's mean KL of each latent dimension
    counts as at least ``free_bits``, so that no gradient pushes it lower; this needs a
    closed-form KL that is a sum over dimensions, since the maximum of a noisy estimate is biased.

    Args:
        kl: sampled (Pyro's Trace_ELBO), exact (the closed form, or an error if there is none),
            or auto (exact if there is a closed form, else sampled).
        particles: Number of draws from the guide for each datum, at least 1.
        beta: Weight of the KL, at least 0.
        warm_up: Epochs over which the weight of the KL rises linearly to beta; 0 starts at beta.
        free_bits: Nats of each dimension's KL, averaged over the batch, that are free.
        estimator: Of the guide's gradient: pathwise; sticking_the_landing (no score of a sampled
            KL); score_function (no gradient through z, a leave-one-out baseline, at least 2
            particles).

    Raises:
        DeclarationError: for an estimator or free bits that do not apply.

    References:
        | Auto-encoding variational Bayes (Kingma and Welling, 2013)
        | https://arxiv.org/abs/1312.6114
        | beta-VAE (Higgins et al., 2017) https://openreview.net/forum?id=Sy2fzU9gl
        | Ladder variational autoencoders, warm-up (Sonderby et al., 2016)
        | https://arxiv.org/abs/1602.02282
        | Improving variational inference with inverse autoregressive flow, free bits
        | (Kingma et al., 2016) https://arxiv.org/abs/1606.04934
        | Sticking the landing (Roeder et al., 2017) https://arxiv.org/abs/1703.09194

    Example:
        >>> type(ELBO(kl="exact").pyro_loss()).__name__
        'TraceExactKL_ELBO'
        >>> ELBO(kl="exact", beta=4.0).pyro_loss().name
        'ELBO, beta = 4'
    """

    def __init__(
        self,
        kl: Literal["sampled", "exact", "auto"] = "sampled",
        particles: Particles = 1,
        beta: NonNegativeFloat = 1.0,
        warm_up: NonNegativeInt = 0,
        free_bits: NonNegativeFloat = 0.0,
        estimator: Estimator = "pathwise",
    ) -> None:
        self.kl, self.particles, self.estimator = kl, particles, estimator
        self.beta, self.warm_up, self.free_bits = float(beta), warm_up, float(free_bits)
        meaningless = MEANINGLESS if kl == "sampled" else {
            **MEANINGLESS, "sticking_the_landing": NO_SCORE
        }  # fmt: skip
        refuse("elbo", estimator, particles, meaningless)
        if free_bits and kl == "sampled":
            raise DeclarationError(
                "elbo.free_bits: needs a KL in closed form, since the maximum of a noisy estimate "
                "is biased, got kl: sampled; choose kl: exact",
                "The objective",
            )

    @property
    def _plain(self) -> bool:
        weighted = self.beta != 1 or self.warm_up or self.free_bits
        return not weighted and self.estimator == "pathwise"

    @property
    def _options(self) -> dict[str, Any]:
        return {
            "num_particles": self.particles,
            "vectorize_particles": self.particles > 1,
            "max_plate_nesting": 1,
        }

    def enumerated_loss(self) -> Trace_ELBO:
        """Pyro's TraceEnum_ELBO with its terms."""
        if not self._plain:
            return super().enumerated_loss()
        return TraceEnum_ELBO(kl=self.kl, **self._options)

    def pyro_loss(self) -> Trace_ELBO:
        """Pyro's Trace_ELBO, or the loss with an exact or a weighted KL."""
        if not self._plain:
            return TraceBeta_ELBO(
                kl=self.kl,
                beta=self.beta,
                warm_up=self.warm_up,
                free_bits=self.free_bits,
                num_particles=self.particles,
                estimator=self.estimator,
            )
        if self.kl == "sampled":
            return Trace_ELBO(**self._options)
        return TraceExactKL_ELBO(kl=self.kl, **self._options)

    def check(self, epochs: int) -> None:
        """Refuse a warm-up longer than the run.

        Raises:
            DeclarationError: naming both lengths.
        """
        if self.warm_up > epochs:
            raise DeclarationError(
                f"objective.warm_up: must be <= train.epochs, so that the KL reaches its full "
                f"weight, got {self.warm_up} epochs of warm-up in a run of {epochs}; lower it, "
                f"or train longer"
            )
