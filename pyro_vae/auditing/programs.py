"""The audit of any Pyro model and guide."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyro.infer
import torch

from pyro_vae.auditing.behavior import behavior_checks
from pyro_vae.auditing.checks import Check, critical_z, finding
from pyro_vae.auditing.draws import density_checks, draw_checks
from pyro_vae.auditing.losses import applicable_losses, gradient_rows, value_rows
from pyro_vae.auditing.program import Program, log_prob, sites
from pyro_vae.auditing.result import Audit
from pyro_vae.auditing.structure import structure_checks
from pyro_vae.auditing.subsamples import subsample_checks
from pyro_vae.core.errors import at_least

__all__ = ["audit", "program_checks"]

TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4}


def audit(
    model: Callable[..., Any],
    guide: Callable[..., Any],
    *args: Any,
    loss: pyro.infer.ELBO | None = None,
    particles: int = 200,
    gradients: int = 40,
    data_size: int | None = None,
    false_alarm: float = 1e-4,
    seed: int = 0,
    **kwargs: Any,
) -> Audit:
    """Check a Pyro model and guide, and the ELBO and gradient that Pyro computes from them.

    It first states what the program declares (sites, supports, plates, scales, masks, factors),
    then how it behaves (randomness outside sample statements, parameters without a gradient,
    derivatives against differences). If all of that holds, each site's draws are compared with
    its density, and the values and gradients of Pyro's losses with the ELBO written by hand from
    the same seeds. The program runs in its own precision. Pyro's parameters, the random
    generators and the modules' buffers are left as they were.

    Args:
        model: A Pyro model.
        guide: Its guide.
        args: Arguments of both.
        loss: A Pyro loss to audit as well, such as the one used in training.
        particles: Values drawn of each loss, at least 100; and least draws of each site.
        gradients: Gradients drawn of each loss, at least 10; 0 skips them.
        data_size: Number of data in the full data set, for a program that is given a subsample.
        false_alarm: Probability that a correct program fails, over all rows together.
        seed: Seed of every draw.
        kwargs: Keyword arguments of both.

    Returns:
        An audit, whose ``passed`` is the verdict, and which displays itself in a terminal and in
        Jupyter. Values are in nats, summed over the data.

    Raises:
        DataError: if there are too few draws. What is wrong with a program is a row, not an error.

    Example:
        >>> import pyro, pyro.distributions as dist
        >>> from pyro.infer.autoguide import AutoNormal
        >>> def model(x):
        ...     loc = pyro.sample("loc", dist.Normal(0.0, 1.0))
        ...     with pyro.plate("data", len(x)):
        ...         pyro.sample("x", dist.Normal(loc, 1.0), obs=x)
        >>> audit(model, AutoNormal(model), torch.randn(10)).passed
        True
    """
    at_least(100, particles=particles)
    at_least(10, gradients=gradients or 10)
    program = Program(model, guide, args, kwargs)
    draws: dict[str, torch.Tensor] = {}
    dtype = torch.get_default_dtype()
    with program.isolated(seed):
        checks = program_checks(program, seed, data_size)
        if not _failing(checks):
            draw = program.run(seed)
            dtype = log_prob(next(iter(sites(draw.model, observed=True).values()))).dtype
            eps = TOLERANCE.get(dtype, 1e-2)
            found, rows = applicable_losses(draw, loss)
            checks += rows
            checks += _guarded("densities", lambda: density_checks(draw, eps))
            checks += _guarded("draws", lambda: draw_checks(draw, max(600, particles), eps))

            def values() -> list[Check]:
                rows, terms = value_rows(program, found, particles, seed, eps / 10)
                draws.update(terms)
                return rows

            if found:
                checks += _guarded("elbo", values)
            checks += _guarded("subsamples", lambda: subsample_checks(program, seed, eps))
            if found and gradients:
                checks += _guarded("gradient", lambda: gradient_rows(
                    program, found, gradients, seed, 10 * eps))  # fmt: skip
    critical = critical_z(false_alarm, sum(check.tests for check in checks))
    for check in checks:
        check.judge(critical)
    return Audit(checks, particles, false_alarm, critical, seed, str(dtype), draws)


def program_checks(program: Program, seed: int, data_size: int | None = None) -> list[Check]:
    """The statements about a program; those about its behavior only if it is well formed."""
    checks = _guarded("program", lambda: structure_checks(program, seed, data_size))
    if not _failing(checks):
        checks += _guarded("program", lambda: behavior_checks(program, seed))
    return checks


def _failing(checks: list[Check]) -> bool:
    return any(check.problems for check in checks)


def _guarded(quantity: str, rows: Callable[[], list[Check]]) -> list[Check]:
    """Rows; an error of the program becomes a row of its own."""
    try:
        return rows()
    except Exception as error:
        first = str(error).strip().split("\n")[0]
        return [finding(quantity, "it runs", [f"{type(error).__name__}: {first}"],
                        "Make model and guide run with these arguments, as in "
                        "Trace_ELBO().loss(model, guide, *args).")]  # fmt: skip
