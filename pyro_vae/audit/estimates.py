"""The independent methods to the ELBO's terms, particle by particle and datum by datum."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pyro.infer
import torch
from pyro.distributions.torch_distribution import TorchDistribution
from pyro.poutine import Trace
from torch import Tensor
from torch.distributions import Distribution, kl_divergence

from pyro_vae.audit.densities import log_density_by_hand
from pyro_vae.evidence.exact import LinearGaussian
from pyro_vae.objectives.kl import kl_by_hand
from pyro_vae.objectives.structure import describe
from pyro_vae.vae import VAE

__all__ = ["Particles", "Route", "by_hand", "closed_form", "mean_field", "trace", "watched"]

CHUNK = 4_000_000


@dataclass
class Route:
    """What one method says of the terms, in nats.

    Each term is ``(P, N)``, one row a particle, or ``(1, N)`` where the method is exact; a term
    that the method does not give is absent.

    Args:
        name: The method, as the table shows it.
        terms: The values by term: ``log_likelihood``, ``kl``, ``elbo``.
        notes: What the table says of a term.
        loss: The method's own total, from Pyro's ``loss``, in nats per datum.
    """

    name: str
    terms: dict[str, Tensor] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    loss: float | None = None

    def with_elbo(self) -> Route:
        """Adds the ELBO where both of its terms are there."""
        if {"log_likelihood", "kl"} <= set(self.terms):
            self.terms["elbo"] = self.terms["log_likelihood"] - self.terms["kl"]
        return self


@dataclass
class Particles:
    """What one run of a Pyro loss has sampled: each ``(P, N)``, in nats, and the draws z."""

    log_likelihood: Tensor
    log_prior: Tensor
    log_posterior: Tensor
    z: Tensor | None

    @classmethod
    def of(cls, model_trace: Trace, guide_trace: Trace, size: int) -> Particles:
        """Read the log-probabilities that Pyro computed for each site."""

        def total(trace: Trace, observed: bool) -> Tensor:
            values = [
                site["log_prob"].detach().reshape(-1, size)
                for site in trace.nodes.values()
                if site["type"] == "sample"
                and site["is_observed"] is observed
                and type(site["fn"]).__name__ != "_Subsample"
            ]
            return torch.stack(torch.broadcast_tensors(*values)).sum(0)

        z = guide_trace.nodes.get("z", {}).get("value")
        return cls(total(model_trace, True), total(model_trace, False), total(guide_trace, False),
                   None if z is None else z.detach())  # fmt: skip


def watched(loss: Any, size: int, seen: list[Particles]) -> Any:
    """The same Pyro loss, which appends the particles of each of its traces to ``seen``."""
    inner = loss._get_traces

    def get_traces(*args: Any) -> Iterator[tuple[Trace, Trace]]:
        for model_trace, guide_trace in inner(*args):
            seen.append(Particles.of(model_trace, guide_trace, size))
            yield model_trace, guide_trace

    loss._get_traces = get_traces
    return loss


def chunks(vae: VAE, size: int, particles: int) -> list[int]:
    """How many particles to take at a time, so that memory stays bounded."""
    per_particle = size * max(torch.Size(vae.event_shape).numel(), vae.latent_dim)
    step = max(1, min(particles, CHUNK // per_particle))
    return [min(step, particles - start) for start in range(0, particles, step)]


def closed_form(vae: VAE, x: Tensor, linear: LinearGaussian | None) -> Route:
    """The terms that have a closed form, by the formulas written here."""
    q, p = vae.encode(x), vae.prior()
    method = Route("closed form, by hand")
    kl = kl_by_hand(q, p)
    if kl is not None:
        method.terms["kl"] = kl.unsqueeze(0)
    else:
        method.notes["kl"] = f"no closed form here: {describe(q)}, {describe(p)}"
    exact = None if linear is None else linear.expected_log_likelihood(x, q)
    if exact is None:
        method.notes["log_likelihood"] = "no closed form: sampled"
    else:
        method.terms["log_likelihood"] = exact.unsqueeze(0)
    return method.with_elbo()


def log_density(d: Distribution, x: Tensor) -> tuple[Tensor, str]:
    """Log-density by hand where one is written, by the distribution's own method elsewhere."""
    by_hand = log_density_by_hand(d, x)
    if by_hand is None:
        return d.log_prob(x), f"{describe(d)}.log_prob"
    return by_hand, "by hand"


def by_hand(vae: VAE, x: Tensor, particles: int) -> Route:
    """Both terms from draws and densities of our own, in no Pyro program."""
    q, p = vae.encode(x), vae.prior()
    rows: dict[str, list[Tensor]] = {"log_likelihood": [], "kl": []}
    for count in chunks(vae, len(x), particles):
        z = q.rsample(torch.Size([count]))
        rows["log_likelihood"].append(log_density(vae.decode(z, x), x)[0])
        rows["kl"].append(log_density(q, z)[0] - log_density(p, z)[0])
    return Route("sampled, by hand", {k: torch.cat(v) for k, v in rows.items()}).with_elbo()


def run_watched(
    vae: VAE, x: Tensor, particles: int, cls: type[pyro.infer.ELBO]
) -> tuple[list[Particles], float]:
    """The particles of a Pyro loss over a batch, and its own value in nats per datum."""
    seen: list[Particles] = []
    total = 0.0
    for count in chunks(vae, len(x), particles):
        loss = cls(num_particles=count, vectorize_particles=True, max_plate_nesting=1)
        total += count * watched(loss, len(x), seen).loss(vae.model, vae.guide, x)
    return seen, total / particles / len(x)


def trace(vae: VAE, x: Tensor, particles: int) -> tuple[Route, list[Particles]]:
    """Both terms from the particles of Pyro's ``Trace_ELBO``."""
    seen, loss = run_watched(vae, x, particles, pyro.infer.Trace_ELBO)
    log_likelihood = torch.cat([part.log_likelihood for part in seen])
    kl = torch.cat([part.log_posterior - part.log_prior for part in seen])
    terms = {"log_likelihood": log_likelihood, "kl": kl}
    return Route("Trace_ELBO particles", terms, loss=loss).with_elbo(), seen


def mean_field(vae: VAE, x: Tensor, particles: int) -> Route:
    """Both terms from Pyro's ``TraceMeanField_ELBO``; its KL is what its loss leaves.

    The KL is read off Pyro's own loss, one datum at a time. Where torch has no closed form Pyro
    samples without a word: there the sampled KL of its particles is shown, and called so.
    """
    seen, loss = run_watched(vae, x, particles, pyro.infer.TraceMeanField_ELBO)
    log_likelihood = torch.cat([part.log_likelihood for part in seen])
    method = Route("TraceMeanField_ELBO", {"log_likelihood": log_likelihood}, loss=loss)
    if _torch_has_kl(vae.encode(x), vae.prior()):
        method.terms["kl"] = torch.stack([_left_by_loss(vae, datum) for datum in x.split(1)], -1)
    else:
        method.terms["kl"] = torch.cat([part.log_posterior - part.log_prior for part in seen])
        method.notes["kl"] = "sampled: torch has no closed form"
    return method.with_elbo()


def _left_by_loss(vae: VAE, datum: Tensor) -> Tensor:
    seen: list[Particles] = []
    loss = watched(pyro.infer.TraceMeanField_ELBO(), 1, seen).loss(vae.model, vae.guide, datum)
    return loss + seen[0].log_likelihood[0]


def _torch_has_kl(q: TorchDistribution, p: TorchDistribution) -> bool:
    try:
        kl_divergence(q, p)
    except NotImplementedError:
        return False
    return True
