"""Each method's estimate of the ELBO's terms, particle by particle and datum by datum."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pyro.infer
import torch
from pyro.poutine import Trace
from torch import Tensor
from torch.distributions import kl_divergence

from pyro_vae.auditing.densities import log_density
from pyro_vae.evidence.exact import LinearGaussian
from pyro_vae.objectives.kl import kl_by_hand
from pyro_vae.objectives.structure import describe
from pyro_vae.vae import VAE

__all__ = ["TermEstimates", "estimate_terms"]

CHUNK = 4_000_000


@dataclass
class TermEstimates:
    """The ELBO's terms by one method, in nats.

    Each term is ``(P, N)``, one row a particle, or ``(1, N)`` where the method is exact; a term
    that the method does not give is absent.

    Args:
        method: The method, as the table shows it.
        terms: The values by term: ``log_likelihood``, ``kl``, and their difference ``elbo``.
        notes: Remarks on a term.
        loss: The value of Pyro's own ``loss``, in nats per datum.
        densities: Log-densities at the draws of Pyro's trace, by name: Pyro's value, ours,
            each ``(P, N)``, and how ours was computed.
    """

    method: str
    terms: dict[str, Tensor] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    loss: float | None = None
    densities: dict[str, tuple[Tensor, Tensor, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if {"log_likelihood", "kl"} <= set(self.terms):
            self.terms["elbo"] = self.terms["log_likelihood"] - self.terms["kl"]


def estimate_terms(
    vae: VAE, x: Tensor, particles: int, linear: LinearGaussian | None
) -> dict[str, TermEstimates]:
    """The terms by every method: ``closed``, ``hand``, ``trace`` and ``mean_field``.

    Args:
        vae: The model.
        x: Data, ``(N, *event_shape)``.
        particles: Draws for each datum and method.
        linear: The same model as a linear-Gaussian one, if it is one.
    """
    trace = _trace(vae, x, particles)
    return {
        "closed": _closed_form(vae, x, linear),
        "hand": _by_hand(vae, x, particles),
        "trace": trace,
        "mean_field": _mean_field(vae, x, particles),
    }


def _closed_form(vae: VAE, x: Tensor, linear: LinearGaussian | None) -> TermEstimates:
    """The terms that have a closed form, by our own formulas."""
    q, p = vae.encode(x), vae.prior()
    terms, notes = {}, {}
    exact = None if linear is None else linear.expected_log_likelihood(x, q)
    if exact is None:
        notes["log_likelihood"] = "no closed form: sampled"
    else:
        terms["log_likelihood"] = exact.unsqueeze(0)
    kl = kl_by_hand(q, p)
    if kl is None:
        notes["kl"] = f"no closed form here: {describe(q)}, {describe(p)}"
    else:
        terms["kl"] = kl.unsqueeze(0)
    return TermEstimates("closed form, by hand", terms, notes)


def _by_hand(vae: VAE, x: Tensor, particles: int) -> TermEstimates:
    """Both terms from our own draws and densities, without a Pyro program."""
    q, p = vae.encode(x), vae.prior()
    log_likelihood, kl = [], []
    for count in _chunks(vae, len(x), particles):
        z = q.rsample(torch.Size([count]))
        log_likelihood.append(log_density(vae.decode(z, x), x)[0])
        kl.append(log_density(q, z)[0] - log_density(p, z)[0])
    terms = {"log_likelihood": torch.cat(log_likelihood), "kl": torch.cat(kl)}
    return TermEstimates("sampled, by hand", terms)


def _trace(vae: VAE, x: Tensor, particles: int) -> TermEstimates:
    """Both terms from the particles of Pyro's ``Trace_ELBO``, and our densities at its draws."""
    seen, loss = _run(vae, x, particles, pyro.infer.Trace_ELBO)
    terms = {name: torch.cat([part[name] for part in seen]) for name in ("log_likelihood", "kl")}
    q, p = vae.encode(x), vae.prior()
    pairs: dict[str, list[tuple[Tensor, Tensor]]] = {}
    sources: dict[str, str] = {}
    for part in seen:
        if "z" not in part:
            continue
        z = part["z"].reshape(-1, len(x), vae.latent_dim)
        for name, key, d, value in (
            ("log q(z|x)", "log_posterior", q, z),
            ("log p(z)", "log_prior", p, z),
            ("log p(x|z)", "log_likelihood", vae.decode(z, x), x),
        ):
            ours, sources[name] = log_density(d, value)
            pairs.setdefault(name, []).append((part[key], ours))
    densities = {
        name: (torch.cat([a for a, _ in found]), torch.cat([b for _, b in found]), sources[name])
        for name, found in pairs.items()
    }
    return TermEstimates("Trace_ELBO particles", terms, loss=loss, densities=densities)


