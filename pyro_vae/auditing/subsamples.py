"""The densities of subsamples, and their gradient, against those of the full data."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from threading import get_ident
from typing import Any

import torch
from pyro import poutine
from pyro.poutine import Trace
from pyro.poutine.subsample_messenger import SubsampleMessenger
from torch import Tensor

from pyro_vae.auditing.behavior import grouped
from pyro_vae.auditing.checks import Check, not_compared, numerical
from pyro_vae.auditing.program import Draw, Program, Site, is_left_out, log_prob, sites
from pyro_vae.auditing.structure import batch_problems

__all__ = ["subsample_checks"]

QUANTITY = "subsamples"
PARTS = 4


def subsample_checks(program: Program, seed: int, eps: float) -> list[Check]:
    """A row for a program whose plates choose a subsample of the data; none for another.

    The latent values are drawn once for all data, and the data are split at random into parts. At
    those values, log p(x, z) - log q(z) of all parts, and its gradient in a random direction of
    each group of parameters, are on average those of all data.

    Args:
        program: The model and the guide.
        seed: Seed of the draws.
        eps: Relative rounding error below which two values are equal.
    """
    plates = {name: site["fn"].size for trace in program.run(seed)
              for name, site in _plates(trace).items()}  # fmt: skip
    if not plates:
        return []
    with torch.enable_grad(), _any_size():
        try:
            return [_compared(program, plates, seed, eps)]
        except Exception as error:  # of shapes that do not fit, or too little memory
            return [_not_by_index(type(error).__name__)]


def _compared(program: Program, plates: dict[str, int], seed: int, eps: float) -> Check:
    """The row; ``plates`` are sizes by name."""
    whole = program.run(seed)
    if problems := batch_problems(whole):
        return _not_by_index(problems[0])
    if any(is_left_out(site) for site in sites(whole.model).values()):
        return not_compared(QUANTITY, "a site is summed over")
    leaves = whole.leaves()
    along = {name: torch.randn(leaf.shape).to(leaf) for name, leaf in leaves.items()}
    parts = [torch.randperm(size).tensor_split(min(PARTS, size)) for size in plates.values()]
    each = []
    for chosen in product(*parts):
        draw = _at(program, whole, dict(zip(plates, chosen, strict=True)))
        sizes = zip(parts, chosen, plates.values(), strict=True)
        share = math.prod(len(of) * len(index) / size for of, index, size in sizes)
        each.append(share * _measured(draw, leaves, along))
    values, expected = torch.stack(each), _measured(_at(program, whole, {}), leaves, along)
    found, size = values.mean(0), torch.maximum(values.abs().amax(0), expected.abs()).clamp(min=1)
    row = numerical(QUANTITY, "densities and their gradient, the mean of parts",
                    "all data, the same latent values", found[0], expected[0], eps)  # fmt: skip
    row.relative = ((found - expected).abs() / size).max().nan_to_num(nan=math.inf).item()
    row.advice = (
        "Take data, and parameters of single data, by the index that the plate gives: x[index], "
        "loc[index]; by position they belong to other data."
    )
    return row


def _not_by_index(reason: str) -> Check:
    return not_compared(
        QUANTITY, f"the program does not take its data by index (with all of them: {reason})"
    )


def _measured(draw: Draw, leaves: dict[str, Tensor], along: dict[str, Tensor]) -> Tensor:
    """The densities' difference in nats, and its slope along a direction of each group."""
    densities = [sum(log_prob(site) for site in sites(trace).values()) for trace in draw]
    total: Any = densities[0] - densities[1]
    found = torch.autograd.grad(
        total, list(leaves.values()), allow_unused=True, materialize_grads=True
    )
    slopes = {name: (part * along[name]).sum()
              for name, part in zip(leaves, found, strict=True)}  # fmt: skip
    groups = [torch.stack([slopes[name] for name in names]).sum()
              for names in grouped(leaves).values()]  # fmt: skip
    return torch.stack([total.detach(), *groups]).double().cpu()


def _plates(trace: Trace) -> dict[str, Site]:
    """The statements of plates that choose fewer data than there are."""
    nodes: dict[str, Any] = dict(trace.nodes)
    return {
        name: site
        for name, site in nodes.items()
        if type(site.get("fn")).__name__ == "_Subsample" and len(site["value"]) < site["fn"].size
    }


@contextmanager
def _any_size() -> Iterator[None]:
    """Within the block a plate chooses all data, or those of any number that a trace replays.

    Pyro compares that number with the declared one in a function of its own, which no handler
    reaches; so it is replaced, for plates of this thread alone.
    """
    pyro: Any = SubsampleMessenger
    own, thread = pyro._subsample, get_ident()

    def chosen(name: str, size: Any = None, *rest: Any) -> Any:
        return own(name, size) if get_ident() == thread else own(name, size, *rest)

    pyro._subsample = staticmethod(chosen)
    try:
        yield
    finally:
        pyro._subsample = staticmethod(own)


def _at(program: Program, whole: Draw, chosen: dict[str, Tensor]) -> Draw:
    """Both traces at the latent values of all data, as far as the subsamples have them."""
    fixed = Trace()
    for name, site in sites(whole.guide).items():
        fixed.add_node(name, **(site | {"value": _part(site, chosen)}))
    for name, index in chosen.items():
        fixed.add_node(name, name=name, type="sample", value=index, is_observed=False, infer={})
    runs = [poutine.trace(poutine.replay(side, trace=fixed)) for side in
            (program.model, program.guide)]  # fmt: skip
    return Draw(*(run.get_trace(*program.args, **program.kwargs) for run in runs))


def _part(site: Site, chosen: dict[str, Tensor]) -> Tensor:
    """A site's value at the chosen data."""
    value: Tensor = site["value"].detach()
    for frame in site["cond_indep_stack"]:
        if frame.name in chosen and frame.vectorized:
            value = value.index_select(frame.dim - len(site["fn"].event_shape), chosen[frame.name])
    return value
