"""The densities of a subsample, and their gradient, against those of the full data."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from pyro import poutine
from pyro.poutine import Trace
from pyro.poutine.subsample_messenger import SubsampleMessenger
from torch import Tensor

from pyro_vae.auditing.behavior import grouped
from pyro_vae.auditing.checks import Check, not_compared, paired
from pyro_vae.auditing.program import Draw, Program, Site, is_left_out, log_prob, sites
from pyro_vae.auditing.structure import batch_problems

__all__ = ["subsample_checks"]

QUANTITY = "subsamples"


def subsample_checks(program: Program, repeats: int, seed: int, eps: float) -> list[Check]:
    """A row for a program whose plates choose a subsample of the data; none for another.

    The latent values are drawn once for all data. At those, log p(x, z) - log q(z) of a random
    subsample, and its gradient in a random direction of each group of parameters, must on average
    be those of all data.

    Args:
        program: The model and the guide.
        repeats: Number of subsamples, at least 2.
        seed: Seed of the draws.
        eps: Relative rounding error below which two values are equal.
    """
    plates = {name: site for trace in program.run(seed) for name, site in _plates(trace).items()}
    if not plates:
        return []
    try:
        with _all_data():
            whole = program.run(seed)
        problems = batch_problems(whole)
    except Exception as error:  # of shapes that do not fit, say
        problems = [type(error).__name__]
    if problems:
        reason = "the program does not take its data by index (with all of them: "
        return [not_compared(QUANTITY, f"{reason}{problems[0]})")]
    if any(is_left_out(site) for site in sites(whole.model).values()):
        return [not_compared(QUANTITY, "a site is summed over")]
    leaves = whole.leaves()
    generator = torch.Generator().manual_seed(seed)
    along = {name: torch.randn(leaf.shape, generator=generator).to(leaf)
             for name, leaf in leaves.items()}  # fmt: skip
    groups = [list(members) for members in grouped(leaves).values()]

    def measured(chosen: dict[str, Tensor]) -> Tensor:
        draw = _at(program, whole, chosen)
        parts = [sum(log_prob(site) for site in sites(trace).values()) for trace in draw]
        total: Any = parts[0] - parts[1]
        found = torch.autograd.grad(
            total, list(leaves.values()), allow_unused=True, materialize_grads=True
        )
        slopes = {name: (part * along[name]).sum()
                  for name, part in zip(leaves, found, strict=True)}  # fmt: skip
        each = [torch.stack([slopes[name] for name in names]).sum() for names in groups]
        return torch.stack([total.detach(), *each]).double()

    with torch.enable_grad():
        with _all_data():
            expected = measured({})
        rows = [measured({name: torch.randperm(site["fn"].size)[: len(site["value"])]
                          for name, site in plates.items()}) for _ in range(repeats)]  # fmt: skip
    row = paired(QUANTITY, "densities and their gradient, random subsamples",
                 "all data, the same latent values", torch.stack(rows),
                 expected.expand(repeats, -1), eps)  # fmt: skip
    row.advice = (
        "Take data, and parameters of single data, by the index that the plate gives: x[index], "
        "loc[index]; by position they belong to other data."
    )
    return [row]


def _plates(trace: Trace) -> dict[str, Site]:
    """The statements of plates that choose fewer data than there are."""
    return {
        name: site
        for name, site in trace.nodes.items()
        if type(site.get("fn")).__name__ == "_Subsample" and len(site["value"]) < site["fn"].size
    }


@contextmanager
def _all_data() -> Iterator[None]:
    """Within the block every plate chooses all data."""
    own = SubsampleMessenger._subsample

    def everything(name: str, size: Any = None, *_: Any) -> Any:
        return own(name, size)

    SubsampleMessenger._subsample = staticmethod(everything)
    try:
        yield
    finally:
        SubsampleMessenger._subsample = staticmethod(own)


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
