"""What a model and a guide declare: sites, supports, plates, scales, masks and factors."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyro_vae.auditing.checks import Check, finding
from pyro_vae.auditing.program import Draw, Program, Site, base_of, is_left_out, sites
from pyro_vae.core.supports import support_name
from pyro_vae.distributions.marginal import Marginal

__all__ = ["batch_problems", "structure_checks"]

SIDES = ("model", "guide")


def structure_checks(program: Program, seed: int, data_size: int | None) -> list[Check]:
    """Statements about the two traces, without sampling error.

    Args:
        program: The model and the guide.
        seed: Seed of the draws.
        data_size: Number of data in the full data set, if it is known.
    """
    draw, other = program.run(seed), program.run(seed + 1)
    shared = [(name, site, sites(draw.guide)[name]) for name, site in sites(draw.model).items()
              if name in sites(draw.guide)]  # fmt: skip
    each = _each(draw)
    return [
        finding("sites", "the model and the guide have the same latent sites", [*_sites(draw)],
                "Every latent site of the model needs one site of that name in the guide, and "
                "the data are observed in the model alone."),
        finding("supports", "each draw of the guide, and each datum, is in the model's support",
                [*_supports(draw, shared), *_outside(draw, other)],
                "Give the guide a distribution over the prior's support, and the data a "
                "likelihood that can have made them; otherwise the ELBO is not finite."),
        finding("event dimensions", "each site has one event shape in both", [*_events(shared)],
                "Use the same to_event(n) in the model and in the guide; a dimension over data "
                "belongs to a pyro.plate, not to the event."),
        finding("batch dimensions", "each batch dimension is a plate's", [*_batches(each)],
                "Put the statement within a pyro.plate of that size, or declare the dimension "
                "with to_event(1); otherwise Pyro takes its terms for dependent."),
        finding("plates", "each latent site is within the same plates in both", [*_plates(shared)],
                "Use the same plates, with equal sizes and subsamples, in both; "
                "otherwise log p(z) and log q(z) are scaled differently."),
        finding("scales", "each site counts once for each datum of its plates",
                [*_scales(each), *_data_size(draw, data_size)],
                "Remove poutine.scale, and let pyro.plate(name, size, subsample_size) scale a "
                "subsample; a weighted ELBO is not a bound on log p(x)."),
        finding("masks", "latent sites have the same mask in both", [*_masks(shared, each)],
                "Apply one poutine.mask to the site in both; a mask over observations leaves "
                "them out of log p(x)."),
        finding("factors", "no factor multiplies the densities", [*_factors(each)],
                "Remove pyro.factor, or write it as an observed sample statement; with it the "
                "ELBO bounds another quantity than log p(x)."),
        finding("point masses", "the guide has a density wherever the prior has one",
                [*_point_masses(shared, other)],
                "Use a guide with a density, such as AutoNormal; with a point mass the loss is "
                "that of a MAP estimate, and not a bound on log p(x)."),
    ]  # fmt: skip


def batch_problems(draw: Draw) -> list[str]:
    """Batch dimensions that are no plate's."""
    return [*_batches(_each(draw))]


def _each(draw: Draw) -> list[tuple[str, str, Site]]:
    return [(side, name, site) for side, trace in zip(SIDES, draw, strict=True)
            for name, site in sites(trace).items()]  # fmt: skip


def _sites(draw: Draw) -> Iterator[str]:
    model, guide = sites(draw.model), sites(draw.guide)
    for name, site in model.items():
        if not site["is_observed"] and name not in guide and not is_left_out(site):
            yield f"{name} is latent in the model, and missing in the guide"
        if site["is_observed"] and name in guide and not guide[name]["is_observed"]:
            yield f"{name} is observed in the model, and drawn by the guide"
    for name, site in guide.items():
        if site["is_observed"] and not _is_factor(site):
            yield f"{name} is observed in the guide"
        if name not in model and not site["infer"].get("is_auxiliary"):
            yield f"{name} is in the guide, and missing in the model"
    if not any(site["is_observed"] for site in model.values()):
        yield "the model observes nothing"


def _supports(draw: Draw, shared: list[tuple[str, Site, Site]]) -> Iterator[str]:
    for name, p, q in shared:
        known, drawn = _support(p), _support(q)
        if known is None or drawn is None or _is_delta(q):
            continue
        ours, theirs = _open(support_name(known)), _open(support_name(drawn))
        if ours != theirs:
            yield f"{name} is {theirs} in the guide and {ours} in the model"


def _outside(*draws: Draw) -> Iterator[str]:
    seen: set[str] = set()
    for name, site in ((n, s) for draw in draws for n, s in sites(draw.model).items()):
        support = _support(site)
        if support is None or _is_factor(site) or is_left_out(site) or name in seen:
            continue
        known = isinstance(site["fn"], Marginal)  # NaN is what it leaves out
        value = site["fn"].filled(site["value"]) if known else site["value"]
        inside = support.check(value)
        if site["mask"] is not None:
            inside = inside | ~torch.as_tensor(site["mask"])
        if not inside.all():
            seen.add(name)
            share = (~inside).double().mean().item()
            yield f"{share:.0%} of the values of {name} are outside {support_name(support)}"


