"""Comparisons of two routes: by statistics where one of them samples, by rounding elsewhere."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from scipy import stats
from torch import Tensor

__all__ = ["Check", "compare", "critical_z", "numerical", "statistical"]


@dataclass
class Check:
    """One quantity by one route, held against a reference.

    Args:
        quantity: What is compared: ``kl``, ``log_likelihood``, ``elbo``, ``gradient: encoder``...
        route: How the value was found.
        value: Its value for the batch, in nats per datum.
        reference: How the value that it is held against was found.
        difference: Value less reference, in nats per datum.
        stderr: Standard error of the difference; 0 where both are exact.
        z: Difference in standard errors, as a normal score; 0 if it is within rounding.
        tests: How many statistical tests this row makes, the batch's own included.
        worst_datum: Position in the batch of the datum that disagrees most, if data are compared.
        worst_z: Its z-score.
        relative: Largest relative difference, for a comparison without sampling.
        tolerance: What ``relative`` may be.
        note: What the table says beside the verdict.
        passed: The verdict, set when the number of all tests is known.
    """

    quantity: str
    route: str
    value: float
    reference: str
    difference: float = 0.0
    stderr: float = 0.0
    z: float = 0.0
    tests: int = 0
    worst_datum: int | None = None
    worst_z: float = 0.0
    relative: float | None = None
    tolerance: float = 0.0
    note: str = ""
    passed: bool = True

    @property
    def kind(self) -> Literal["statistical", "numerical"]:
        """Whether sampling, or rounding alone, may explain a difference."""
        return "statistical" if self.relative is None else "numerical"

    def judge(self, critical: float) -> None:
        """Set the verdict; ``critical`` is the z-score that no single test may pass."""
        if self.relative is not None:
            self.passed = self.relative <= self.tolerance
        else:
            self.passed = max(abs(self.z), abs(self.worst_z)) <= critical


def critical_z(false_alarm: float, tests: int) -> float:
    """The |z| that no one of ``tests`` true comparisons passes, but with this probability.

    Bonferroni's bound, so that the rate holds for all rows and data together.

    Example:
        >>> round(critical_z(1e-5, 1), 2)
        4.42
    """
    return float(stats.norm.isf(false_alarm / (2 * max(tests, 1))))


def z_score(difference: Tensor, stderr: Tensor, dof: float, rounding: float) -> Tensor:
    """Student's t of each difference, as the normal score of equal probability.

    A difference within ``rounding`` is 0. One beyond it without sampling error, and one that is
    not finite, have a score beyond any critical value.
    """
    t = (difference / stderr).nan_to_num(nan=math.inf, posinf=math.inf, neginf=-math.inf).cpu()
    p = torch.as_tensor(stats.t.logsf(t.abs().numpy(), dof)).exp()
    z = torch.as_tensor(stats.norm.isf(p.clamp(min=1e-300).numpy())) * t.sign()
    return torch.where(difference.abs().cpu() <= rounding, torch.zeros_like(z), z)


def statistical(
    quantity: str, route: str, reference: str, values: Tensor, expected: Tensor, eps: float
) -> Check:
    """Compare the means of particles, datum by datum and over the batch.

    Args:
        quantity: What is compared.
        route: How ``values`` were found.
        reference: How ``expected`` was found.
        values: ``(P, N)``, in nats; ``(1, N)`` where exact.
        expected: ``(P, N)`` or ``(1, N)`` likewise, from draws of its own.
        eps: Relative rounding error below which two values are equal.
    """
    particles = max(len(values), len(expected))
    difference = values.mean(0) - expected.mean(0)  # (N,)
    variance = _variance_of_mean(values) + _variance_of_mean(expected)
    batch_variance = _variance_of_mean(values.mean(1)) + _variance_of_mean(expected.mean(1))
    dof = particles - 1
    rounding = eps * max(1.0, expected.abs().max().item())
    z = z_score(difference, variance.sqrt(), dof, rounding)
    batch_stderr = batch_variance.sqrt()
    batch_z = z_score(difference.mean(), batch_stderr, dof, rounding)
    worst = int(z.abs().argmax())
    return Check(
        quantity, route, values.mean().item(), reference, difference.mean().item(),
        batch_stderr.item(), batch_z.item(), tests=1 + len(z), worst_datum=worst,
        worst_z=z[worst].item(),
    )  # fmt: skip


def _variance_of_mean(values: Tensor) -> Tensor:
    if len(values) == 1:
        return torch.zeros_like(values[0])
    return values.var(0) / len(values)


def numerical(
    quantity: str, route: str, reference: str, values: Tensor, expected: Tensor, tolerance: float
) -> Check:
    """Compare values that only rounding may tell apart; shapes broadcast."""
    gap = (values - expected).abs() / torch.maximum(values.abs(), expected.abs()).clamp(min=1.0)
    relative = gap.max().nan_to_num(nan=math.inf).item()
    return Check(
        quantity, route, values.mean().item(), reference, (values - expected).mean().item(),
        relative=relative, tolerance=tolerance,
    )  # fmt: skip


def compare(
    quantity: str, route: str, reference: str, values: Tensor, expected: Tensor, eps: float
) -> Check:
    """Compare two routes, by statistics if either samples, by rounding if neither does."""
    if len(values) == len(expected) == 1:
        return numerical(quantity, route, reference, values, expected, eps)
    return statistical(quantity, route, reference, values, expected, eps)
