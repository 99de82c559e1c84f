"""How a program behaves: its randomness, the parameters that it trains, and its gradient."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from pyro_vae.auditing.checks import Check, finding
from pyro_vae.auditing.program import Draw, Program, is_fixed, log_prob, sites

__all__ = ["behavior_checks", "grouped"]

STEPS = (0.1, 0.02, 0.004, 0.0008, 0.00016)
SHORT = (0.000032, 0.0000064)  # which only float64 resolves
STEADY = 0.002  # relative error of a slope that decides beside the steadiest one
TRAINED = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd)


def behavior_checks(program: Program, seed: int) -> list[Check]:
    """Statements about repeated runs, without sampling error."""
    with torch.enable_grad():
        draw = program.run(seed)
        unseen, without = _parameters(draw)
        random = [*_random(program, draw, seed)]
        slopes = [] if random else [*_slopes(program, draw, seed)]
    return [
        finding("randomness", "the same values have the same densities in each run", random,
                "Write every draw as a sample statement, and call eval() on modules with dropout; "
                "otherwise the ELBO is that of another model in each step."),
        finding("training mode", "no module called is random or depends on the batch",
                [*_training(program.modules)],
                "Call eval() before the audit; in training mode the density of one datum depends "
                "on the others, or on noise."),
        finding("parameters seen", "Pyro sees each parameter that the densities depend on",
                unseen,
                "Register it with pyro.param, pyro.module or a PyroModule under a name that no "
                "other model in the process uses; otherwise SVI does not train it."),
        finding("parameters trained", "each parameter has a gradient", without,
                "Remove detach(), no_grad() and .data on its path, or the parameter; another "
                "module may hold its name in Pyro's parameter store."),
        finding("derivatives", "autograd agrees with differences of the densities", slopes,
                "Remove detach(), no_grad(), .item() and rounding on the path from these "
                "parameters to the densities."),
    ]  # fmt: skip


def grouped(leaves: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """The parameters by their module, or by the first part of their names."""
    groups: dict[str, dict[str, Tensor]] = {}
    for name, leaf in leaves.items():
        module, divider, _ = name.partition("$$$")
        groups.setdefault(module if divider else name.split(".")[0], {})[name] = leaf
    return groups


def _random(program: Program, draw: Draw, seed: int) -> Iterator[str]:
    again = program.run(seed + 7, replay=draw)
    for side, one, two in zip(("model", "guide"), draw, again, strict=True):
        for name, site in sites(one).items():
            if name not in sites(two):
                yield f"{name} is not in each run of the {side}"
                continue
            first, second = log_prob(site), log_prob(sites(two)[name])
            if not torch.allclose(first, second, rtol=1e-4, atol=1e-4, equal_nan=True):
                yield f"log-density of {name} in the {side}: {first:.5g}, then {second:.5g} nats"


def _training(modules: list[nn.Module]) -> Iterator[str]:
    for module in modules:
        if module.training and isinstance(module, TRAINED) and getattr(module, "p", 1.0) != 0:
            yield f"{module} is in training mode"


def _parameters(draw: Draw) -> tuple[list[str], list[str]]:
    """Parameters in the graph that Pyro does not see, and those it sees that are not in it."""
    leaves = draw.leaves()
    total = sum(trace.log_prob_sum() for trace in draw)
    reached = _reached(total) if isinstance(total, Tensor) else []
    known = {id(leaf) for leaf in leaves.values()}
    met = {id(leaf) for leaf in reached}
    unseen = [f"one of shape {tuple(leaf.shape)}" for leaf in reached if id(leaf) not in known]
    return unseen, [name for name, leaf in leaves.items() if id(leaf) not in met]


def _reached(total: Tensor) -> list[Tensor]:
    """The leaves of the graph of a tensor."""
    found: list[Tensor] = []
    queue, seen = [total.grad_fn], set()
    while queue:
        node = queue.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            found.append(node.variable)
        queue += [following for following, _ in node.next_functions]
    return found


def _slopes(program: Program, draw: Draw, seed: int) -> Iterator[str]:
    """Where autograd's derivative is not that of the densities, with the same noise."""
    kept = draw.guide.copy()
    leaves: dict[str, Tensor] = {}
    for name, site in sites(draw.guide).items():
        if is_fixed(site):
            value = site["value"].detach().clone()
            kept.nodes[name] = site | {"value": value}
            if site["fn"].has_rsample and not _is_sphere(site["fn"].support):
                leaves[f"{name} as drawn"] = value.requires_grad_()
        else:
            kept.remove_node(name)
    start = Draw(draw.model, kept)
    own = program.run(seed, replay=start)
    leaves.update(own.leaves())
    totals = {side: trace.log_prob_sum() for side, trace in zip("pq", own, strict=True)}
    gradients = {
        side: dict(zip(leaves, _gradient(total, list(leaves.values())), strict=True))
        for side, total in totals.items()
        if isinstance(total, Tensor) and total.requires_grad
    }
    generator = torch.Generator().manual_seed(seed)
    for group, members in grouped(leaves).items():
        along = {
            name: torch.randn(leaf.shape, generator=generator).to(leaf)
            for name, leaf in members.items()
        }
        length = torch.stack([part.square().sum() for part in along.values()]).sum().sqrt()
        pairs = [(members[name], part / length) for name, part in along.items()]
        slopes = _differences(program, start, seed, pairs)
        for side, gradient in gradients.items():
            parts = [(gradient[name] * part).sum() for name, (_, part) in
                     zip(members, pairs, strict=True)]  # fmt: skip
            stated = torch.stack(parts).sum().item()
            if not any(abs(stated - found) <= 5 * error + 0.01 * max(abs(stated), abs(found))
                       for found, error in slopes[side]):  # fmt: skip
                yield (f"{group}: d log {side} is {stated:.4g} by autograd, "
                       f"{slopes[side][0][0]:.4g} by differences")  # fmt: skip


