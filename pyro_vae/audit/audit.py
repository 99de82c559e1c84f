"""The audit: every term of the ELBO by independent methods, and a verdict that can fail."""

from __future__ import annotations

import pyro.infer
import torch
from torch import Tensor
from torch.distributions import TransformedDistribution

from pyro_vae.audit.checks import Check, compare, critical_z, numerical
from pyro_vae.audit.estimates import (
    Particles,
    Route,
    by_hand,
    closed_form,
    log_density,
    mean_field,
    trace,
)
from pyro_vae.audit.gradients import gradient_checks
from pyro_vae.audit.objective import objective_checks
from pyro_vae.audit.result import ELBOAudit
from pyro_vae.core.errors import DataError
from pyro_vae.core.modes import isolated_copy, multiplying
from pyro_vae.evidence.exact import LinearGaussian, linear_gaussian
from pyro_vae.objectives.kl import kl_exact
from pyro_vae.vae import VAE

__all__ = ["audit_elbo"]

TERMS = ("log_likelihood", "kl", "elbo")
TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4}


@multiplying(tf32=False)
def audit_elbo(
    vae: VAE,
    x: Tensor,
    *,
    particles: int = 1000,
    gradients: int = 40,
    loss: pyro.infer.ELBO | None = None,
    false_alarm: float = 1e-4,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
) -> ELBOAudit:
    """Hold every term of the ELBO, and its gradient, against independent methods.

    The methods are the closed form written by hand, draws and densities by hand, the particles of
    Pyro's ``Trace_ELBO``, and Pyro's ``TraceMeanField_ELBO``. Where the evidence is known exactly
    (a linear decoder and a Gaussian likelihood) the audit also shows
    ``log p(x) = ELBO + KL(q(z|x) || p(z|x))``. It runs on a copy of the model, in evaluation
    mode, with Pyro's validation on; the model and the random generators are left as they were.

    Args:
        vae: The model.
        x: Data, ``(N, *event_shape)``; some tens of them are enough.
        particles: Draws for each datum and method, at least 100.
        gradients: Gradients drawn of each loss, at least 10; 0 leaves the gradients out.
        loss: A Pyro loss to audit as well, such as the one that the model was trained with. One
            that maximizes another bound than the ELBO is held against that bound, by hand and
            datum by datum, in value and gradient; the ELBO's own rows stay as they are.
        false_alarm: Probability that a correct model fails, over all rows and data together.
        seed: Seed of every draw.
        dtype: Precision of the copy. In float64 methods without sampling must agree to 1e-9.

    Returns:
        An audit, whose ``passed`` is the verdict, and which shows itself in terminal and Jupyter.

    Raises:
        DataError: if ``x`` does not fit the model.

    Example:
        >>> vae = VAE(event_shape=(5,), latent_dim=2, decoder="linear")
        >>> audit_elbo(vae, torch.randn(8, 5), particles=200, gradients=10).passed
        True
    """
    for name, value, least in (("particles", particles, 100), ("gradients", gradients, 10)):
        if value < least and not (name == "gradients" and value == 0):
            raise DataError(f"{name}: expected at least {least}, got {value}")
    device = next(iter([*vae.parameters(), *vae.buffers()]), x).device
    x = vae._data(x).detach().to(device=device, dtype=dtype)
    if not len(x):
        raise DataError("x: expected at least one datum, got none")
    with isolated_copy(vae, dtype, seed) as model:
        linear = linear_gaussian(model)
        methods, seen = _methods(model, x, particles, linear)
        eps = TOLERANCE.get(dtype, 1e-2)
        checks = _value_checks(methods, eps)
        if loss is not None:
            checks += objective_checks(
                model, x, loss, particles=particles, gradients=gradients, seed=seed, eps=eps
            )
        checks += _same_draws(model, x, seen, eps)
        if linear is not None:
            checks += _evidence_checks(model, x, linear, eps)
        if gradients:
            with torch.enable_grad():
                checks += gradient_checks(model, x, gradients, seed, eps)
    critical = critical_z(false_alarm, sum(check.tests for check in checks))
    for check in checks:
        check.judge(critical)
    return ELBOAudit(checks, methods, particles, false_alarm, critical, seed, str(dtype))


