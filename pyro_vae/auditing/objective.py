"""What a training loss maximizes, written by hand, with the same draws from the same seed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.distributions import kl_divergence

from pyro_vae.auditing.checks import Check, paired
from pyro_vae.auditing.densities import log_density
from pyro_vae.objectives.beta_elbo import TraceBeta_ELBO
from pyro_vae.objectives.importance_elbo import TraceImportance_ELBO
from pyro_vae.objectives.kl import KL, kl_exact, kl_method
from pyro_vae.objectives.terms import elbo_terms
from pyro_vae.vae import VAE

__all__ = ["importance_bound", "objective_by_hand", "value_check"]

ByHand = Callable[[], Tensor]


def objective_by_hand(vae: VAE, x: Tensor, loss: Any) -> list[ByHand]:
    """What a loss maximizes, summed over the batch in nats, by each method of finding its KL.

    All have one mean. The last finds the KL as the loss does, where that is known. A loss that is
    not of this package is taken for the ELBO's.
    """
    if isinstance(loss, TraceImportance_ELBO):
        return [lambda: importance_bound(vae, x, loss.num_particles, loss.alpha).sum()]
    if isinstance(loss, TraceBeta_ELBO):
        methods = _kl_methods(vae, x, loss.divergence)
        return [partial(_weighted_elbo, vae, x, loss, method) for method in methods]
    return [partial(_elbo, vae, x, method) for method in _kl_methods(vae, x, "auto")]


def value_check(
    vae: VAE, x: Tensor, loss: Any, by_hand: list[ByHand], draws: int, seed: int, eps: float
) -> Check:
    """Compare the value of a loss with the hand-written ones, from the same seeds.

    The reference is the one whose difference from the loss varies least: then the noise of the
    draws cancels, and small mistakes become visible.
    """
    rows: list[list[float]] = []
    for draw in range(draws):
        torch.manual_seed(seed + draw)
        rows.append([-float(loss.loss(vae.model, vae.guide, x)) / len(x)])
        for method in by_hand:
            torch.manual_seed(seed + draw)
            rows[-1].append(method().item() / len(x))
    values, expected = torch.tensor(rows, dtype=torch.float64).split([1, len(by_hand)], 1)
    best = int((values - expected).std(0).argmin())
    return paired(
        getattr(loss, "name", "elbo"), f"the training's {type(loss).__name__}.loss",
        "by hand, the same seeds", values, expected[:, [best]], eps,
    )  # fmt: skip


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


def _elbo(vae: VAE, x: Tensor, method: KL) -> Tensor:
    return elbo_terms(vae, x, kl=method).elbo.sum()


def _weighted_elbo(vae: VAE, x: Tensor, loss: TraceBeta_ELBO, method: KL) -> Tensor:
    log_likelihood, log_prior, log_posterior = _densities(vae, x, loss.num_particles)
    beta, q, p = loss.beta.item(), vae.encode(x), vae.prior()
    reconstruction = log_likelihood.mean(0).sum()
    if loss.free_bits:  # by torch, so that it shares no code with the loss
        mean = kl_divergence(q.base_dist, p.base_dist).mean(0)
        floored = torch.where(mean > loss.free_bits, mean, loss.free_bits)
        return reconstruction - beta * len(x) * floored.sum()
    if method == "exact":
        return reconstruction - beta * kl_exact(q, p).sum()
    return reconstruction - beta * (log_posterior - log_prior).mean(0).sum()


def _densities(vae: VAE, x: Tensor, particles: int) -> tuple[Tensor, Tensor, Tensor]:
    q, p = vae.encode(x), vae.prior()
    z = q.expand(torch.Size([particles, len(x)])).rsample()
    return log_density(vae.decode(z, x), x)[0], log_density(p, z)[0], log_density(q, z)[0]


def _kl_methods(vae: VAE, x: Tensor, kl: KL) -> list[KL]:
    """The methods of finding the KL, the loss's own last."""
    if kl_method(vae.encode(x), vae.prior()) != "exact":
        return ["sampled"]
    return ["exact", "sampled"] if kl == "sampled" else ["sampled", "exact"]
