"""What a model was trained with, held against the same bound by hand, datum by datum."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Independent, kl_divergence

from pyro_vae.audit.checks import Check, z_score
from pyro_vae.audit.estimates import log_density
from pyro_vae.audit.gradients import objective_gradient_checks
from pyro_vae.objectives.beta_elbo import TraceBeta_ELBO
from pyro_vae.objectives.importance_elbo import TraceImportance_ELBO
from pyro_vae.objectives.kl import kl_exact, kl_method
from pyro_vae.objectives.particle_elbo import ParticleELBO
from pyro_vae.objectives.terms import elbo_terms
from pyro_vae.vae import VAE

__all__ = ["objective_by_hand", "objective_checks"]

ByHand = Callable[[], Tensor]


def objective_checks(
    vae: VAE, x: Tensor, loss: Any, *, particles: int, gradients: int, seed: int, eps: float
) -> list[Check]:
    """Hold the value of a loss, and the gradient of one of this package's, against our own.

    Args:
        vae: The model.
        x: Data, ``(N, *event_shape)``.
        loss: A Pyro loss; one that is not of this package is taken for the ELBO's.
        particles: Draws for each datum; a tenth of them, and at least 100, are made of the value.
        gradients: Gradients drawn; 0 leaves them out.
        seed: Seed of every draw.
        eps: Relative rounding error below which two values are equal.
    """
    hands = objective_by_hand(vae, x, loss)
    checks = [_value_check(vae, x, loss, hands, max(100, particles // 10), seed, eps)]
    if gradients and isinstance(loss, ParticleELBO):
        with torch.enable_grad():
            checks += objective_gradient_checks(
                vae, x, loss, lambda: -hands[-1]() / len(x), loss.name, gradients, seed, eps
            )
    return checks


def objective_by_hand(vae: VAE, x: Tensor, loss: Any) -> list[ByHand]:
    """What a loss maximizes, summed over the batch in nats: one function for each method to it.

    Each makes the draws that the loss makes from the same seed. Where there are two, they
    differ in how they find the KL, and have one mean.
    """
    if isinstance(loss, TraceImportance_ELBO):
        return [lambda: importance_bound(vae, x, loss.num_particles, loss.alpha).sum()]
    if not isinstance(loss, TraceBeta_ELBO):
        return [
            lambda method=method: elbo_terms(vae, x, kl=method).elbo.sum()  # type: ignore[misc]
            for method in _methods(vae, x, "auto")
        ]
    return [
        lambda method=method: _weighted_elbo(vae, x, loss, method)  # type: ignore[misc]
        for method in _methods(vae, x, loss.divergence)
    ]


def _methods(vae: VAE, x: Tensor, kl: Any) -> list[str]:
    """The methods to the KL; last the one that the loss takes, where it says."""
    if kl_method(vae.encode(x), vae.prior()) != "exact":
        return ["sampled"]
    return ["exact", "sampled"] if kl == "sampled" else ["sampled", "exact"]


def importance_bound(vae: VAE, x: Tensor, particles: int, alpha: float = 0.0) -> Tensor:
    r"""The Renyi bound of order alpha, one draw of it for each datum, ``(N,)``, in nats.

    .. math:: m + \frac{1}{1 - \alpha} \log \frac1K \sum_k e^{(1 - \alpha)(\log w_k - m)},
              \quad m = \max_k \log w_k
    """
    log_likelihood, log_prior, log_posterior = _densities(vae, x, particles)
    log_weights = log_likelihood + log_prior - log_posterior  # (K, N)
    highest = log_weights.detach().amax(0)
    order = 1 - alpha
    return highest + (order * (log_weights - highest)).exp().mean(0).log() / order


def _densities(vae: VAE, x: Tensor, particles: int) -> tuple[Tensor, Tensor, Tensor]:
    q, p = vae.encode(x), vae.prior()
    z = q.expand(torch.Size([particles, len(x)])).rsample()
    return log_density(vae.decode(z, x), x)[0], log_density(p, z)[0], log_density(q, z)[0]


def _weighted_elbo(vae: VAE, x: Tensor, loss: TraceBeta_ELBO, method: str) -> Tensor:
    log_likelihood, log_prior, log_posterior = _densities(vae, x, loss.num_particles)
    beta, q, p = loss.beta.item(), vae.encode(x), vae.prior()
    reconstruction = log_likelihood.mean(0).sum()
    if loss.free_bits:
        mean = _kl_of_each_dimension(q, p).mean(0)
        floored = torch.where(mean > loss.free_bits, mean, loss.free_bits)
        return reconstruction - beta * len(x) * floored.sum()
    if method == "exact":
        return reconstruction - beta * kl_exact(q, p).sum()
    return reconstruction - beta * (log_posterior - log_prior).mean(0).sum()


def _kl_of_each_dimension(q: Any, p: Any) -> Tensor:
    """By torch, ``(N, M)``: another method than the formulas written here."""
    assert isinstance(q, Independent)
    assert isinstance(p, Independent)
    value: Tensor = kl_divergence(q.base_dist, p.base_dist)  # type: ignore[no-untyped-call,unused-ignore]
    return value


def _value_check(
    vae: VAE, x: Tensor, loss: Any, hands: list[ByHand], draws: int, seed: int, eps: float
) -> Check:
    """The value of a loss against its hand-written ones, from the same seeds.

    It is held against whichever leaves least noise in the difference: the draws that both make
    alike cancel, so that a small mistake shows.
    """
    rows: list[list[float]] = []
    for draw in range(draws):
        torch.manual_seed(seed + draw)
        rows.append([-float(loss.loss(vae.model, vae.guide, x)) / len(x)])
        for hand in hands:
            torch.manual_seed(seed + draw)
            rows[-1].append(hand().item() / len(x))
    drawn = torch.tensor(rows, dtype=torch.float64)
    gaps = drawn[:, :1] - drawn[:, 1:]
    gap = gaps[:, int(gaps.std(0).argmin())]
    stderr = gap.std() / len(gap) ** 0.5
    rounding = eps * max(1.0, drawn.abs().max().item())
    z = z_score(gap.mean(), stderr, len(gap) - 1, rounding)
    return Check(
        getattr(loss, "name", "elbo"), f"the training's {type(loss).__name__}.loss",
        drawn[:, 0].mean().item(), "by hand, the same seeds", gap.mean().item(), stderr.item(),
        z.item(), tests=1,
    )  # fmt: skip
