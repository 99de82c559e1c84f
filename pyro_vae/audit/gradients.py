"""The gradient of each group of parameters, by hand and by Pyro's losses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyro.infer
import torch
from torch import Tensor, nn

from pyro_vae.audit.checks import Check, z_score
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
    "objective_gradient_checks",
]

GROUPS = ("prior", "likelihood", "decoder", "posterior", "encoder")
RANDOM_DIRECTIONS = 3
Loss = Callable[[], Tensor]


def gradient_checks(vae: VAE, x: Tensor, repeats: int, seed: int, eps: float) -> list[Check]:
    """Hold the gradient of Pyro's losses against that of the hand-written ELBO.

    A gradient is compared along directions: its own mean by hand, and random ones. Both are
    drawn from one seed at a time, so that the noise which they share cancels.

    Args:
        vae: The model.
        x: Data, ``(N, *event_shape)``.
        repeats: How many gradients of each loss are drawn, at least 2.
        seed: Seed of the draws.
        eps: Relative rounding error below which two gradients are equal.
    """
    groups = groups_of(vae)
    by_hand, method = elbo_by_hand(vae, x)
    directions = directions_of(by_hand, groups, seed, 1 if "closed" in method else 8)
    seeds = range(seed + 1000, seed + 1000 + repeats)
    expected = _projections(by_hand, groups, directions, seeds)
    measured = {
        cls.__name__: _projections(by_pyro(vae, x, cls()), groups, directions, seeds)
        for cls in (pyro.infer.Trace_ELBO, pyro.infer.TraceMeanField_ELBO)
    }
    return [
        _check(group, name, method, rows[group], expected[group], eps)
        for group in groups
        for name, rows in measured.items()
    ]


def objective_gradient_checks(
    vae: VAE,
    x: Tensor,
    loss: Any,
    by_hand: Loss,
    name: str,
    repeats: int,
    seed: int,
    eps: float,
) -> list[Check]:
    """Hold the gradient of a loss against that of what it minimizes, written by hand.

    Args:
        vae: The model.
        x: Data, ``(N, *event_shape)``.
        loss: A Pyro loss.
        by_hand: The same in nats per datum, with the same draws from the same seed.
        name: What the loss maximizes, for the table.
        repeats: How many gradients of each are drawn, at least 2.
        seed: Seed of the draws.
        eps: Relative rounding error below which two gradients are equal.
    """
    groups = groups_of(vae)
    directions = directions_of(by_hand, groups, seed, 8)
    seeds = range(seed + 1000, seed + 1000 + repeats)
    expected = _projections(by_hand, groups, directions, seeds)
    measured = _projections(by_pyro(vae, x, loss), groups, directions, seeds)
    return [
        _check(group, f"the training's {type(loss).__name__}", "by hand, the same seeds",
               measured[group], expected[group], eps, of=f" of the {name}")
        for group in groups
    ]  # fmt: skip


def groups_of(vae: VAE) -> dict[str, list[nn.Parameter]]:
    """The parameters that are trained, by the component that they belong to."""
    groups = {name: _trainable(getattr(vae, name)) for name in GROUPS}
    return {name: parameters for name, parameters in groups.items() if parameters}


def _trainable(module: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in module.parameters() if parameter.requires_grad]


def elbo_by_hand(vae: VAE, x: Tensor) -> tuple[Loss, str]:
    """The hand-written negative ELBO in nats per datum: exact where it has a closed form."""

    def exact() -> Any:
        linear, q = linear_gaussian(vae), vae.encode(x)
        log_likelihood = None if linear is None else linear.expected_log_likelihood(x, q)
        return (
            None if log_likelihood is None else (kl_exact(q, vae.prior()) - log_likelihood).mean()
        )

    if exact() is not None:
        return exact, "closed form, by hand"
    return (lambda: -elbo_terms(vae, x).elbo.mean()), "by hand, the same draws"


def by_pyro(vae: VAE, x: Tensor, loss: Any) -> Loss:
    """A Pyro loss, in nats per datum."""
    return lambda: loss.differentiable_loss(vae.model, vae.guide, x) / len(x)


def gradient_of(loss: Loss, groups: dict[str, list[nn.Parameter]]) -> dict[str, Tensor]:
    """One gradient of a loss, flat, for each group."""
    parameters = [parameter for group in groups.values() for parameter in group]
    parts = torch.autograd.grad(loss(), parameters, allow_unused=True, materialize_grads=True)
    flat = iter(part.flatten() for part in parts)
    return {name: torch.cat([next(flat) for _ in group]) for name, group in groups.items()}


def directions_of(
    loss: Loss, groups: dict[str, list[nn.Parameter]], seed: int, draws: int
) -> dict[str, Tensor]:
    """Unit vectors to compare along, ``(1 + RANDOM_DIRECTIONS, D)`` for each group."""
    torch.manual_seed(seed)
    gradients = [gradient_of(loss, groups) for _ in range(draws)]
    directions: dict[str, Tensor] = {}
    for name in groups:
        mean = torch.stack([gradient[name] for gradient in gradients]).mean(0)
        rows = torch.cat([mean.unsqueeze(0), torch.randn(RANDOM_DIRECTIONS, len(mean)).to(mean)])
        directions[name] = nn.functional.normalize(rows, dim=-1, eps=1e-30)
    return directions


def _projections(
    loss: Loss,
    groups: dict[str, list[nn.Parameter]],
    directions: dict[str, Tensor],
    seeds: range,
) -> dict[str, Tensor]:
    """Along each direction, and the squared norm last: ``(R, 2 + RANDOM_DIRECTIONS)``."""
    rows: dict[str, list[Tensor]] = {name: [] for name in groups}
    for seed in seeds:
        torch.manual_seed(seed)
        for name, gradient in gradient_of(loss, groups).items():
            along = directions[name] @ gradient
            rows[name].append(torch.cat([along, gradient.square().sum().unsqueeze(0)]))
    return {name: torch.stack(values) for name, values in rows.items()}


def _check(
    group: str,
    method: str,
    reference: str,
    measured: Tensor,
    expected: Tensor,
    eps: float,
    of: str = "",
) -> Check:
    gaps = (measured - expected)[:, :-1]  # (R, directions)
    norm = expected[:, 0].mean().abs().item()
    stderr = (gaps.var(0) / len(gaps)).sqrt()
    scale = expected[:, :-1].abs().max().item()
    z = z_score(gaps.mean(0), stderr, len(gaps) - 1, eps * max(scale, 1.0))
    worst = z[z.abs().argmax()].item()
    variance = (measured[:, -1].mean() - measured[:, 0].mean().square()).clamp(min=0).item()
    length = max(norm, 1e-30)
    bias, error = gaps[:, 0].mean().item() / length, stderr[0].item() / length
    noise = variance**0.5 / length
    return Check(
        f"gradient{of}: {group}", method, measured[:, 0].mean().item(), reference,
        gaps[:, 0].mean().item(), stderr[0].item(), z[0].item(), tests=len(z), worst_z=worst,
        note=f"bias {bias:+.2%} ± {error:.2%}; noise/signal {noise:.2g}",
    )  # fmt: skip
