"""An estimate: a number with its error, and how it was found."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from scipy import stats
from torch import Tensor

from pyro_vae.report.numbers import MISSING, nats, number
from pyro_vae.report.shown import as_json
from pyro_vae.report.table import Cell, Justify, Table

__all__ = ["Estimate", "estimate_table"]

ROUNDING = 1e-9


@dataclass(frozen=True)
class Estimate:
    """A number with its error.

    Args:
        value: The estimate.
        stderr: Its standard error, over data and draws; NaN where it is not known.
        unit: Of the value and its errors.
        estimator: How it was found.
        draws: How many values it is the mean of.
        monte_carlo: The part of the standard error that more draws would remove, if it is known.
        low: Lower end of a confidence interval, if it has one.
        high: Upper end of that interval.
    """

    value: float
    stderr: float = math.nan
    unit: str = "nats per datum"
    estimator: str = ""
    draws: int = 1
    monte_carlo: float | None = None
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(
        cls,
        values: Tensor,
        monte_carlo: float | None = None,
        *,
        unit: str = "nats per datum",
        estimator: str = "",
    ) -> Estimate:
        """The mean of independent values, ``(N,)``.

        Example:
            >>> import torch
            >>> print(Estimate.of(torch.tensor([1.0, 2.0, 3.0])))
            2.00 ± 0.58
        """
        values = values.detach().double()
        stderr = values.std().item() / math.sqrt(len(values)) if len(values) > 1 else math.nan
        return cls(values.mean().item(), stderr, unit, estimator, len(values), monte_carlo)

    def within(self, confidence: float) -> Estimate:
        """The same mean with its interval, by Student's t."""
        half = float(stats.t.ppf((1 + confidence) / 2, self.draws - 1)) * self.stderr
        return replace(self, low=self.value - half, high=self.value + half)

    @property
    def interval(self) -> tuple[float, float]:
        """The ends of the confidence interval; NaN where it has none."""
        return (math.nan if self.low is None else self.low,
                math.nan if self.high is None else self.high)  # fmt: skip

    def times(self, factor: float) -> Estimate:
        """The estimate in another unit, each number multiplied by a positive factor."""
        low, high = (None if end is None else end * factor for end in (self.low, self.high))
        part = None if self.monte_carlo is None else self.monte_carlo * factor
        return replace(self, value=self.value * factor, stderr=self.stderr * factor,
                       monte_carlo=part, low=low, high=high)  # fmt: skip

    def root(self) -> Estimate:
        """The square root of the value and of its interval; 0 where that is negative."""
        low, high = (None if e is None else math.sqrt(max(e, 0.0)) for e in (self.low, self.high))
        return Estimate(math.sqrt(max(self.value, 0.0)), unit=self.unit, estimator=self.estimator,
                        draws=self.draws, low=low, high=high)  # fmt: skip

    @property
    def z(self) -> float:
        """The value in standard errors; NaN where either is not finite or the error is 0.

        Example:
            >>> Estimate(0.03, 0.02).z, Estimate(0.0, 0.0).z
            (1.5, nan)
        """
        sound = math.isfinite(self.value) and math.isfinite(self.stderr) and self.stderr > 0
        return self.value / self.stderr if sound else math.nan

    @property
    def signed(self) -> str:
        """A difference in text, with its sign; without the error where that is rounding."""
        if self.stderr < ROUNDING:
            return f"{self.value:+.1e}"
        return f"{'+' if self.value >= 0 else ''}{self}"

    def to_dict(self) -> dict[str, Any]:
        """Everything known, for JSON: NaN and infinity are None."""
        required = ("value", "stderr", "unit", "estimator", "draws")
        known = {name: value for name, value in vars(self).items()
                 if name in required or value is not None}  # fmt: skip
        written: dict[str, Any] = as_json(known)
        return written

    def __str__(self) -> str:
        return nats(self.value, self.stderr)


def estimate_table(
    title: str,
    estimates: Mapping[str, Estimate | tuple[str, str] | None],
    caption: str = "",
    strong: str = "",
) -> Table:
    """A row for each estimate: value and error, the Monte Carlo part of it, and its estimator.

    A column that has nothing to say is left out.

    Args:
        title: Above the table.
        estimates: By name; a text with its estimator is shown as it is, None is a dash.
        caption: Below the table.
        strong: A word that marks the rows to show in bold.

    Example:
        >>> print(estimate_table("Scores", {"ELBO": Estimate(-93.4, 0.1, estimator="1 particle")}))
        Scores
              mean ± standard error  estimator
        ---------------------------------------
        ELBO          -93.40 ± 0.10  1 particle
    """
    rows: list[list[Cell | str]] = []
    for name, found in estimates.items():
        label = Cell(name, "strong" if strong and strong in name else "plain")
        if isinstance(found, Estimate):
            part = number(found.monte_carlo, 2) if found.monte_carlo else ""
            rows.append([label, str(found), part, found.estimator])
        else:
            text, estimator = found or (MISSING, "")
            rows.append([label, text, "", estimator])
    columns = ["", "mean ± standard error", "of it Monte Carlo", "estimator"]
    kept = [0, 1, *(i for i in (2, 3) if any(row[i] for row in rows))]
    justify: list[Justify] = ["left", "right", "right", "left"]
    table = Table(title, [columns[i] for i in kept], caption, [justify[i] for i in kept])
    for row in rows:
        table.add(*(row[i] for i in kept))
    return table
