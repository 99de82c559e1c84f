"""Pyro's losses against the ELBO written by hand, from the same seeds, in value and gradient."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import pyro
import pyro.infer
import torch
from pyro.distributions.util import scale_and_mask
from torch import Tensor

from pyro_vae.auditing.behavior import grouped
from pyro_vae.auditing.checks import Check, finding, not_compared, paired
from pyro_vae.auditing.densities import log_density
from pyro_vae.auditing.gradients import gradient_checks
from pyro_vae.auditing.program import Draw, Program, Site, base_of, is_left_out, log_prob, sites
from pyro_vae.core.errors import NoClosedFormKL
from pyro_vae.objectives.kl import kl_exact, kl_source

__all__ = ["applicable_losses", "elbo_by_hand", "gradient_rows", "value_rows"]

MOST_GROUPS = 6
BY_HAND = "by hand, the same seeds"


def applicable_losses(draw: Draw, loss: Any) -> tuple[dict[str, Any], list[Check]]:
    """Pyro's losses whose conditions hold, with the caller's own; and a statement on the others.

    Args:
        draw: A run of the program.
        loss: The caller's loss, or None.
    """
    latent, model = sites(draw.guide, observed=False), sites(draw.model)
    enumerated = [n for n, s in {**model, **latent}.items()
                  if not s["is_observed"] and s["infer"].get("enumerate")]  # fmt: skip
    left_out = [name for name, site in model.items() if is_left_out(site) and name not in latent]
    scored = [name for name, site in latent.items() if not site["fn"].has_rsample]
    carried = [name for name, site in latent.items() if name in model and _carries(site)]
    order = [n for n in latent if n in model] != [n for n in model if n in latent]
    frames = [f.dim for s in (*model.values(), *latent.values()) for f in s["cond_indep_stack"]]
    depth = max((-dim for dim in frames if dim is not None), default=0)
    if len(left_out) > 1:
        several = f"the ELBO by hand sums one site, and {', '.join(left_out)} are left out"
        return {}, [not_compared("elbo", several)]
    summed = f"{left_out[0]} is summed over" if left_out else ""
    conditions = {
        "Trace_ELBO": summed,
        "TraceMeanField_ELBO": summed
        or (f"{', '.join(scored)} is not reparameterized" if scored else "")
        or (f"Pyro's KL leaves out the Jacobian of {', '.join(carried)}" if carried else "")
        or ("the guide draws its sites in another order than the model" if order else ""),
        "TraceGraph_ELBO": summed or ("" if scored else "every site is reparameterized"),
        "TraceEnum_ELBO": "" if enumerated else "no site is enumerated",
    }
    found = {name: getattr(pyro.infer, name)(max_plate_nesting=depth)
             for name, reason in conditions.items() if not reason}  # fmt: skip
    rows = [not_compared(name, reason) for name, reason in conditions.items() if reason]
    if loss is not None:
        name = next((name for name in conditions if isinstance(loss, getattr(pyro.infer, name))
                     and name != "Trace_ELBO"), "")  # fmt: skip
        if conditions.get(name) and name != "TraceGraph_ELBO":
            rows.append(finding(f"the loss {name}", "", [conditions[name]],
                                "Use Trace_ELBO, or TraceEnum_ELBO where a site is summed over; "
                                "this loss silently gives another value here."))  # fmt: skip
        else:
            found[f"the loss {type(loss).__name__}"] = loss
    return found, rows


def value_rows(
    program: Program, losses: dict[str, Any], particles: int, seed: int, eps: float
) -> tuple[list[Check], dict[str, Tensor]]:
    """Each loss's value, and each site's KL in closed form, beside the hand-written values.

    Returns:
        The rows; and the ELBO and its terms by hand, ``(P,)``, in nats.
    """
    terms: dict[str, list[float]] = {"elbo": [], "log_likelihood": [], "kl": []}
    values: dict[str, list[float]] = {name: [] for name in losses}
    kls: dict[str, list[tuple[float, float, str]]] = {}
    with torch.no_grad():
        for particle in range(seed, seed + particles):
            draw = program.run(particle)
            likelihood = _total(sites(draw.model, observed=True))
            elbo = elbo_by_hand(program, draw)
            for name, value in zip(terms, (elbo, likelihood, likelihood - elbo), strict=True):
                terms[name].append(float(value))
            for name, row in _divergences(draw):
                kls.setdefault(name, []).append(row)
            for name, loss in losses.items():
                pyro.set_rng_seed(particle)
                value = loss.loss(program.model, program.guide, *program.args, **program.kwargs)
                values[name].append(-float(value))
    found = {name: torch.tensor(column, dtype=torch.float64) for name, column in terms.items()}
    rows: list[Check] = []
    for name, column in kls.items():
        sampled, exact = torch.tensor([pair[:2] for pair in column]).double().split(1, 1)
        rows.append(paired(f"kl of {name}", "log q - log p, the same draws",
                           f"closed form, {column[0][2]}", sampled, exact, eps))  # fmt: skip
    for name, totals in values.items():
        measured = torch.tensor(totals, dtype=torch.float64).unsqueeze(1)
        rows.append(paired("elbo", name, BY_HAND, measured, found["elbo"].unsqueeze(1), eps))
        rows[-1].advice = "The loss is no estimate of the ELBO of this model and guide."
    return rows, found


def gradient_rows(
    program: Program, losses: dict[str, Any], repeats: int, seed: int, eps: float
) -> list[Check]:
    """Each loss's gradient against that of the hand-written ELBO: bias, noise and verdict."""
    leaves = program.run(seed).leaves()
    groups = {name: list(members.values()) for name, members in grouped(leaves).items()}
    if len(groups) > MOST_GROUPS:
        groups = {"all parameters": list(leaves.values())}
    everything = list(leaves.values())
    if not everything:
        return []

    def measured(loss: Any) -> Tensor:
        """A number with the gradient that the loss leaves in the parameters."""
        for leaf in everything:
            leaf.grad = None
        loss.loss_and_grads(program.model, program.guide, *program.args, **program.kwargs)
        parts = [(leaf * leaf.grad).sum() for leaf in everything if leaf.grad is not None]
        for leaf in everything:
            leaf.grad = None
        return torch.stack(parts).sum()

    with torch.enable_grad():
        saved = [leaf.grad for leaf in everything]
        try:
            return gradient_checks(
                groups, {name: partial(measured, loss) for name, loss in losses.items()},
                lambda: -_surrogate(program), BY_HAND, repeats, seed, eps,
            )  # fmt: skip
        finally:
            for leaf, gradient in zip(everything, saved, strict=True):
                leaf.grad = gradient


