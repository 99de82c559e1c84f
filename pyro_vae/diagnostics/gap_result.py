"""What the inference gaps are, and how they show themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pyro_vae.report.estimate import Estimate
from pyro_vae.report.numbers import nats, number
from pyro_vae.report.shown import ShownAsTable
from pyro_vae.report.table import Cell, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["InferenceGaps"]


@dataclass(frozen=True, repr=False)
class InferenceGaps(ShownAsTable):
    """Where log p(x) - ELBO is lost, for each datum in nats; shows itself in Jupyter.

    Args:
        log_evidence: log p(x), ``(N,)``.
        evidence_stderr: Its error, ``(N,)``; 0 where it is exact.
        elbo: ELBO of q(z|x), ``(N,)``.
        best_elbo: ELBO of the best member of its family that was found, ``(N,)``.
        elbo_stderr: Error of the first, ``(N,)``.
        best_stderr: Error of the second, ``(N,)``.
        amortization_stderr: Error of their difference, whose draws are paired, ``(N,)``.
        parameters: What the posterior takes for the best member, ``(N, *parameter_shape)``.
        curve: Mean ELBO over the refinement's steps, in nats per datum.
        evidence_method: How log p(x) was found.
        elbo_method: How both ELBOs were found.
        refinement: How the best member was found.
        seed: Seed of every draw.
    """

    log_evidence: Tensor
    evidence_stderr: Tensor
    elbo: Tensor
    best_elbo: Tensor
    elbo_stderr: Tensor
    best_stderr: Tensor
    amortization_stderr: Tensor
    parameters: Tensor
    curve: list[float]
    evidence_method: str
    elbo_method: str
    refinement: str
    seed: int

    @property
    def total(self) -> Tensor:
        """log p(x) - ELBO(q) = KL(q || p(z|x)), ``(N,)``."""  # noqa: D403
        return self.log_evidence - self.elbo

    @property
    def approximation(self) -> Tensor:
        """What the family loses: log p(x) - ELBO(q*), ``(N,)``."""
        return self.log_evidence - self.best_elbo

    @property
    def amortization(self) -> Tensor:
        """What the encoder loses: ELBO(q*) - ELBO(q), ``(N,)``."""
        return self.best_elbo - self.elbo

    @property
    def last_rise(self) -> tuple[float, float]:
        """By how much the last quarter of the refinement beat the one before, and its error.

        A rise that is not small beside the gaps says that more steps would move them.
        """
        steps = torch.tensor(self.curve, dtype=torch.float64)
        size = max(len(steps) // 4, 1)
        last, before = steps[-size:], steps[-2 * size : -size]
        spread = torch.cat([last - last.mean(), before - before.mean()]).square().sum()
        stderr = (spread / max(2 * size - 2, 1) * 2 / size).sqrt()
        return (last.mean() - before.mean()).item(), stderr.item()

    @property
    def _rows(self) -> list[tuple[str, Tensor, Tensor, str]]:
        """What is shown: name, values, errors, and how it was found."""
        one, other = self.evidence_stderr.square(), self.best_stderr.square()
        total = (one + self.elbo_stderr.square()).sqrt()
        return [
            ("log p(x)", self.log_evidence, self.evidence_stderr, self.evidence_method),
            ("approximation gap", self.approximation, (one + other).sqrt(), "log p(x) - ELBO(q*)"),
            ("ELBO(q*), best of the family", self.best_elbo, self.best_stderr,
             f"{self.elbo_method}; q* by {self.refinement}"),
            ("amortization gap", self.amortization, self.amortization_stderr,
             "ELBO(q*) - ELBO(q)"),
            ("ELBO(q), the encoder's", self.elbo, self.elbo_stderr, self.elbo_method),
            ("both gaps", self.total, total, "log p(x) - ELBO(q) = KL(q || p(z|x))"),
        ]  # fmt: skip

    def table(self) -> Table:
        """From log p(x) down to the ELBO, in nats per datum."""
        worse = int((self.amortization < 0).sum())
        rise, error = self.last_rise
        caption = (
            f"{len(self.elbo)} data, float64, seed {self.seed}. In its last quarter the "
            f"refinement raised the mean ELBO by {nats(rise, error)}."
        )
        if worse:
            caption += f" For {worse} of them the refinement found no better member."
        columns = ["", "mean ± standard error", "of it Monte Carlo", "how"]
        table = Table("Inference gaps, in nats per datum", columns, caption=caption)
        for name, values, errors, how in self._rows:
            score = Estimate.of(values)
            error = _error_of_mean(errors)
            style: Any = "strong" if "gap" in name else "plain"
            table.add(Cell(name, style), str(score), number(error, 2) if error else "", how)
        return table

    def per_datum_table(self) -> Table:
        """Every datum: log p(x), the two gaps, the ELBO, each with its error."""
        columns = ["datum", "log p(x)", "approximation", "amortization", "ELBO"]
        table = Table("Inference gaps of each datum, in nats", columns)
        rows = [self._rows[index] for index in (0, 1, 3, 4)]
        for n in range(len(self.elbo)):
            cells = [nats(values[n].item(), errors[n].item()) for _, values, errors, _ in rows]
            table.add(f"#{n}", *cells)
        return table

    def figure(self) -> Figure:
        """The two gaps of each datum, and the refinement."""
        from pyro_vae.plots import gap_bars

        return gap_bars(self.approximation.numpy(), self.amortization.numpy(), self.curve)

    def to_dict(self) -> dict[str, Any]:
        """Means, errors and estimators, for JSON."""
        return {
            "unit": "nats per datum",
            "count": len(self.elbo),
            "seed": self.seed,
            **{
                name: Estimate.of(values, _error_of_mean(errors)).to_dict() | {"estimator": how}
                for name, values, errors, how in self._rows
            },
        }


def _error_of_mean(errors: Tensor) -> float:
    return errors.square().sum().sqrt().item() / len(errors)
