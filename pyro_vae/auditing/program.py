"""A Pyro model and guide: their traces at a seed, their parameters, and the modules they call."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pyro
import torch
from pyro import poutine
from pyro.distributions.util import scale_and_mask
from pyro.poutine import Trace
from torch import Tensor, nn
from torch.distributions import Distribution, Independent
from torch.nn.modules.module import register_module_forward_pre_hook

from pyro_vae.auditing.densities import log_density
from pyro_vae.core.modes import seeded

__all__ = [
    "PATHWISE",
    "Draw",
    "Program",
    "Site",
    "base_of",
    "innermost",
    "is_fixed",
    "is_left_out",
    "log_prob",
    "sites",
]

Site = Any  # a node of a trace
# Their draw from one seed moves with the parameters as its gradient says; that of others, such as
# Gamma's, has an implicit gradient.
PATHWISE = {
    "Cauchy", "Delta", "Exponential", "Gumbel", "Laplace", "Logistic", "LowRankMultivariateNormal",
    "MultivariateNormal", "Normal", "Uniform",
}  # fmt: skip


class Draw(NamedTuple):
    """One run: the guide's trace, and the model's at the same values."""

    model: Trace
    guide: Trace

    def leaves(self) -> dict[str, Tensor]:
        """The unconstrained parameters that Pyro optimizes, by name."""
        found: dict[str, Tensor] = {}
        for trace in self:
            for name, site in trace.nodes.items():
                if site["type"] == "param" and site["value"] is not None:
                    value = site["value"]
                    leaf = getattr(value, "_pyro_unconstrained_param", None)
                    found[name] = value.unconstrained() if leaf is None else leaf
        once = {id(leaf): name for name, leaf in reversed(found.items()) if leaf.requires_grad}
        return {name: leaf for name, leaf in found.items() if once.get(id(leaf)) == name}


@dataclass
class Program:
    """A model and a guide with the arguments of both.

    Args:
        model: The model.
        guide: The guide.
        args: Arguments of both.
        kwargs: Keyword arguments of both.
        modules: The modules that they called.
    """

    model: Callable[..., Any]
    guide: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    modules: list[nn.Module] = field(default_factory=list)

    def run(self, seed: int | None = None, replay: Draw | None = None) -> Draw:
        """Trace both, from a seed if it is given, with the values that ``replay`` has."""
        if seed is not None:
            pyro.set_rng_seed(seed)
        guide, model = self.guide, self.model
        if replay is not None:
            guide = poutine.replay(guide, trace=replay.guide)
            enumerated = replay.model.copy()
            for name in [n for n, s in sites(replay.model).items() if not is_left_out(s)]:
                enumerated.remove_node(name)
            model = poutine.replay(model, trace=enumerated)
        drawn = poutine.trace(guide).get_trace(*self.args, **self.kwargs)
        model = poutine.replay(model, trace=drawn)
        return Draw(poutine.trace(model).get_trace(*self.args, **self.kwargs), drawn)

    @contextmanager
    def isolated(self, seed: int) -> Iterator[None]:
        """Restore generators, buffers and Pyro's parameters afterwards; record the modules called.

        Pyro's own checks and warnings are off: the audit makes its own.
        """
        buffers: dict[nn.Module, dict[str, Tensor]] = {}

        def record(module: nn.Module, _: Any) -> None:
            if module not in buffers:
                buffers[module] = {
                    name: value.clone() for name, value in module.named_buffers(recurse=False)
                }
                self.modules.append(module)

        store = pyro.get_param_store()
        state = store.get_state()
        tensors = [value for value in self.args if isinstance(value, Tensor)]
        device = next((value.device for value in tensors), torch.device("cpu"))
        with seeded(seed, device), pyro.validation_enabled(False), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            hook = register_module_forward_pre_hook(record)
            try:
                yield
            finally:
                hook.remove()
                for module, saved in buffers.items():
                    for name, value in saved.items():
                        getattr(module, name).copy_(value)
                store.clear()
                store.set_state(state)
                pyro.set_rng_seed(seed)


def sites(trace: Trace, *, observed: bool | None = None) -> dict[str, Site]:
    """The sample statements of a trace, without subsamples and deterministic values."""
    nodes: dict[str, Any] = dict(trace.nodes)
    return {
        name: site
        for name, site in nodes.items()
        if site["type"] == "sample"
        and type(site["fn"]).__name__ != "_Subsample"
        and not site["infer"].get("_deterministic")
        and (observed is None or site["is_observed"] is observed)
    }


def log_prob(site: Site) -> Tensor:
    """The site's log-probability by hand where there is a formula, scaled and masked, in nats."""
    value = log_density(site["fn"], site["value"])[0]
    return scale_and_mask(value, site["scale"], site["mask"]).sum()


def base_of(d: Distribution) -> Distribution:
    """The distribution without ``to_event`` and masks."""
    while isinstance(d, Independent) or type(d).__name__ in ("MaskedDistribution", "Expanded"):
        d = d.base_dist  # type: ignore[attr-defined]
    return d


def is_left_out(site: Site) -> bool:
    """Whether a latent site of the model is summed over by enumeration, not drawn by the guide."""
    return not site["is_observed"] and bool(site["infer"].get("enumerate") == "parallel")


def is_fixed(site: Site) -> bool:
    """Whether a draw does not move smoothly with the parameters from one seed."""
    return not site["fn"].has_rsample or type(innermost(site["fn"])).__name__ not in PATHWISE


def innermost(d: Distribution) -> Distribution:
    """What a distribution transforms, or the distribution itself."""
    d = base_of(d)
    while hasattr(d, "base_dist"):
        d = base_of(d.base_dist)
    return d
