"""Base of our own losses: the log-densities of each particle of each datum."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import pyro.infer.enum
import torch
from pyro.infer import util
from pyro.poutine import Trace
from torch import Tensor

from pyro_vae.core.errors import IncompatibleComponents
from pyro_vae.objectives.estimators import Estimator, without_score
from pyro_vae.objectives.pyro_elbos import (
    SurrogateELBO,
    _samples,
    check_alike,
    latent_pairs,
    masked,
)

__all__ = ["Draws", "ParticleELBO"]


@dataclass(frozen=True)
class Draws:
    """The log-densities of one trace, in nats, each ``(K, N)``: K particles of each datum.

    They are masked but not scaled, since the scale belongs outside any nonlinear function of the
    weights.

    Args:
        log_likelihood: log p(x|z).
        log_prior: log p(z).
        log_posterior: log q(z|x).
        latents: Each latent site's name, and its node in the model's and in the guide's trace.
        scale: The scale of every site, a number or a tensor that broadcasts with ``(N,)``.
    """

    log_likelihood: Tensor
    log_prior: Tensor
    log_posterior: Tensor
    latents: list[tuple[str, Any, Any]]
    scale: Any

    @property
    def log_weights(self) -> Tensor:
        """log p(x, z) - log q(z|x), ``(K, N)``."""  # noqa: D403
        return self.log_likelihood + self.log_prior - self.log_posterior

    def summed(self, per_datum: Tensor) -> Tensor:
        """The scaled sum over the batch of a value for each datum, ``(N,)``."""
        return (per_datum * self.scale).sum()


class ParticleELBO(SurrogateELBO):
    """Base of the losses that need each particle of each datum.

    How to write one: ``value_and_surrogate(draws)`` returns the bound, and a surrogate with its
    gradient, each in nats and summed over the batch with ``draws.summed``.

    After each loss ``log_likelihood`` and ``kl`` hold the ELBO's terms, as for ``Trace_ELBO``,
    and ``bound`` what was maximized, in nats, summed over the batch, detached.

    Args:
        num_particles: Number K of draws for each datum, vectorized.
        estimator: Of the gradient with respect to the guide.
        max_plate_nesting: That of model and guide, without the plate of the particles.

    Raises:
        IncompatibleComponents: if model and guide do not sample the same sites, all of them in
            one plate over the data and scaled alike; or if the estimator needs a
            reparameterized guide, or one of a single site, and has none.
        NonFiniteLoss: naming the site, the term and the rows of the batch.
    """

    def __init__(
        self,
        num_particles: int = 1,
        estimator: Estimator = "pathwise",
        max_plate_nesting: int = 1,
    ) -> None:
        super().__init__(
            num_particles=num_particles,
            vectorize_particles=num_particles > 1,
            max_plate_nesting=max_plate_nesting,
        )
        self.estimator: Estimator = estimator
        self.bound: Tensor | None = torch.zeros(())

    @property
    @abstractmethod
    def name(self) -> str:
        """What is maximized, in words."""

    @abstractmethod
    def value_and_surrogate(self, draws: Draws) -> tuple[Tensor, Tensor]:
        """The bound, and a surrogate with its gradient: in nats, summed over the batch."""

    def _get_trace(self, model: Any, guide: Any, args: Any, kwargs: Any) -> Any:
        if self.estimator != "score_function":
            return super()._get_trace(model, guide, args, kwargs)
        return pyro.infer.enum.get_importance_trace(
            "flat", self.max_plate_nesting, model, guide, args, kwargs, detach=True
        )

    def remember(self, draws: Draws, kl: Tensor, value: Tensor) -> None:
        """Keep the ELBO's terms, whose KL is ``(K, N)``, and what was maximized."""
        self.log_likelihood = draws.summed(draws.log_likelihood.detach().mean(0))
        self.kl = draws.summed(kl.detach().mean(0))
        self.bound = value.detach()

    def _differentiable_loss_particle(
        self, model_trace: Trace, guide_trace: Trace
    ) -> tuple[Any, Any]:
        """Both are times K, since Pyro divides by the number of particles."""
        draws = _draws(model_trace, guide_trace, self.num_particles, self.estimator)
        value, surrogate = self.value_and_surrogate(draws)
        loss = util.torch_item(-value.detach())
        self._check_finite(loss, model_trace, guide_trace)
        return self.num_particles * loss, -self.num_particles * surrogate


def _draws(model_trace: Trace, guide_trace: Trace, particles: int, estimator: str) -> Draws:
    reparameterized = estimator != "score_function"
    latents = latent_pairs(
        model_trace, guide_trace, ordered=False, reparameterized=reparameterized
    )
    sites = [*_samples(model_trace), *_samples(guide_trace)]
    first = sites[0][1]
    for name, site in sites:
        if site["unscaled_log_prob"].numel() != first["unscaled_log_prob"].numel():
            raise IncompatibleComponents(
                f"Site {name!r}: expected every site within one plate over the data, so that each "
                f"datum has weights of its own, got log-probabilities of shape "
                f"{tuple(site['log_prob'].shape)} and {tuple(first['log_prob'].shape)}: use "
                f"Trace_ELBO"
            )
        check_alike(name, site, first, "scale")
    if first["unscaled_log_prob"].numel() % particles:
        raise IncompatibleComponents(
            f"Expected {particles} particles of each datum, got log-probabilities of shape "
            f"{tuple(first['log_prob'].shape)}"
        )
    return Draws(
        log_likelihood=_total([s for _, s in sites if s["is_observed"]], particles),
        log_prior=_total([site for _, site, _ in latents], particles),
        log_posterior=_total([site for *_, site in latents], particles),
        latents=latents,
        scale=first["scale"],
    )


def _total(sites: list[Any], particles: int) -> Tensor:
    """The sites' log-probabilities together, ``(K, N)``, masked but not scaled."""
    total: Any = 0.0
    for site in sites:
        total = total + masked(site["unscaled_log_prob"], site).reshape(particles, -1)
    return total


def only_latent(draws: Draws, estimator: Estimator) -> tuple[str, Any, Any]:
    """The only latent site: with several, score and path cannot be separated.

    Raises:
        IncompatibleComponents: if there are several.
    """
    if len(draws.latents) != 1:
        raise IncompatibleComponents(
            f"Expected a guide with one latent site for estimator: {estimator}, got "
            f"{[name for name, *_ in draws.latents]}: choose estimator: pathwise"
        )
    return draws.latents[0]


def path_of_log_posterior(draws: Draws, estimator: Estimator, *, through_z: bool) -> Tensor:
    """log q(z|x), ``(K, N)``, with the gradient that passes through z alone.

    Args:
        draws: Of one trace.
        estimator: For the message.
        through_z: Evaluate it at a copy of z. At its own draw, a flow would use cached noise and
            cut the gradient through z.
    """  # noqa: D403
    _, _, site = only_latent(draws, estimator)
    z, whole = site["value"], draws.log_posterior

    def log_density(value: Tensor) -> Tensor:
        return masked(site["fn"].log_prob(value), site).reshape(whole.shape)

    whole = log_density(z.clone()) if through_z else whole
    return without_score(whole, log_density(z.detach()))