def _methods(
    vae: VAE, x: Tensor, particles: int, linear: LinearGaussian | None
) -> tuple[dict[str, Route], list[Particles]]:
    traced, seen = trace(vae, x, particles)
    methods = {
        "closed": closed_form(vae, x, linear),
        "hand": by_hand(vae, x, particles),
        "trace": traced,
        "mean_field": mean_field(vae, x, particles),
    }
    return methods, seen


def _value_checks(methods: dict[str, Route], eps: float) -> list[Check]:
    """Each term by each method, against its closed form, or its hand-written particles."""
    checks: list[Check] = []
    for term in TERMS:
        reference, expected = _reference(methods, term)
        for name, method in methods.items():
            if term not in method.terms or method.name == reference:
                continue
            if name == "hand" and term == "elbo" and "elbo" not in methods["closed"].terms:
                continue  # its log-likelihood is the reference's own
            check = compare(term, method.name, reference, method.terms[term], expected, eps)
            check.note = methods["closed"].notes.get(term, "")
            if term in method.notes:
                check.method += f" ({method.notes[term]})"
            checks.append(check)
    for name in ("trace", "mean_field"):
        method = methods[name]
        total = torch.tensor(-(method.loss or 0.0), dtype=torch.float64)
        own = method.terms["elbo"].mean().cpu().double()
        title = f"{method.name.split()[0]}.loss"
        checks.append(numerical("elbo", title, "its own particles", total, own, eps))
    return checks


def _reference(methods: dict[str, Route], term: str) -> tuple[str, Tensor]:
    """What a term is held against: as much of it in closed form as there is."""
    closed, hand = methods["closed"], methods["hand"]
    if term in closed.terms:
        return closed.name, closed.terms[term]
    if term == "elbo" and "kl" in closed.terms:
        name = "by hand: sampled log-likelihood, exact KL"
        return name, hand.terms["log_likelihood"] - closed.terms["kl"]
    return hand.name, hand.terms[term]


def _same_draws(vae: VAE, x: Tensor, seen: list[Particles], eps: float) -> list[Check]:
    """Pyro's log-probabilities against our densities at the very draws that Pyro made."""
    q, p = vae.encode(x), vae.prior()
    rows: dict[str, list[tuple[Tensor, Tensor]]] = {}
    sources: dict[str, str] = {}
    for part in seen:
        if part.z is None:
            continue
        z = part.z.reshape(-1, len(x), vae.latent_dim)
        for name, d, value, pyro_value in (
            ("log q(z|x)", q, z, part.log_posterior),
            ("log p(z)", p, z, part.log_prior),
            ("log p(x|z)", vae.decode(z, x), x, part.log_likelihood),
        ):
            density, sources[name] = log_density(d, value)
            rows.setdefault(name, []).append((pyro_value, density))
    # a flow is inverted numerically where its draw is not in its cache
    inverted = isinstance(q, TransformedDistribution)
    tolerances = {"log q(z|x)": eps ** (2 / 3) if inverted else eps}
    return [
        numerical(name, "Pyro's trace", f"{sources[name]}, the same draws",
                  torch.cat([a for a, _ in pairs]), torch.cat([b for _, b in pairs]),
                  tolerances.get(name, eps))
        for name, pairs in rows.items()
    ]  # fmt: skip


def _evidence_checks(vae: VAE, x: Tensor, linear: LinearGaussian, eps: float) -> list[Check]:
    """log p(x) = ELBO + KL(q || p(z|x)), and equality at the exact posterior."""  # noqa: D403
    q, p, exact = vae.encode(x), vae.prior(), linear.posterior(x)
    evidence = linear.log_evidence(x)
    checks: list[Check] = []
    for name, guide in (("ELBO + KL(q || p(z|x))", q), ("ELBO at q = p(z|x)", exact)):
        log_likelihood = linear.expected_log_likelihood(x, guide)
        if log_likelihood is None:
            continue
        elbo = log_likelihood - kl_exact(guide, p)
        gap = kl_exact(guide, exact)
        value = elbo + gap if guide is q else elbo
        check = numerical("evidence", name, "log p(x), exact", value, evidence, eps)
        if guide is q:
            check.note = f"gap KL(q || p(z|x)) = {gap.mean().item():.4f} nats per datum"
        checks.append(check)
    return checks
