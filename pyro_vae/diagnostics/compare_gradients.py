"""Estimators of the gradient on a batch: the bias, the variance and the cost of each."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from pyro_vae.audit.checks import critical_z, z_score
from pyro_vae.audit.gradients import by_pyro, elbo_by_hand, groups_of
from pyro_vae.core.errors import DataError, IncompatibleComponents
from pyro_vae.core.modes import device_of, isolated_copy
from pyro_vae.diagnostics.gradient_comparison import GradientComparison, GradientRow
from pyro_vae.diagnostics.gradient_draws import (
    ALL,
    Loss,
    Measured,
    Reference,
    mean_variance,
    measure,
    median,
    reference_of,
    stderr_of,
)
from pyro_vae.objectives.elbo import ELBO
from pyro_vae.objectives.estimators import Estimator
from pyro_vae.objectives.iwae import IWAE
from pyro_vae.objectives.kl import kl_source
from pyro_vae.objectives.objective import Objective
from pyro_vae.objectives.terms import elbo_terms
from pyro_vae.report.estimate import Estimate
from pyro_vae.vae import VAE

__all__ = ["compare_gradients"]


@dataclass
class _Contestant:
    bound: str
    estimator: Estimator
    kl: str
    objective: Objective


def compare_gradients(
    vae: VAE,
    x: Tensor,
    *,
    particles: int = 5,
    draws: int = 100,
    reference_draws: int = 1000,
    confidence: float = 0.95,
    false_alarm: float = 1e-4,
    seed: int = 0,
) -> GradientComparison:
    """Measure every estimator of the gradient on a batch of one's own.

    The ELBO's: pathwise, sticking_the_landing and score_function, with a sampled KL and with an
    exact one where there is a closed form; and those of the importance-weighted bound of as many
    particles. Each loss is in nats per datum, and its gradient is drawn ``draws`` times.

    - Bias: the mean of the draws less a reference, along the reference, in parts of its length.
      The reference is the exact gradient where the ELBO has a closed form (a linear decoder, a
      Gaussian likelihood, a normal posterior), and elsewhere the mean of ``reference_draws``
      pathwise gradients of other seeds, whose standard error is counted in.
    - Variance: the trace of the gradient's covariance, from pairs of draws.
    - Cost: the time of a loss and its gradient, the median of the draws, on this machine.

    It runs on a copy of the model in its own precision, in evaluation mode and without Pyro's
    validation, as training does; the model and the random generators are left as they were.

    Args:
        vae: The model.
        x: Data, ``(N, *event_shape)``: one batch.
        particles: Draws from the guide for each datum, the same for every estimator, at least 2.
        draws: Gradients drawn of each estimator, at least 20.
        reference_draws: Gradients in the mean that is the reference where none is exact, at
            least 20.
        confidence: Of each interval that is shown.
        false_alarm: Probability that some unbiased estimator is called biased.
        seed: Seed of every draw.

    Returns:
        A comparison, which shows itself as a table and a picture.

    Raises:
        DataError: if ``x`` does not fit the model, or there are too few draws.
        IncompatibleComponents: if the posterior is not reparameterized.

    Example:
        >>> vae = VAE(event_shape=(5,), latent_dim=2, decoder="linear")
        >>> compared = compare_gradients(vae, torch.randn(8, 5), draws=20, reference_draws=20)
        >>> [row.estimator for row in compared.of("all") if row.bound == "IWAE, K = 5"]
        ['pathwise', 'doubly_reparameterized', 'score_function']
    """
    least = {"particles": 2, "draws": 20, "reference_draws": 20}
    given = {"particles": particles, "draws": draws, "reference_draws": reference_draws}
    for name, value in given.items():
        if value < least[name]:
            raise DataError(f"{name}: expected at least {least[name]}, got {value}")
    device = device_of(vae)
    dtype = next(vae.parameters()).dtype
    x = vae._data(x).detach().to(device=device, dtype=dtype)
    if not len(x):
        raise DataError("x: expected at least one datum, got none")
    with isolated_copy(vae, dtype, seed, validate=False) as model:
        contestants = _contestants(model, x, particles)
        with torch.enable_grad():
            rows, references = _rows(model, x, contestants, particles, draws, reference_draws,
                                     confidence, seed)  # fmt: skip
    critical = critical_z(false_alarm, sum(row.tests for row in rows))
    return GradientComparison(rows, references, particles, draws, len(x), confidence, critical,
                              seed, str(device), str(dtype))  # fmt: skip


def _contestants(vae: VAE, x: Tensor, particles: int) -> list[_Contestant]:
    q = vae.encode(x)
    if not q.has_rsample:
        raise IncompatibleComponents(
            f"Expected a reparameterized posterior, since the reference is a pathwise gradient, "
            f"got {type(q).__name__}, which has no rsample"
        )
    exact = kl_source(q, vae.prior()) is not None
    found = []
    for kl, estimator in (
        ("sampled", "pathwise"),
        ("sampled", "sticking_the_landing"),
        ("sampled", "score_function"),
        ("exact", "pathwise"),
        ("exact", "score_function"),
    ):
        if kl == "sampled" or exact:
            objective: Objective = ELBO(kl=kl, particles=particles, estimator=estimator)  # type: ignore[arg-type]
            found.append(_Contestant("ELBO", estimator, kl, objective))  # type: ignore[arg-type]
    bound = f"IWAE, K = {particles}"
    for each in ("pathwise", "doubly_reparameterized", "score_function"):
        objective = IWAE(particles, each)
        found.append(_Contestant(bound, each, "", objective))
    return found


def _rows(
    vae: VAE,
    x: Tensor,
    contestants: list[_Contestant],
    particles: int,
    draws: int,
    reference_draws: int,
    confidence: float,
    seed: int,
) -> tuple[list[GradientRow], dict[str, str]]:
    groups = groups_of(vae)
    references: dict[str, Reference] = {}
    for contestant in contestants:
        if contestant.bound not in references:
            loss, name = _reference_loss(vae, x, contestant, particles)
            references[contestant.bound] = reference_of(loss, name, groups, reference_draws, seed)
    losses = [by_pyro(vae, x, each.objective.pyro_loss()) for each in contestants]
    targets = [references[each.bound] for each in contestants]
    seeds = range(seed + 2_000_000, seed + 2_000_000 + 2 * math.ceil(draws / 2))
    measured = measure(losses, targets, groups, seeds)
    rows = [
        _row(contestant, group, measured[i], targets[i], confidence)
        for group in (ALL, *groups)
        for i, contestant in enumerate(contestants)
    ]
    return rows, {bound: reference.name for bound, reference in references.items()}


def _reference_loss(
    vae: VAE, x: Tensor, contestant: _Contestant, particles: int
) -> tuple[Loss, str]:
    if contestant.bound != "ELBO":
        objective = IWAE(particles)
        return by_pyro(vae, x, objective.pyro_loss()), "mean of {count} pathwise gradients"
    by_hand, method = elbo_by_hand(vae, x)
    if "closed" in method:
        return by_hand, "exact"
    kl = "exact" if kl_source(vae.encode(x), vae.prior()) else "sampled"
    name = f"mean of {{count}} pathwise gradients with {kl} KL"
    return (lambda: -elbo_terms(vae, x, particles=particles).elbo.mean()), name


def _row(
    contestant: _Contestant,
    group: str,
    measured: Measured,
    target: Reference,
    confidence: float,
) -> GradientRow:
    along, expected = measured.along[group].double(), target.mean[group].double()
    stderr = (stderr_of(along).square() + target.stderr[group].double().square()).sqrt()
    gap = along.mean(0) - expected
    rounding = torch.finfo(measured.along[group].dtype).eps ** 0.75
    z = z_score(gap, stderr, len(along) - 1, rounding * max(expected.abs().max().item(), 1.0))
    length = expected[0].abs().item()
    bias, error = gap[0].item(), stderr[0].item()
    return GradientRow(
        contestant.bound, contestant.estimator, contestant.kl, group, signal=length,
        bias=Estimate(bias, error, draws=len(along)).within(confidence),
        worst_z=z[z.abs().argmax()].item(), tests=len(z),
        variance=mean_variance(measured.variances[group].double(), confidence, rounding * length),
        seconds=median(measured.seconds, confidence),
    )  # fmt: skip
