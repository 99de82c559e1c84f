"""The result of an audit: its rows, its verdict, its table and its picture."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch

from pyro_vae.auditing.checks import Check
from pyro_vae.auditing.estimates import TermEstimates
from pyro_vae.report.estimate import ROUNDING
from pyro_vae.report.numbers import nats
from pyro_vae.report.shown import ShownAsTable
from pyro_vae.report.table import Cell, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Audit", "ELBOAudit"]

COLUMNS = ["quantity", "method", "value", "difference ± s.e.", "z", "worst z", "verdict"]
VALUES = ("log_likelihood", "kl", "elbo")


@dataclass(repr=False)
class Audit(ShownAsTable):
    """The audit of a Pyro program; displays itself in a terminal and in Jupyter.

    Args:
        checks: Its rows.
        particles: Draws for each method.
        false_alarm: Probability that a correct program fails, over all rows together.
        critical: The largest absolute z-score that passes.
        seed: Seed of every draw.
        dtype: Precision in which it was computed.
        draws: Values of the ELBO and of its terms, one for each particle, ``(P,)``, in nats.
    """

    checks: list[Check]
    particles: int
    false_alarm: float
    critical: float
    seed: int
    dtype: str
    draws: dict[str, torch.Tensor]
    title = "Audit"
    unit = "nats"
    omitted: ClassVar[tuple[str, ...]] = ("draws",)
    derived = ("passed", "verdict")

    @property
    def passed(self) -> bool:
        """Whether every row agrees."""
        return all(check.passed for check in self.checks)

    @property
    def failures(self) -> list[Check]:
        """The rows that do not agree."""
        return [check for check in self.checks if not check.passed]

    @property
    def verdict(self) -> str:
        """Whether the ELBO can be trusted, and why, in one sentence."""
        tests = sum(check.tests for check in self.checks)
        exact = sum(check.is_exact for check in self.checks)
        found = sum(check.problems is not None for check in self.checks)
        basis = (
            f"{len(self.checks)} rows: {tests} tests at |z| <= {self.critical:.2f}, false alarm "
            f"{self.false_alarm:g} for all together; {exact} equalities within rounding"
            + (f"; {found} statements about the program" if found else "")
        )
        if self.passed:
            return f"PASSED: every method gives the same ELBO ({basis})."
        names = "; ".join(
            dict.fromkeys(
                f"{c.quantity} by {c.method}"
                if c.problems is None
                else f"{c.quantity}: {c.method}"
                for c in self.failures
            )
        )
        advice = " ".join(dict.fromkeys(c.advice for c in self.failures if c.advice))
        return f"FAILED in {len(self.failures)} of {basis}. Disagreeing: {names}. {advice}".strip()

    def table(self, *, verdict: bool = True) -> Table:
        """Every row, in nats; statements about the program that hold are in the caption.

        Args:
            verdict: Whether the caption ends with the verdict.
        """
        holding = [c for c in self.checks if c.problems is not None and c.passed and not c.note]
        names = ", ".join(check.quantity for check in holding)
        caption = (
            f"Nats{self._of_what()}, {self.particles} particles each, {self.dtype}, "
            f"seed {self.seed}."
            + (f" What holds of the program: {names}." if names else "")
            + (f" {self.verdict}" if verdict else "")
        )
        table = Table(self.title, COLUMNS, caption=caption)
        shown: set[str] = set()
        for check in self.checks:
            if check in holding:
                continue
            if check.problems is not None:
                table.add(*_statement(check))
                continue
            if check.quantity not in shown:
                shown.add(check.quantity)
                table.add(*_reference(check))
            table.add(*_cells(check))
        return table

    def _of_what(self) -> str:
        return ""

    def _exact(self, term: str) -> torch.Tensor | None:
        """The exact mean of a term, where it is known."""
        return None

    def monte_carlo_error(self) -> dict[str, tuple[list[int], list[float], float]]:
        """Root mean square error of each sampled term against the number of particles.

        Returns:
            For each term: numbers of particles, errors in nats (per datum for a VAE), and the
            fitted slope on log-log axes, which is -1/2 for an unbiased estimate.
        """
        curves = {term: _error_curve(v, self._exact(term)) for term, v in self.draws.items()}
        return {term: curve for term, curve in curves.items() if curve is not None}

    def figure(self) -> Figure:
        """The rows, and the Monte Carlo error against the number of particles."""
        from pyro_vae.plots import plot_audit, plot_monte_carlo_error
        from pyro_vae.plots.style import panels

        errors = self.monte_carlo_error()
        count = 2 if errors else 1
        compared = sum(check.problems is None for check in self.checks)
        height = max(1.4 + 0.17 * compared, 3.6)
        picture, axes = panels(count, count, 7.0 * count, height)
        plot_audit(self, ax=axes[0])
        if errors:
            plot_monte_carlo_error(errors, unit=self.unit, ax=axes[1])
        return picture


@dataclass(repr=False)
class ELBOAudit(Audit):
    """The audit of a VAE's ELBO; displays itself in a terminal and in Jupyter.

    Args:
        checks: Its rows.
        particles: Draws for each datum and method.
        false_alarm: Probability that a correct model fails, over all rows and data together.
        critical: The largest absolute z-score that passes.
        seed: Seed of every draw.
        dtype: Precision in which it was computed.
        draws: Values of the ELBO and of its terms, the batch's means, ``(P,)``, in nats per datum.
        estimates: The terms by each method, ``closed``, ``hand``, ``trace`` and ``mean_field``,
            particle by particle and datum by datum, in nats; empty where the program itself is at
            fault, so that no term could be compared.
    """

    estimates: dict[str, TermEstimates]
    title = "ELBO audit"
    unit = "nats per datum"
    omitted = ("draws", "estimates")

    def per_datum(self, term: str = "elbo") -> dict[str, torch.Tensor]:
        """Each method's value of a term for each datum, ``(N,)``, in nats.

        Args:
            term: ``elbo``, ``kl`` or ``log_likelihood``.
        """
        return {
            estimate.method: estimate.terms[term].mean(0)
            for estimate in self.estimates.values()
            if term in estimate.terms
        }

    def _of_what(self) -> str:
        if not self.estimates:
            return ""
        return f" per datum over {self.estimates['trace'].terms['elbo'].shape[1]} data"

    def per_datum_table(self, term: str = "elbo") -> Table:
        """Each datum by each method: value, difference with its standard error, z and verdict.

        Args:
            term: ``elbo``, ``kl`` or ``log_likelihood``.
        """
        checks = [c for c in self.checks if c.quantity == term and c.per_datum]
        title = f"{term} of each datum, against: {checks[0].reference}"
        table = Table(title, ["datum", "method", "value", "difference ± s.e.", "z", "verdict"],
                      caption=f"Nats; critical |z| {self.critical:.2f}.")  # fmt: skip
        for row in range(len(self.estimates["trace"].terms["elbo"][0])):
            for check in (check.per_datum[row] for check in checks):
                value = nats(check.value, check.difference.stderr)
                table.add(f"#{row}", check.method, value, check.difference.signed,
                          f"{check.z:+.2f}", _verdict(abs(check.z) <= self.critical))  # fmt: skip
        return table

    def _exact(self, term: str) -> torch.Tensor | None:
        exact = self.estimates["closed"].terms.get(term)
        return None if exact is None else exact.mean()


def _statement(check: Check) -> list[str | Cell]:
    """The row of a statement about the program."""
    verdict = Cell("holds", "good") if check.passed else Cell("FAILS", "bad")
    if check.note:
        verdict = Cell(check.note, "muted")
    return [Cell(check.quantity, "strong"), check.method, "", "", "", "", verdict]


def _reference(check: Check) -> list[str | Cell]:
    """The row of the reference, above the methods that are compared with it."""
    value = (
        nats(check.value - check.difference.value) if not check.quantity.startswith("grad") else ""
    )
    note = f" ({check.note})" if check.quantity in VALUES and check.note else ""
    return [Cell(check.quantity, "strong"), f"{check.reference}{note}", value, "", "", "",
            Cell("reference", "muted")]  # fmt: skip


def _cells(check: Check) -> list[str | Cell]:
    stderr = check.difference.stderr
    value = nats(check.value, stderr if stderr > ROUNDING else None)
    difference = check.difference.signed
    if check.quantity.startswith("gradient"):
        difference, value = check.note.split("; ")
    z = f"rel {check.relative:.0e}" if check.is_exact else f"{check.z:+.2f}"
    worst = f"{check.worst_z:+.2f}" if check.tests > 1 else ""
    if check.worst_datum is not None and worst:
        worst += f" (#{check.worst_datum})"
    note = f" ({check.note})" if check.is_exact and check.note else ""
    return ["", check.method + note, value, difference, z, worst,
            _verdict(check.passed)]  # fmt: skip


def _verdict(agrees: bool) -> Cell:
    return Cell("agrees", "good") if agrees else Cell("DISAGREES", "bad")


def _error_curve(
    means: torch.Tensor, exact: torch.Tensor | None
) -> tuple[list[int], list[float], float] | None:
    """RMS error of averages over K particles, from disjoint blocks of the batch's means."""
    total = len(means)
    sizes = [2**k for k in range(total.bit_length()) if total // 2**k >= 16]
    target = means.mean() if exact is None else exact
    kept: list[int] = []
    errors: list[float] = []
    for size in sizes:
        blocks = means[: total // size * size].reshape(-1, size).mean(1)
        # relative to the mean of the same draws, a block's error is too small by this factor
        shrunk = math.sqrt(1 - size / total) if exact is None else 1.0
        error = (blocks - target).square().mean().sqrt().item() / shrunk
        if error > 0:
            kept.append(size)
            errors.append(error)
    if len(kept) < 2:
        return None
    x, y = torch.tensor(kept).double().log(), torch.tensor(errors).double().log()
    slope = ((x - x.mean()) * (y - y.mean())).sum() / (x - x.mean()).square().sum()
    return kept, errors, slope.item()
