"""The audit: every term of the ELBO by independent methods, and a verdict that can fail."""

from __future__ import annotations

import pyro.infer
import torch
from torch import Tensor
from torch.distributions import TransformedDistribution

from pyro_vae.auditing.checks import Check, compare, critical_z, numerical
from pyro_vae.auditing.conditions import condition_checks
from pyro_vae.auditing.draws import draw_checks
from pyro_vae.auditing.estimates import TermEstimates, estimate_terms
from pyro_vae.auditing.gradients import by_pyro, elbo_by_hand, gradient_checks, groups_of
from pyro_vae.auditing.latent_classes import summed_out_checks
from pyro_vae.auditing.objective import objective_by_hand, value_check
from pyro_vae.auditing.program import Program
from pyro_vae.auditing.programs import program_checks
from pyro_vae.auditing.result import ELBOAudit
from pyro_vae.core.errors import DataError
from pyro_vae.core.modes import isolated_copy, multiplying
from pyro_vae.evidence.exact import LinearGaussian, linear_gaussian
from pyro_vae.objectives.kl import kl_exact
from pyro_vae.objectives.particle_elbo import ParticleELBO
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
    """Check every term of the ELBO, and its gradient, by independent methods.

    The methods are the closed form written by hand, draws and densities by hand, the particles of
    Pyro's ``Trace_ELBO``, and Pyro's ``TraceMeanField_ELBO``. Where the evidence is known exactly
    (a linear decoder and a Gaussian likelihood) the audit also checks
    ``log p(x) = ELBO + KL(q(z|x) || p(z|x))``. The rows about the program are those of
    :func:`audit`: what it declares, and whether draws follow their density. It runs on a copy of
    the model, in evaluation mode, with Pyro's validation on; the model and the random generators
    are left as they were. A conditional model comes given the data's conditions
    (``vae.given(condition)``), and must depend on them in both halves. Of one that sums out
    classes, the program and the sums are audited as they are, and the other rows given classes.

    Args:
        vae: The model.
        x: Data, ``(N, *event_shape)``; a few dozen are enough.
        particles: Draws for each datum and method, at least 100.
        gradients: Gradients drawn of each loss, at least 10; 0 skips the gradients.
        loss: A Pyro loss to audit as well, such as the one used in training. If it maximizes
            another bound than the ELBO, its value and gradient are compared with that bound
            written by hand; the ELBO's own rows stay the same.
        false_alarm: Probability that a correct model fails, over all rows and data together.
        seed: Seed of every draw.
        dtype: Precision of the copy. In float64, methods without sampling must agree to 1e-9.

    Returns:
        An audit, whose ``passed`` is the verdict, and which displays itself in a terminal and in
        Jupyter.

    Raises:
        DataError: if ``x`` does not fit the model, or there are too few draws.

    Example:
        >>> vae = VAE(event_shape=(5,), latent_dim=2, decoder="linear")
        >>> audit_elbo(vae, torch.randn(8, 5), particles=200, gradients=10).passed
        True
    """
    for name, value, least in (("particles", particles, 100), ("gradients", gradients, 10)):
        if value < least and not (name == "gradients" and value == 0):
            raise DataError(f"{name}: expected at least {least}, got {value}")
    device = next(iter([*vae.parameters(), *vae.buffers()]), x).device
    x = vae.rows(x).detach().to(device=device, dtype=dtype)
    if not len(x):
        raise DataError("x: expected at least one datum, got none")
    vae.check_count(len(x))
    eps = TOLERANCE.get(dtype, 1e-2)
    with isolated_copy(vae, dtype, seed) as model:
        program = _program_checks(model, x, particles, seed, eps)
        try:
            checks, estimates = _vae_checks(model, x, loss, particles, gradients, seed, eps)
        except Exception:
            if not any(check.problems for check in program):
                raise
            checks, estimates = [], {}  # such a program cannot be compared term by term
        checks += program
    critical = critical_z(false_alarm, sum(check.tests for check in checks))
    for check in checks:
        check.judge(critical)
    terms = estimates["trace"].terms if estimates else {}
    draws = {term: values.mean(1) for term, values in terms.items()}
    return ELBOAudit(checks, particles, false_alarm, critical, seed, str(dtype), draws, estimates)


def _program_checks(vae: VAE, x: Tensor, particles: int, seed: int, eps: float) -> list[Check]:
    """What holds for any Pyro program: its statements, and its draws against their densities."""
    program = Program(vae.model, vae.guide, (x,), {})
    with program.isolated(seed):
        checks = program_checks(program, seed)
        if not any(check.problems for check in checks):
            checks += draw_checks(program.run(seed), max(600, particles), eps)
    return checks