def _open(name: str) -> str:
    """A support's name without its ends, which have no probability."""
    for with_ends, without in (("greaterthaneq", "greaterthan"), ("halfopeninterval", "interval"),
                               ("lessthaneq", "lessthan")):  # fmt: skip
        name = name.replace(with_ends, without)
    return name.replace("greaterthan from 0.0", "positive")


def _support(site: Site) -> Any:
    try:
        return site["fn"].support
    except (NotImplementedError, AttributeError):
        return None


def _events(shared: list[tuple[str, Site, Site]]) -> Iterator[str]:
    for name, p, q in shared:
        ours, theirs = tuple(p["fn"].event_shape), tuple(q["fn"].event_shape)
        if ours != theirs:
            yield f"{name} has event_shape {ours} in the model and {theirs} in the guide"


def _batches(each: list[tuple[str, str, Site]]) -> Iterator[str]:
    for side, name, site in each:
        fn = site["fn"]
        value = tuple(site["value"].shape[: site["value"].dim() - len(fn.event_shape)])
        shape = np.broadcast_shapes(fn.batch_shape, value)
        plates = {frame.dim: frame.size for frame in site["cond_indep_stack"] if frame.vectorized}
        for dim in range(-len(shape), 0):
            if shape[dim] != plates.get(dim, 1):
                where = f"a plate of size {plates[dim]}" if dim in plates else "no plate"
                yield f"{name} in the {side}: dimension {dim} has size {shape[dim]}, in {where}"


def _plates(shared: list[tuple[str, Site, Site]]) -> Iterator[str]:
    for name, p, q in shared:
        ours, theirs = _frames(p), _frames(q)
        if ours != theirs:
            yield f"{name} is within {_named(ours)} in the model and {_named(theirs)} in the guide"


def _frames(site: Site) -> set[tuple[str, int, int]]:
    return {(f.name, int(f.full_size or f.size), int(f.size)) for f in site["cond_indep_stack"]}


def _named(frames: set[tuple[str, int, int]]) -> str:
    plates = [f"{name}({full}{f', {size}' if size != full else ''})" for name, full, size in
              sorted(frames)]  # fmt: skip
    return ", ".join(plates) or "no plate"


def _scales(each: list[tuple[str, str, Site]]) -> Iterator[str]:
    for side, name, site in each:
        expected = math.prod(full / size for _, full, size in _frames(site))
        extra = torch.as_tensor(site["scale"]).double() / expected
        if ((extra - 1).abs() > 1e-5).any():
            yield f"{name} in the {side} is scaled by {extra.mean().item():.4g} beyond its plates"


def _data_size(draw: Draw, data_size: int | None) -> Iterator[str]:
    seen = [_frames(site) for site in sites(draw.model, observed=True).values()]
    if data_size is not None and not any(full == data_size for fs in seen for _, full, _ in fs):
        got = " and ".join(sorted({_named(frames) for frames in seen}))
        yield f"the observations are within {got}, and no plate has the {data_size} data"


def _masks(
    shared: list[tuple[str, Site, Site]], each: list[tuple[str, str, Site]]
) -> Iterator[str]:
    for name, p, q in shared:
        ours, theirs = torch.broadcast_tensors(_mask(p), _mask(q))
        if not torch.equal(ours, theirs):
            yield f"{name} has one mask in the model and another in the guide"
    for side, name, site in each:
        if site["is_observed"] and not _mask(site).any():
            yield f"{name} in the {side} is masked out altogether"


def _mask(site: Site) -> Tensor:
    """Which elements of the site count."""
    own = getattr(site["fn"], "_mask", None)
    masks = [torch.as_tensor(mask) for mask in (site["mask"], own) if mask is not None]
    counted = torch.tensor(True)
    for mask in masks:
        counted = counted & mask.cpu()
    return counted.expand(np.broadcast_shapes(counted.shape, site["fn"].batch_shape))


def _factors(each: list[tuple[str, str, Site]]) -> Iterator[str]:
    for side, name, site in each:
        if _is_factor(site) and (site["fn"].log_factor != 0).any():
            total = site["fn"].log_factor.sum().item()
            yield f"{name} in the {side} adds {total:.4g} nats to the log-density"


def _point_masses(shared: list[tuple[str, Site, Site]], other: Draw) -> Iterator[str]:
    for name, p, q in shared:
        support = _support(p)
        fixed = torch.equal(q["value"], sites(other.guide)[name]["value"])
        if _is_delta(q) and fixed and not getattr(support, "is_discrete", False):
            yield f"{name} has one value in the guide, and a density in the model"


def _is_delta(site: Site) -> bool:
    return type(base_of(site["fn"])).__name__ == "Delta"


def _is_factor(site: Site) -> bool:
    return type(base_of(site["fn"])).__name__ == "Unit"
