"""Comparisons of two methods: by statistics where one of them samples, by rounding elsewhere."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from scipy import stats
from torch import Tensor

__all__ = ["Check", "compare", "critical_z", "numerical", "statistical"]


@dataclass
class PerDatum:
    """One comparison for each datum, each a list of N numbers in nats.

    Args:
        value: By the method.
        difference: Value less reference.
        stderr: Standard error of the difference; 0 where both are exact.
        z: The difference as a normal score; of exact values, 0 within rounding, else beyond any
            critical value.
    """

    value: list[float]
    difference: list[float]
    stderr: list[float]
    z: list[float]

    @classmethod
    def of(cls, values: Tensor, expected: Tensor, rounding: float) -> PerDatum:
        """Compare ``(P, N)`` or exact ``(1, N)`` values with others."""
        difference = values.mean(0) - expected.mean(0)
        stderr = (_variance_of_mean(values) + _variance_of_mean(expected)).sqrt()
        dof = max(len(values), len(expected), 2) - 1
        z = z_score(difference, stderr, dof, rounding)
        columns = (values.mean(0), difference, stderr, z)
        return cls(*(column.cpu().tolist() for column in columns))


@dataclass
class Check:
    """One quantity by one method, held against a reference.

    Args:
        quantity: What is compared: ``kl``, ``log_likelihood``, ``elbo``, ``gradient: encoder``...
        method: How the value was found.
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
        per_datum: The same for each datum, where data are compared.
        passed: The verdict, set when the number of all tests is known.
    """

    quantity: str
    method: str
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
    per_datum: PerDatum | None = None
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
    quantity: str, method: str, reference: str, values: Tensor, expected: Tensor, eps: float
) -> Check:
    """Compare the means of particles, datum by datum and over the batch.

    Args:
        quantity: What is compared.
        method: How ``values`` were found.
        reference: How ``expected`` was found.
        values: ``(P, N)``, in nats; ``(1, N)`` where exact.
        expected: ``(P, N)`` or ``(1, N)`` likewise, from draws of its own.
        eps: Relative rounding error below which two values are equal.
    """
    rounding = eps * max(1.0, expected.abs().max().item())
    data = PerDatum.of(values, expected, rounding)
    batch = PerDatum.of(values.mean(1, keepdim=True), expected.mean(1, keepdim=True), rounding)
    worst = max(range(len(data.z)), key=lambda row: abs(data.z[row]))
    return Check(
        quantity, method, batch.value[0], reference, batch.difference[0], batch.stderr[0],
        batch.z[0], tests=1 + len(data.z), worst_datum=worst, worst_z=data.z[worst],
        per_datum=data,
    )  # fmt: skip


def _variance_of_mean(values: Tensor) -> Tensor:
    if len(values) == 1:
        return torch.zeros_like(values[0])
    return values.var(0) / len(values)


def numerical(
    quantity: str, method: str, reference: str, values: Tensor, expected: Tensor, tolerance: float
) -> Check:
    """Compare values that only rounding may tell apart; shapes broadcast."""
    gap = (values - expected).abs() / torch.maximum(values.abs(), expected.abs()).clamp(min=1.0)
    relative = gap.max().nan_to_num(nan=math.inf).item()
    return Check(
        quantity, method, values.mean().item(), reference, (values - expected).mean().item(),
        relative=relative, tolerance=tolerance,
    )  # fmt: skip


def compare(
    quantity: str, method: str, reference: str, values: Tensor, expected: Tensor, eps: float
) -> Check:
    """Compare two methods, by statistics if either samples, by rounding if neither does."""
    if len(values) == len(expected) == 1:
        check = numerical(quantity, method, reference, values, expected, eps)
        rounding = eps * max(1.0, expected.abs().max().item())
        check.per_datum = PerDatum.of(values, expected, rounding)
        return check
    return statistical(quantity, method, reference, values, expected, eps)
