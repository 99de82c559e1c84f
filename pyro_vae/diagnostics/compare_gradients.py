"""Estimators of the gradient on a batch: the bias, the variance and the cost of each."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from scipy import stats
from torch import Tensor, nn

from pyro_vae.auditing.checks import critical_z, z_score
from pyro_vae.auditing.gradients import (
    Loss,
    by_pyro,
    directions_of,
    elbo_by_hand,
    gradient_of,
    groups_of,
)
from pyro_vae.core.errors import DataError, IncompatibleComponents, at_least
from pyro_vae.core.modes import device_of, isolated_copy
from pyro_vae.diagnostics.gradient_comparison import GradientComparison, GradientRow
from pyro_vae.objectives.elbo import ELBO
from pyro_vae.objectives.estimators import Estimator
from pyro_vae.objectives.iwae import IWAE
from pyro_vae.objectives.kl import kl_source
from pyro_vae.objectives.terms import elbo_terms
from pyro_vae.report.estimate import Estimate
from pyro_vae.vae import VAE

__all__ = ["compare_gradients", "mean_variance", "median"]

Groups = dict[str, list[nn.Parameter]]
ALL = "all"
ELBO_ESTIMATORS: tuple[Estimator, ...] = ("pathwise", "sticking_the_landing", "score_function")
IWAE_ESTIMATORS: tuple[Estimator, ...] = ("pathwise", "doubly_reparameterized", "score_function")


@dataclass
class _Reference:
    """The reference gradient of one bound, along each direction, by group of parameters."""

    name: str
    mean: dict[str, Tensor]
    stderr: dict[str, Tensor]
    directions: dict[str, Tensor]


@dataclass
class _Measured:
    """Draws along the directions and squared half-distances of pairs, by group; and seconds."""

    along: dict[str, list[Tensor]] = field(default_factory=lambda: defaultdict(list))
    squares: dict[str, list[Tensor]] = field(default_factory=lambda: defaultdict(list))
    seconds: list[float] = field(default_factory=list)


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
    """Measure every gradient estimator on a batch of data.

    The ELBO's: pathwise, sticking_the_landing and score_function, with a sampled KL and, where
    there is a closed form, with an exact one; and those of the importance-weighted bound with as
    many particles. Each loss is in nats per datum, and its gradient is drawn ``draws`` times.

    - Bias: the mean of the draws less a reference, along the reference, relative to its length.
      The reference is the exact gradient where the ELBO has a closed form (a linear decoder, a
      Gaussian likelihood, a normal posterior), and elsewhere the mean of ``reference_draws``
      pathwise gradients from other seeds, whose standard error is included.
    - Variance: the trace of the gradient's covariance, from pairs of draws.
    - Cost: the time of a loss and its gradient, the median of the draws, on this machine.

    It runs on a copy of the model in its own precision, in evaluation mode and without Pyro's
    validation, as training does.

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
        A comparison, shown as a table and a figure.

    Raises:
        DataError: if ``x`` does not fit the model, or there are too few draws.
        IncompatibleComponents: if the posterior is not reparameterized.

    Example:
        >>> vae = VAE(event_shape=(5,), latent_dim=2, decoder="linear")
        >>> compared = compare_gradients(vae, torch.randn(8, 5), draws=20, reference_draws=20)
        >>> [row.estimator for row in compared.of("all") if row.bound == "IWAE, K = 5"]
        ['pathwise', 'doubly_reparameterized', 'score_function']
    """
    at_least(2, particles=particles)
    at_least(20, draws=draws, reference_draws=reference_draws)
    device = device_of(vae)
    dtype = next(vae.parameters()).dtype
    x = vae.rows(x).detach().to(device=device, dtype=dtype)
    if not len(x):
        raise DataError("x: expected at least one datum, got none")
    with isolated_copy(vae, dtype, seed, validate=False) as model, torch.enable_grad():
        objectives = _objectives(model, x, particles)
        references = _references(model, x, particles, reference_draws, seed)
        losses = [by_pyro(model, x, each.pyro_loss()) for *_, each in objectives]
        targets = [references[bound] for bound, *_ in objectives]
        seeds = range(seed + 2_000_000, seed + 2_000_000 + 2 * math.ceil(draws / 2))
        measured = _measure(losses, targets, groups_of(model), seeds)
    rows = [
        _row(bound, each.estimator, kl, group, draws_of, target, confidence)
        for group in targets[0].mean
        for (bound, kl, each), draws_of, target in zip(objectives, measured, targets, strict=True)
    ]
    names = {bound: reference.name for bound, reference in references.items()}
    critical = critical_z(false_alarm, sum(row.tests for row in rows))
    return GradientComparison(rows, names, particles, draws, len(x), confidence, critical,
                              seed, str(device), str(dtype))  # fmt: skip


def _objectives(vae: VAE, x: Tensor, particles: int) -> list[tuple[str, str, ELBO | IWAE]]:
    """Each bound, its KL and the objective with one of its estimators."""
    q = vae.encode(x)
    if not q.has_rsample:
        raise IncompatibleComponents(
            f"Expected a reparameterized posterior, since the reference is a pathwise gradient, "
            f"got {type(q).__name__}, which has no rsample"
        )
    found: list[tuple[str, str, ELBO | IWAE]] = [
        ("ELBO", "sampled", ELBO("sampled", particles, estimator=each)) for each in ELBO_ESTIMATORS
    ]
    if kl_source(q, vae.prior()) is not None:
        found += [("ELBO", "exact", ELBO("exact", particles, estimator=each))
                  for each in ELBO_ESTIMATORS if each != "sticking_the_landing"]  # fmt: skip
    bound = f"IWAE, K = {particles}"
    return [*found, *((bound, "", IWAE(particles, each)) for each in IWAE_ESTIMATORS)]


def _references(
    vae: VAE, x: Tensor, particles: int, draws: int, seed: int
) -> dict[str, _Reference]:
    """The reference gradient of each bound: exact if it has a closed form, else a mean."""
    by_hand, method = elbo_by_hand(vae, x)
    kl = "exact" if kl_source(vae.encode(x), vae.prior()) else "sampled"
    pathwise = f"mean of {draws:,} pathwise gradients"
    exact = "closed" in method

    def sampled() -> Tensor:
        return -elbo_terms(vae, x, particles=particles).elbo.mean()

    elbo = (by_hand, "exact", 1) if exact else (sampled, f"{pathwise} with {kl} KL", draws)
    iwae = by_pyro(vae, x, IWAE(particles).pyro_loss())
    return {
        "ELBO": _reference(*elbo, groups_of(vae), seed),
        f"IWAE, K = {particles}": _reference(iwae, pathwise, draws, groups_of(vae), seed),
    }


def _reference(loss: Loss, name: str, draws: int, groups: Groups, seed: int) -> _Reference:
    """The mean of some gradients of a loss, along directions from a few of them."""
    everything = {ALL: [p for group in groups.values() for p in group]}
    pilot = 1 if draws == 1 else 8
    directions = {**directions_of(loss, everything, seed, pilot),
                  **directions_of(loss, groups, seed, pilot)}  # fmt: skip
    along: dict[str, list[Tensor]] = {group: [] for group in directions}
    for draw in range(draws):
        torch.manual_seed(seed + 1_000_000 + draw)
        for group, gradient in _with_all(gradient_of(loss, groups)).items():
            along[group].append(directions[group] @ gradient)
    drawn = {group: torch.stack(values) for group, values in along.items()}
    return _Reference(
        name,
        {group: values.mean(0) for group, values in drawn.items()},
        {group: _stderr_of(values) for group, values in drawn.items()},
        directions,
    )


def _with_all(gradients: dict[str, Tensor]) -> dict[str, Tensor]:
    return {ALL: torch.cat(list(gradients.values())), **gradients}


def _stderr_of(values: Tensor) -> Tensor:
    """Of the mean over the first dimension; 0 for a single value."""
    return (
        values.std(0) / math.sqrt(len(values)) if len(values) > 1 else torch.zeros_like(values[0])
    )


def _measure(
    losses: list[Loss], targets: list[_Reference], groups: Groups, seeds: Iterable[int]
) -> list[_Measured]:
    """Each estimator in turn on each seed, so that load on the machine slows all alike."""
    found = [_Measured() for _ in losses]
    before: list[dict[str, Tensor]] = [{} for _ in losses]
    for loss in losses:
        gradient_of(loss, groups)  # warm up
    for seed in seeds:
        for i, (loss, target) in enumerate(zip(losses, targets, strict=True)):
            torch.manual_seed(seed)
            began = _now(groups)
            gradient = gradient_of(loss, groups)
            found[i].seconds.append(_now(groups) - began)
            gradient, last = _with_all(gradient), before[i]
            for name, value in gradient.items():
                found[i].along[name].append(target.directions[name] @ value)
                if last:
                    found[i].squares[name].append((value - last[name]).square().sum() / 2)
            before[i] = {} if last else gradient
    return found


def _now(groups: Groups) -> float:
    device = next(iter(groups.values()))[0].device
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _row(
    bound: str,
    estimator: str,
    kl: str,
    group: str,
    measured: _Measured,
    target: _Reference,
    confidence: float,
) -> GradientRow:
    drawn = torch.stack(measured.along[group])
    along, expected = drawn.double(), target.mean[group].double()
    stderr = (_stderr_of(along).square() + target.stderr[group].double().square()).sqrt()
    gap = along.mean(0) - expected
    rounding = torch.finfo(drawn.dtype).eps ** 0.75
    z = z_score(gap, stderr, len(along) - 1, rounding * max(expected.abs().max().item(), 1.0))
    length = expected[0].abs().item()
    squares = torch.stack(measured.squares[group]).double()
    return GradientRow(
        bound, estimator, kl, group, signal=length,
        bias=Estimate(gap[0].item(), stderr[0].item(), draws=len(along)).within(confidence),
        worst_z=z[z.abs().argmax()].item(), tests=len(z),
        variance=mean_variance(squares, confidence, rounding * length),
        seconds=median(measured.seconds, confidence),
    )  # fmt: skip


def mean_variance(values: Tensor, confidence: float, rounding: float) -> Estimate:
    """The mean of independent unbiased estimates, its interval on the logarithmic scale.

    A mean whose root is within ``rounding`` is 0.
    """
    mean = values.mean().item()
    if mean <= rounding**2 or mean == 0:
        return Estimate(0.0, draws=len(values), low=0.0, high=0.0)
    wide = float(stats.t.isf((1 - confidence) / 2, len(values) - 1))
    factor = math.exp(wide * _stderr_of(values.unsqueeze(-1)).item() / mean)
    return Estimate(mean, draws=len(values), low=mean / factor, high=mean * factor)


def median(values: list[float], confidence: float) -> Estimate:
    """The median, and the order statistics that hold the true one with this confidence."""
    ordered = sorted(values)
    count = len(ordered)
    lowest = max(int(stats.binom.ppf((1 - confidence) / 2, count, 0.5)) - 1, 0)
    middle = (ordered[(count - 1) // 2] + ordered[count // 2]) / 2
    high = ordered[count - 1 - lowest]
    return Estimate(middle, unit="seconds", draws=count, low=ordered[lowest], high=high)