def _is_sphere(support: Any) -> bool:
    """Whether a step in any direction leaves it, where two formulas of a density differ."""
    return type(support).__name__.strip("_") == "Sphere"


def _gradient(total: Tensor, leaves: list[Tensor]) -> tuple[Tensor, ...]:
    return torch.autograd.grad(
        total, leaves, retain_graph=True, allow_unused=True, materialize_grads=True
    )


@torch.no_grad()
def _differences(
    program: Program, start: Draw, seed: int, pairs: list[tuple[Tensor, Tensor]]
) -> dict[str, list[tuple[float, float]]]:
    """The slopes of log p and log q along a direction, with their errors, the steadiest first.

    Long steps cross kinks, such as that of a Laplace density, which short ones do not reach; in
    float64, the slopes at other steps that are steady too follow.
    """

    def values(step: float) -> Tensor:
        for tensor, part in pairs:
            tensor.add_(part, alpha=step)
        traces = program.run(seed, replay=start)
        totals = [sum(log_prob(site).double() for site in sites(t).values()) for t in traces]
        for (tensor, _), saved in zip(pairs, before, strict=True):
            tensor.copy_(saved)  # after the densities, which may hold the parameter itself
        return torch.stack([torch.as_tensor(total).cpu() for total in totals])

    before = [tensor.clone() for tensor, _ in pairs]
    eps = torch.finfo(before[0].dtype).eps
    steps = (*STEPS, *SHORT) if eps < 1e-10 else STEPS
    ends = [(values(step), values(-step)) for step in steps]
    slopes = torch.stack(
        [(up - down) / (2 * h) for (up, down), h in zip(ends, steps, strict=True)]
    )
    rounding = torch.stack([eps * up.abs() / h for (up, _), h in zip(ends, steps, strict=True)])
    inner = slopes[1:-1]
    errors = (
        torch.maximum((inner - slopes[:-2]).abs(), (inner - slopes[2:]).abs()) + rounding[1:-1]
    )
    errors = errors.nan_to_num(nan=torch.inf)
    steady = STEADY if steps != STEPS else 0.0
    found: dict[str, list[tuple[float, float]]] = {}
    for side, its, theirs in zip("pq", inner.unbind(1), errors.unbind(1), strict=True):
        steadiest = sorted(zip(theirs.tolist(), its.tolist(), strict=True))
        found[side] = [(slope, error) for error, slope in steadiest
                       if error <= max(steadiest[0][0], steady * abs(slope))]  # fmt: skip
    return found