def elbo_by_hand(program: Program, draw: Draw) -> Tensor:
    """The ELBO of one draw in nats, with the site that the guide leaves out summed over."""
    model, guide = sites(draw.model), sites(draw.guide)
    left_out = {n: s for n, s in model.items() if is_left_out(s) and n not in guide}
    if not left_out:
        return _total(model) - _total(guide)
    ((name, site),) = left_out.items()
    inside = [n for n, s in model.items() if _plates(site) <= _plates(s)]
    rest = _total({n: s for n, s in model.items() if n not in inside}) - _total(guide)
    each = [_per_element(program, draw, name, value, inside, {dim for _, dim in _plates(site)})
            for value in site["fn"].enumerate_support(expand=False)]  # fmt: skip
    return rest + scale_and_mask(torch.stack(each).logsumexp(0), site["scale"], None).sum()


def _carries(site: Site) -> bool:
    """Whether a point mass states the density of the draw that it was computed from."""
    density = getattr(base_of(site["fn"]), "log_density", None)
    return isinstance(density, Tensor) and bool((density != 0).any())


def _total(found: dict[str, Site]) -> Any:
    return sum((log_prob(site) for site in found.values()), start=torch.zeros(()))


def _plates(site: Site) -> set[tuple[str, int]]:
    return {(f.name, f.dim) for f in site["cond_indep_stack"] if f.vectorized}


def _per_element(
    program: Program, draw: Draw, name: str, value: Tensor, inside: list[str], dims: set[int]
) -> Any:
    """The log-density of the sites inside the plates, at one value of the site, unscaled."""
    model = draw.model.copy()
    site: Any = model.nodes[name]
    model.nodes[name] = site | {"value": value.expand(site["value"].shape)}
    found = sites(program.run(None, replay=Draw(model, draw.guide)).model)
    total: Any = 0.0
    for inner in inside:
        part, _ = log_density(found[inner]["fn"], found[inner]["value"])
        part = scale_and_mask(part, 1.0, found[inner]["mask"])
        others = [dim for dim in range(-part.dim(), 0) if dim not in dims]
        total = total + (part.sum(others, keepdim=True) if others else part)
    return total


def _surrogate(program: Program) -> Tensor:
    """The ELBO of one draw, whose gradient is an unbiased estimate of the ELBO's gradient."""
    draw = program.run()
    elbo = elbo_by_hand(program, draw)
    scored = [site for site in sites(draw.guide, observed=False).values()
              if not site["fn"].has_rsample]  # fmt: skip
    if not scored:
        return elbo
    score = sum(scale_and_mask(site["fn"].log_prob(site["value"]), 1.0, site["mask"]).sum()
                for site in scored)  # fmt: skip
    return elbo + elbo.detach() * (score - score.detach())


def _divergences(draw: Draw) -> Iterator[tuple[str, tuple[float, float, str]]]:
    """Each site's sampled KL, its closed form, and where that comes from."""
    guide = sites(draw.guide, observed=False)
    for name, p in sites(draw.model, observed=False).items():
        q = guide.get(name)
        if q is None:
            continue
        try:
            exact = kl_exact(q["fn"], p["fn"])
        except NoClosedFormKL:
            continue
        total = scale_and_mask(exact, q["scale"], q["mask"]).sum().item()
        if math.isfinite(total):
            source = kl_source(q["fn"], p["fn"]) or ""
            yield name, ((log_prob(q) - log_prob(p)).item(), total, source)
