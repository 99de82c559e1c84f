"""The ELBO with its KL weighted, warmed up or floored, by any estimator, as a Pyro loss."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pyro_vae.core.errors import IncompatibleComponents, NoClosedFormKL
from pyro_vae.core.whole_batch import batch_mean
from pyro_vae.objectives.estimators import Estimator, leave_one_out
from pyro_vae.objectives.kl import KL, kl_method, kl_per_dimension
from pyro_vae.objectives.particle_elbo import Draws, ParticleELBO, path_of_log_posterior
from pyro_vae.objectives.pyro_elbos import check_alike, masked, site_kl

__all__ = ["TraceBeta_ELBO"]


class TraceBeta_ELBO(ParticleELBO):  # noqa: N801
    r"""E_q[log p(x|z)] - beta KL, summed over the batch, with optional free bits.

    .. math:: \sum_n E_q[\log p(x_n \mid z)] - \beta \sum_m N
              \max\Big(\lambda, \frac1N \sum_n KL(q(z_m \mid x_n) \,\|\, p(z_m))\Big)

    ``beta`` is a scalar tensor that :meth:`begin_epoch` changes in place; until the first call it
    has its final value.

    Args:
        kl: ``sampled``, ``exact`` or ``auto``, as for
            :class:`~pyro_vae.objectives.elbo.ELBO`.
        beta: Weight of the KL, at least 0.
        warm_up: Epochs over which the weight rises to ``beta``.
        free_bits: lambda in nats for each latent dimension; above 0 the KL must be exact.
        num_particles: Number K of draws for each datum.
        estimator: ``pathwise``, ``sticking_the_landing`` or ``score_function``.
        max_plate_nesting: As for :class:`~pyro_vae.objectives.particle_elbo.ParticleELBO`.

    Raises:
        NoClosedFormKL: if ``kl`` is ``exact`` and a site has none, or with ``free_bits`` if a
            site's KL is not a sum over dimensions.
    """

    def __init__(
        self,
        kl: KL = "sampled",
        beta: float = 1.0,
        warm_up: int = 0,
        free_bits: float = 0.0,
        num_particles: int = 1,
        estimator: Estimator = "pathwise",
        max_plate_nesting: int = 1,
    ) -> None:
        super().__init__(num_particles, estimator, max_plate_nesting)
        self.divergence, self.free_bits = kl, free_bits
        self.final_beta, self.warm_up = beta, warm_up
        self.beta = torch.tensor(beta, dtype=torch.float64)
        self.methods: dict[str, str] = {}

    @property
    def name(self) -> str:
        """Such as ``ELBO, beta = 4, free bits 0.5``."""
        beta = "" if self.final_beta == 1 else f", beta = {self.final_beta:g}"
        bits = f", free bits {self.free_bits:g}" if self.free_bits else ""
        return f"ELBO{beta}{bits}"

    def begin_epoch(self, epoch: int) -> None:
        """Set the weight of the KL: ``beta * epoch / warm_up``, until it is ``beta``."""
        share = min(1.0, epoch / self.warm_up) if self.warm_up else 1.0
        self.beta.fill_(self.final_beta * share)

    def value_and_surrogate(self, draws: Draws) -> tuple[Tensor, Tensor]:
        """The weighted ELBO, and a surrogate with its gradient."""
        if self.beta.device != draws.log_prior.device:
            self.beta = self.beta.to(draws.log_prior.device)
        kl = self._divergence(draws)
        value = draws.summed(draws.log_likelihood.mean(0)) - self._penalty(draws, kl)
        self.remember(draws, kl, value)
        if self.estimator != "score_function":
            return value, value
        rewards = (draws.log_likelihood - self.beta * kl).detach()
        signal = rewards - leave_one_out(rewards)
        return value, value + draws.summed((signal * draws.log_posterior).mean(0))

    def _divergence(self, draws: Draws) -> Tensor:
        """The KL of all latent sites, ``(K, N)``, with the estimator's gradient."""
        kl = torch.zeros_like(draws.log_prior)
        for name, model_site, guide_site in draws.latents:
            method = kl_method(guide_site["fn"], model_site["fn"], self.divergence)
            self.methods[name] = method
            log_posterior = None
            if method == "exact":
                check_alike(name, model_site, guide_site, "mask")
            else:
                log_posterior = self._log_posterior(draws, guide_site)
            kl = kl + site_kl(model_site, guide_site, method, log_posterior).reshape(kl.shape)
        return kl

    def _log_posterior(self, draws: Draws, site: Any) -> Tensor:
        """log q of a site with the estimator's gradient: none where that has mean 0."""  # noqa: D403
        log_q = masked(site["unscaled_log_prob"], site)
        if self.estimator == "sticking_the_landing":
            log_q = path_of_log_posterior(draws, self.estimator, through_z=False).reshape(
                log_q.shape
            )
        return log_q.detach() if self.estimator == "score_function" else log_q

    def _penalty(self, draws: Draws, kl: Tensor) -> Tensor:
        """beta KL, summed over the batch, each dimension at least the free bits."""  # noqa: D403
        if not self.free_bits:
            return draws.summed(self.beta * kl.mean(0))
        size = draws.summed(torch.ones_like(kl[0]))
        total = torch.zeros_like(size)
        for name, model_site, guide_site in draws.latents:
            if model_site["mask"] is not None or guide_site["mask"] is not None:
                raise IncompatibleComponents(
                    f"Site {name!r}: expected no mask with free bits, which bound the mean over "
                    f"the batch, got one; leave free_bits out"
                )
            each = _kl_per_dimension(guide_site["fn"], model_site["fn"])  # (*, N, M)
            mean = batch_mean(each.reshape(-1, each.shape[-1]), 0)
            total = total + size * (self.beta * mean.clamp(min=self.free_bits)).sum()
        return total


def _kl_per_dimension(q: Any, p: Any) -> Tensor:
    kl, why = kl_per_dimension(q, p)
    if kl is None:
        raise NoClosedFormKL(
            f"Expected a closed-form KL that is a sum over the latent dimensions, got a pair for "
            f"which it is not ({why}); leave free_bits out, or choose a prior and a posterior of "
            f"independent dimensions, such as standard_normal and diagonal_normal"
        )
    return kl