def _vae_checks(
    vae: VAE,
    x: Tensor,
    loss: pyro.infer.ELBO | None,
    particles: int,
    gradients: int,
    seed: int,
    eps: float,
) -> tuple[list[Check], dict[str, TermEstimates]]:
    """What a VAE lets us know: each term by each method, datum by datum, and the evidence."""
    if vae.sums_out:
        summed = summed_out_checks(vae, x, loss, max(100, particles // 10), gradients, seed, eps)
        classes = torch.arange(len(x)) % len(vae.log_p)
        given = vae.given(classes)
        checks, estimates = _vae_checks(given, x, None, particles, gradients, seed, eps)
        return summed + checks, estimates
    linear = linear_gaussian(vae)
    estimates = estimate_terms(vae, x, particles, linear)
    checks = _term_checks(estimates, eps)
    if loss is not None:
        checks += _objective_checks(vae, x, loss, particles, gradients, seed, eps)
    checks += _density_checks(vae, x, estimates["trace"], eps)
    if linear is not None:
        checks += _evidence_checks(vae, x, linear, eps)
    if gradients:
        checks += _gradient_checks(vae, x, gradients, seed, eps)
    checks += condition_checks(vae, x)
    return checks, estimates


def _term_checks(estimates: dict[str, TermEstimates], eps: float) -> list[Check]:
    """Each term by each method, against its closed form if it has one, else our own particles."""
    checks: list[Check] = []
    closed = estimates["closed"]
    for term in TERMS:
        reference, expected = _reference(estimates, term)
        for name, estimate in estimates.items():
            if term not in estimate.terms or estimate.method == reference:
                continue
            if name == "hand" and term == "elbo" and "elbo" not in closed.terms:
                continue  # the reference is made of the same log-likelihoods
            check = compare(term, estimate.method, reference, estimate.terms[term], expected, eps)
            check.note = closed.notes.get(term, "")
            if term in estimate.notes:
                check.method += f" ({estimate.notes[term]})"
            checks.append(check)
    for estimate in (estimates["trace"], estimates["mean_field"]):
        total = torch.tensor(-(estimate.loss or 0.0), dtype=torch.float64)
        own = estimate.terms["elbo"].mean().cpu().double()
        method = f"{estimate.method.split()[0]}.loss"
        checks.append(numerical("elbo", method, "its own particles", total, own, eps))
    return checks


def _reference(estimates: dict[str, TermEstimates], term: str) -> tuple[str, Tensor]:
    """The reference of a term: as much of it in closed form as possible."""
    closed, hand = estimates["closed"], estimates["hand"]
    if term in closed.terms:
        return closed.method, closed.terms[term]
    if term == "elbo" and "kl" in closed.terms:
        name = "by hand: sampled log-likelihood, exact KL"
        return name, hand.terms["log_likelihood"] - closed.terms["kl"]
    return hand.method, hand.terms[term]


def _objective_checks(
    vae: VAE,
    x: Tensor,
    loss: pyro.infer.ELBO,
    particles: int,
    gradients: int,
    seed: int,
    eps: float,
) -> list[Check]:
    """A training loss against the same bound by hand, in value and (one of ours) gradient."""
    by_hand = objective_by_hand(vae, x, loss)
    checks = [value_check(vae, x, loss, by_hand, max(100, particles // 10), seed, eps)]
    if gradients and isinstance(loss, ParticleELBO):
        losses = {f"the training's {type(loss).__name__}": by_pyro(vae, x, loss)}
        with torch.enable_grad():
            checks += gradient_checks(
                groups_of(vae), losses, lambda: -by_hand[-1]() / len(x),
                "by hand, the same seeds", gradients, seed, eps, bound=loss.name,
            )  # fmt: skip
    return checks


def _density_checks(vae: VAE, x: Tensor, trace: TermEstimates, eps: float) -> list[Check]:
    """Pyro's log-probabilities against our densities, at the draws that Pyro made."""
    checks: list[Check] = []
    for name, (pyros, ours, source) in trace.densities.items():
        # a flow whose draw is not in its cache is inverted numerically
        inverted = name == "log q(z|x)" and isinstance(vae.encode(x), TransformedDistribution)
        tolerance = eps ** (2 / 3) if inverted else eps
        reference = f"{source}, the same draws"
        checks.append(numerical(name, "Pyro's trace", reference, pyros, ours, tolerance))
    return checks


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


def _gradient_checks(vae: VAE, x: Tensor, repeats: int, seed: int, eps: float) -> list[Check]:
    """The gradients of Pyro's losses against that of the hand-written ELBO."""
    with torch.enable_grad():
        by_hand, method = elbo_by_hand(vae, x)
        losses = {
            cls.__name__: by_pyro(vae, x, cls())
            for cls in (pyro.infer.Trace_ELBO, pyro.infer.TraceMeanField_ELBO)
        }
        return gradient_checks(groups_of(vae), losses, by_hand, method, repeats, seed, eps)