def _mean_field(vae: VAE, x: Tensor, particles: int) -> TermEstimates:
    """Both terms from Pyro's ``TraceMeanField_ELBO``.

    Its KL is read off Pyro's own loss, one datum at a time. Where torch has no closed form, Pyro
    silently samples: then the KL is that of its particles, with a note that says so.
    """
    seen, loss = _run(vae, x, particles, pyro.infer.TraceMeanField_ELBO)
    notes = {}
    if _torch_has_kl(vae, x):
        kl = torch.stack([_kl_of_loss(*one) for one in vae.split(x, 1)], -1)
    else:
        kl = torch.cat([part["kl"] for part in seen])
        notes["kl"] = "sampled: torch has no closed form"
    terms = {"log_likelihood": torch.cat([part["log_likelihood"] for part in seen]), "kl": kl}
    return TermEstimates("TraceMeanField_ELBO", terms, notes, loss)


def _kl_of_loss(vae: VAE, datum: Tensor) -> Tensor:
    """The KL that Pyro used for one datum: its loss plus the log-likelihood of its draw."""
    seen: list[dict[str, Tensor]] = []
    loss = _recording(pyro.infer.TraceMeanField_ELBO(), 1, seen).loss(vae.model, vae.guide, datum)
    return loss + seen[0]["log_likelihood"][0]


def _torch_has_kl(vae: VAE, x: Tensor) -> bool:
    try:
        kl_divergence(vae.encode(x), vae.prior())
    except NotImplementedError:
        return False
    return True


def _run(
    vae: VAE, x: Tensor, particles: int, cls: type[pyro.infer.ELBO]
) -> tuple[list[dict[str, Tensor]], float]:
    """The particles of a Pyro loss, in chunks, and its own value in nats per datum."""
    seen: list[dict[str, Tensor]] = []
    total = 0.0
    for count in _chunks(vae, len(x), particles):
        loss = cls(num_particles=count, vectorize_particles=True, max_plate_nesting=1)
        total += count * _recording(loss, len(x), seen).loss(vae.model, vae.guide, x)
    return seen, total / particles / len(x)


def _recording(loss: Any, size: int, seen: list[dict[str, Tensor]]) -> Any:
    """The same Pyro loss, which appends the particles of each of its traces to ``seen``."""
    inner = loss._get_traces

    def get_traces(*args: Any) -> Iterator[tuple[Trace, Trace]]:
        for model_trace, guide_trace in inner(*args):
            seen.append(_particles(model_trace, guide_trace, size))
            yield model_trace, guide_trace

    loss._get_traces = get_traces
    return loss


def _particles(model_trace: Trace, guide_trace: Trace, size: int) -> dict[str, Tensor]:
    """The log-probabilities that Pyro computed, each ``(P, N)`` in nats, and the draws z."""

    def total(trace: Trace, observed: bool) -> Tensor:
        values = [
            site["log_prob"].detach().reshape(-1, size)
            for site in trace.nodes.values()
            if site["type"] == "sample"
            and site["is_observed"] is observed
            and type(site["fn"]).__name__ != "_Subsample"
        ]
        return torch.stack(torch.broadcast_tensors(*values)).sum(0)

    found = {
        "log_likelihood": total(model_trace, True),
        "log_prior": total(model_trace, False),
        "log_posterior": total(guide_trace, False),
    }
    found["kl"] = found["log_posterior"] - found["log_prior"]
    z = guide_trace.nodes.get("z", {}).get("value")
    return found if z is None else {**found, "z": z.detach()}


def _chunks(vae: VAE, size: int, particles: int) -> list[int]:
    """Numbers of particles to take at a time, to bound the memory."""
    per_particle = size * max(torch.Size(vae.event_shape).numel(), vae.latent_dim)
    step = max(1, min(particles, CHUNK // per_particle))
    return [min(step, particles - start) for start in range(0, particles, step)]
