"""Comparisons of two methods: by statistics where one of them samples, by rounding elsewhere."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from scipy import stats
from torch import Tensor

from pyro_vae.report.estimate import Estimate

__all__ = [
    "Check",
    "compare",
    "critical_z",
    "finding",
    "not_compared",
    "numerical",
    "paired",
    "statistical",
]


@dataclass
class Check:
    """One quantity by one method, compared with a reference.

    Args:
        quantity: What is compared: ``kl``, ``log_likelihood``, ``elbo``, ``gradient: encoder``...
        method: The method that is checked.
        value: Its value for the batch, in nats per datum.
        reference: The method that it is compared with.
        difference: Value minus reference, in nats per datum; its error is 0 where both are exact.
        z: Difference in standard errors, as a normal score; 0 if it is within rounding.
        tests: How many statistical tests this row makes, the batch's own included.
        worst_datum: Position in the batch of the datum with the largest |z|, if data are compared.
        worst_z: The z-score of largest size among the row's tests.
        relative: Largest relative difference, for a comparison without sampling.
        tolerance: The largest ``relative`` that passes.
        note: A remark for the table.
        per_datum: The check of each datum, where data are compared.
        problems: What was found, for a statement about the program; None for a comparison.
        advice: What to do if the row fails.
        passed: The verdict, set by :meth:`judge`.
    """

    quantity: str
    method: str
    value: float
    reference: str
    difference: Estimate
    z: float = 0.0
    tests: int = 0
    worst_datum: int | None = None
    worst_z: float = 0.0
    relative: float | None = None
    tolerance: float = 0.0
    note: str = ""
    per_datum: list[Check] = field(default_factory=list)
    problems: list[str] | None = None
    advice: str = ""
    passed: bool = True

    @property
    def is_exact(self) -> bool:
        """Whether neither side samples, so that they may differ by rounding alone."""
        return self.relative is not None

    def judge(self, critical: float) -> None:
        """Set the verdict; ``critical`` is the largest |z| that passes."""
        if self.problems is not None:
            self.passed = not self.problems
        elif self.relative is not None:
            self.passed = self.relative <= self.tolerance
        else:
            self.passed = max(abs(self.z), abs(self.worst_z)) <= critical


def finding(quantity: str, claim: str, problems: Sequence[str], advice: str = "") -> Check:
    """A statement about the program: it fails with its problems, and passes without any."""
    text = "; ".join(problems) or claim
    return Check(quantity, text, math.nan, claim, Estimate(math.nan), problems=list(problems),
                 advice=advice)  # fmt: skip


def not_compared(quantity: str, reason: str) -> Check:
    """A row that says why there is no comparison; it passes."""
    return replace(finding(quantity, reason, []), note="not compared")


def critical_z(false_alarm: float, tests: int) -> float:
    """The |z| that ``tests`` correct comparisons exceed, in any of them, with this probability.

    It is Bonferroni's bound, so the rate holds for all rows and data together.

    Example:
        >>> round(critical_z(1e-5, 1), 2)
        4.42
    """
    return float(stats.norm.isf(false_alarm / (2 * max(tests, 1))))


def z_score(difference: Tensor, stderr: Tensor, dof: float, rounding: float) -> Tensor:
    """Student's t of each difference, as the normal score of equal probability.

    A difference within ``rounding`` scores 0. One beyond it without sampling error, or one that
    is not finite, scores beyond any critical value.
    """
    t = (difference / stderr).nan_to_num(nan=math.inf, posinf=math.inf, neginf=-math.inf).cpu()
    p = torch.as_tensor(stats.t.logsf(t.abs().numpy(), dof)).exp()
    z = torch.as_tensor(stats.norm.isf(p.clamp(min=1e-300).numpy())) * t.sign()
    return torch.where(difference.abs().cpu() <= rounding, torch.zeros_like(z), z)


def compare(
    quantity: str, method: str, reference: str, values: Tensor, expected: Tensor, eps: float
) -> Check:
    """Compare two methods, by statistics if either samples, by rounding if neither does."""
    if max(len(values), len(expected)) > 1:
        return statistical(quantity, method, reference, values, expected, eps)
    check = numerical(quantity, method, reference, values, expected, eps)
    rounding = _rounding(expected, eps)
    check.per_datum = _each(quantity, method, reference, values, expected, rounding)
    return check


def statistical(
    quantity: str, method: str, reference: str, values: Tensor, expected: Tensor, eps: float
) -> Check:
    """Compare the means of particles, datum by datum and over the batch.

    Args:
        quantity: What is compared.
        method: The method that gave ``values``.
        reference: The method that gave ``expected``.
        values: ``(P, N)``, in nats; ``(1, N)`` where exact.
        expected: ``(P, N)`` or ``(1, N)`` likewise, from independent draws.
        eps: Relative rounding error below which two values are equal.
    """
    rounding = _rounding(expected, eps)
    each = _each(quantity, method, reference, values, expected, rounding)
    mean, expected_mean = values.mean(1, keepdim=True), expected.mean(1, keepdim=True)
    (batch,) = _each(quantity, method, reference, mean, expected_mean, rounding)
    worst = max(range(len(each)), key=lambda row: abs(each[row].z))
    return replace(batch, tests=1 + len(each), worst_datum=worst, worst_z=each[worst].z,
                   per_datum=each)  # fmt: skip


def _each(
    quantity: str, method: str, reference: str, values: Tensor, expected: Tensor, rounding: float
) -> list[Check]:
    """A check for each column of ``(P, N)`` or exact ``(1, N)`` values."""
    difference = values.mean(0) - expected.mean(0)
    stderr = (_variance_of_mean(values) + _variance_of_mean(expected)).sqrt()
    draws = max(len(values), len(expected), 2)
    z = z_score(difference, stderr, draws - 1, rounding)
    columns = (column.tolist() for column in (values.mean(0), difference, stderr, z))
    return [
        Check(quantity, method, value, reference, Estimate(gap, error, draws=draws), score, 1)
        for value, gap, error, score in zip(*columns, strict=True)
    ]


def paired(
    quantity: str, method: str, reference: str, values: Tensor, expected: Tensor, eps: float
) -> Check:
    """Compare two methods that drew from the same seeds, so that their common noise cancels.

    Args:
        quantity: What is compared.
        method: The method that gave ``values``.
        reference: The method that gave ``expected``.
        values: ``(R, D)``: R draws of D numbers, of which the first is the row's own.
        expected: ``(R, D)`` likewise.
        eps: Relative rounding error below which two values are equal.
    """
    gaps = values - expected
    mean, stderr = gaps.mean(0), (gaps.var(0) / len(gaps)).sqrt()
    z = z_score(mean, stderr, len(gaps) - 1, _rounding(expected, eps))
    return Check(
        quantity, method, values[:, 0].mean().item(), reference,
        Estimate(mean[0].item(), stderr[0].item(), draws=len(gaps)), z[0].item(), tests=len(z),
        worst_z=z[z.abs().argmax()].item(),
    )  # fmt: skip


def numerical(
    quantity: str, method: str, reference: str, values: Tensor, expected: Tensor, tolerance: float
) -> Check:
    """Compare values that may differ by rounding alone; shapes broadcast."""
    gap = (values - expected).abs() / torch.maximum(values.abs(), expected.abs()).clamp(min=1.0)
    relative = gap.max().nan_to_num(nan=math.inf).item()
    return Check(
        quantity, method, values.mean().item(), reference,
        Estimate((values - expected).mean().item(), 0.0), relative=relative, tolerance=tolerance,
    )  # fmt: skip


def _rounding(expected: Tensor, eps: float) -> float:
    return eps * max(1.0, expected.abs().max().item())


def _variance_of_mean(values: Tensor) -> Tensor:
    return values.var(0) / len(values) if len(values) > 1 else torch.zeros_like(values[0])
