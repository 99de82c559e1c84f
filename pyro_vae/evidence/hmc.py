"""Hamiltonian Monte Carlo on many codes at once, with a step size for each datum."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from pyro_vae.core.errors import IncompatibleComponents
from pyro_vae.core.supports import same_support, support_name
from pyro_vae.vae import VAE

__all__ = ["Joint", "check_real_codes", "transition"]


@dataclass(frozen=True)
class Joint:
    r"""The model with its likelihood tempered: p(z) p(x|z)^beta, for a batch of data.

    Args:
        vae: The model.
        x: Data, ``(N, *event_shape)``.
    """

    vae: VAE
    x: Tensor

    def terms(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Log p(z) and log p(x|z) of codes ``(C, N, M)``, each ``(C, N)``, in nats."""
        return self.vae.prior().log_prob(z), self.vae.decode(z, self.x).log_prob(self.x)

    def at(self, beta: float) -> Callable[[Tensor], Tensor]:
        """The log-density at an inverse temperature, up to its normalizer."""

        def log_density(z: Tensor) -> Tensor:
            log_prior, log_likelihood = self.terms(z)
            return log_prior + beta * log_likelihood

        return log_density


def transition(
    log_density: Callable[[Tensor], Tensor], z: Tensor, step_size: Tensor, leapfrog: int
) -> tuple[Tensor, Tensor]:
    """One trajectory with its Metropolis test, which leaves the density invariant.

    A trajectory to where the density is not finite is rejected.

    Args:
        log_density: From codes ``(C, N, M)`` to ``(C, N)``, in nats.
        z: State of the chains, ``(C, N, M)``.
        step_size: ``(N,)``.
        leapfrog: Number of steps.

    Returns:
        The new state, and each acceptance probability, ``(C, N)``.

    References:
        | MCMC using Hamiltonian dynamics (Neal, 2011)
        | https://arxiv.org/abs/1206.1901
    """
    step = step_size.unsqueeze(-1)
    momentum = torch.randn_like(z)
    before, slope = _with_slope(log_density, z)
    kinetic = momentum.square().sum(-1) / 2
    proposed, moving = z, momentum + step / 2 * slope
    for index in range(leapfrog):
        proposed = proposed + step * moving
        after, slope = _with_slope(log_density, proposed)
        moving = moving + (step if index < leapfrog - 1 else step / 2) * slope
    change = after - before + kinetic - moving.square().sum(-1) / 2
    accept = change.nan_to_num(nan=-torch.inf, posinf=-torch.inf).clamp(max=0.0).exp()
    moved = torch.rand_like(accept) < accept
    return torch.where(moved.unsqueeze(-1), proposed, z), accept


def _with_slope(log_density: Callable[[Tensor], Tensor], z: Tensor) -> tuple[Tensor, Tensor]:
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        value = log_density(z)
        (slope,) = torch.autograd.grad(value.sum(), z)
    return value.detach(), slope


def check_real_codes(vae: VAE, what: str) -> None:
    """Refuse a model whose codes are not real vectors.

    Raises:
        IncompatibleComponents: naming the prior and its support.
    """
    p = vae.example(1).prior()
    try:
        support = p.support
    except NotImplementedError:
        return
    if not same_support(support, torch.distributions.constraints.real_vector):
        raise IncompatibleComponents(
            f"{what} moves codes through a real space: expected a prior of real codes, got "
            f"{type(vae.prior).__name__}, whose codes lie on: {support_name(support)}; estimate "
            f"log p(x) by importance sampling (nll)"
        )
