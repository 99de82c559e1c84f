"""The gradient of each group of parameters: losses against hand-written ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyro
import torch
from torch import Tensor, nn

from pyro_vae.auditing.checks import Check, paired
from pyro_vae.evidence.exact import linear_gaussian
from pyro_vae.objectives.kl import kl_exact
from pyro_vae.objectives.terms import elbo_terms
from pyro_vae.vae import VAE

__all__ = [
    "by_pyro",
    "directions_of",
    "elbo_by_hand",
    "gradient_checks",
    "gradient_of",
    "groups_of",
]

GROUPS = ("prior", "likelihood", "decoder", "posterior", "encoder")
RANDOM_DIRECTIONS = 3
Loss = Callable[[], Tensor]
Groups = Mapping[str, Sequence[Tensor]]


def gradient_checks(
    groups: Groups,
    losses: dict[str, Loss],
    by_hand: Loss,
    reference: str,
    repeats: int,
    seed: int,
    eps: float,
    *,
    bound: str = "",
) -> list[Check]:
    """Compare the gradients of losses with that of the same loss written by hand.

    Gradients are compared along directions: the mean gradient by hand, and random ones. Each
    pair is drawn from one seed, so that their common noise cancels.

    Args:
        groups: Parameters by the name of their group.
        losses: Losses in nats per datum, by the name of their method.
        by_hand: The hand-written loss, in nats per datum.
        reference: Its name.
        repeats: Gradients drawn of each loss, at least 2.
        seed: Seed of the draws.
        eps: Relative rounding error below which two gradients are equal.
        bound: What the losses maximize, for the table, if it is not the ELBO.
    """
    directions = directions_of(by_hand, groups, seed, 1 if "closed" in reference else 8)
    seeds = range(seed + 1000, seed + 1000 + repeats)
    expected = _projections(by_hand, groups, directions, seeds)
    measured = {
        name: _projections(loss, groups, directions, seeds) for name, loss in losses.items()
    }
    of = f" of the {bound}" if bound else ""
    return [
        _check(f"gradient{of}: {group}", name, reference, rows[group], expected[group], eps)
        for group in groups
        for name, rows in measured.items()
    ]


def groups_of(vae: VAE) -> dict[str, list[nn.Parameter]]:
    """The trainable parameters of each component."""
    names = (*GROUPS, "classifier") if vae.sums_out else GROUPS
    groups = {
        name: [p for p in getattr(vae, name).parameters() if p.requires_grad] for name in names
    }
    return {name: parameters for name, parameters in groups.items() if parameters}


def elbo_by_hand(vae: VAE, x: Tensor) -> tuple[Loss, str]:
    """The hand-written negative ELBO in nats per datum, in closed form if it has one; and how."""

    def exact() -> Any:
        linear, q = linear_gaussian(vae), vae.encode(x)
        log_likelihood = None if linear is None else linear.expected_log_likelihood(x, q)
        if log_likelihood is None:
            return None
        return (kl_exact(q, vae.prior()) - log_likelihood).mean()

    if exact() is not None:
        return exact, "closed form, by hand"
    return (lambda: -elbo_terms(vae, x).elbo.mean()), "by hand, the same draws"


def by_pyro(vae: VAE, x: Tensor, loss: Any) -> Loss:
    """A Pyro loss, in nats per datum."""
    return lambda: loss.differentiable_loss(vae.model, vae.guide, x) / len(x)


def gradient_of(loss: Loss, groups: Groups) -> dict[str, Tensor]:
    """One gradient of a loss, flat, for each group."""
    parameters = [parameter for group in groups.values() for parameter in group]
    parts = torch.autograd.grad(loss(), parameters, allow_unused=True, materialize_grads=True)
    flat = iter(part.flatten() for part in parts)
    return {name: torch.cat([next(flat) for _ in group]) for name, group in groups.items()}


def directions_of(loss: Loss, groups: Groups, seed: int, draws: int) -> dict[str, Tensor]:
    """Unit vectors to compare along, ``(1 + RANDOM_DIRECTIONS, D)`` for each group."""
    pyro.set_rng_seed(seed)
    gradients = [gradient_of(loss, groups) for _ in range(draws)]
    directions: dict[str, Tensor] = {}
    for name in groups:
        mean = torch.stack([gradient[name] for gradient in gradients]).mean(0)
        rows = torch.cat([mean.unsqueeze(0), torch.randn(RANDOM_DIRECTIONS, len(mean)).to(mean)])
        directions[name] = nn.functional.normalize(rows, dim=-1, eps=1e-30)
    return directions


def _projections(
    loss: Loss,
    groups: Groups,
    directions: dict[str, Tensor],
    seeds: range,
) -> dict[str, Tensor]:
    """Each gradient along each direction, and its squared norm: ``(R, 2 + RANDOM_DIRECTIONS)``."""
    rows: dict[str, list[Tensor]] = {name: [] for name in groups}
    for seed in seeds:
        pyro.set_rng_seed(seed)
        for name, gradient in gradient_of(loss, groups).items():
            along = directions[name] @ gradient
            rows[name].append(torch.cat([along, gradient.square().sum().unsqueeze(0)]))
    return {name: torch.stack(values) for name, values in rows.items()}


def _check(
    quantity: str, method: str, reference: str, measured: Tensor, expected: Tensor, eps: float
) -> Check:
    """One row; the note gives bias and noise in parts of the gradient's length."""
    check = paired(quantity, method, reference, measured[:, :-1], expected[:, :-1], eps)
    length = max(expected[:, 0].mean().abs().item(), 1e-30)
    variance = (measured[:, -1].mean() - measured[:, 0].mean().square()).clamp(min=0).item()
    bias = check.difference.times(1 / length)
    check.note = (
        f"bias {bias.value:+.2%} ± {bias.stderr:.2%}; noise/signal {variance**0.5 / length:.2g}"
    )
    return check
