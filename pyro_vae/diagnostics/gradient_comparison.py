"""The result of comparing gradient estimators: rows, a table and a figure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

from pyro_vae.core.errors import DataError
from pyro_vae.core.messages import listed
from pyro_vae.report.estimate import Estimate
from pyro_vae.report.numbers import MISSING, number
from pyro_vae.report.shown import ShownAsTable
from pyro_vae.report.table import Cell, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["GradientComparison", "GradientRow"]

COLUMNS = ["bound", "estimator", "KL", "bias / length", "worst z", "noise / length",
           "ms a gradient", "variance x time"]  # fmt: skip


@dataclass(frozen=True)
class GradientRow:
    """One estimator of the gradient with respect to one group of parameters.

    Args:
        bound: What is maximized: ``ELBO``, or ``IWAE, K = 5``.
        estimator: Its name, as an objective declares it.
        kl: ``sampled`` or ``exact``; empty where the bound has no KL of its own.
        group: ``all``, or a component: ``encoder``, ``decoder``, ...
        signal: Length of the reference gradient, in nats per datum and unit of the parameters.
        bias: Mean of the draws less the reference, along the reference, in the same unit.
        worst_z: Largest z-score of that difference, along the reference and random directions.
        tests: Number of those directions.
        variance: Trace of the gradient's covariance, in the same unit squared.
        seconds: Time of a loss and its gradient, the median.
    """

    bound: str
    estimator: str
    kl: str
    group: str
    signal: float
    bias: Estimate
    worst_z: float
    tests: int
    variance: Estimate
    seconds: Estimate

    @property
    def name(self) -> str:
        """Such as ``ELBO: pathwise, exact KL``."""
        return f"{self.bound}: {self.estimator}" + (f", {self.kl} KL" if self.kl else "")

    @property
    def relative_bias(self) -> Estimate:
        """The bias in lengths of the reference gradient; NaN where that has none."""
        return self.bias.times(1 / self.signal if self.signal else math.nan)

    @property
    def noise(self) -> Estimate:
        """The standard deviation in lengths of the reference gradient; NaN where it has none."""
        return self.variance.root().times(1 / self.signal if self.signal else math.nan)


@dataclass(repr=False)
class GradientComparison(ShownAsTable):
    """Estimators of a gradient, compared; a terminal and Jupyter show a table.

    Args:
        rows: One for each estimator and group of parameters.
        references: The reference gradient of each bound.
        particles: Draws from the guide for each datum, for every estimator.
        draws: Gradients drawn of each estimator.
        count: Number of data.
        confidence: Of each interval.
        critical: The absolute z-score above which an estimator is called biased.
        seed: Seed of every draw.
        device: The device.
        dtype: The precision.
    """

    rows: list[GradientRow]
    references: dict[str, str]
    particles: int
    draws: int
    count: int
    confidence: float
    critical: float
    seed: int
    device: str
    dtype: str

    @property
    def groups(self) -> list[str]:
        """The groups of parameters; ``all`` is all of them together."""
        return list(dict.fromkeys(row.group for row in self.rows))

    @property
    def _against(self) -> str:
        return "; ".join(f"{bound}: {name}" for bound, name in self.references.items())

    @property
    def biased(self) -> list[GradientRow]:
        """The rows in which a bias shows beyond chance."""
        return [row for row in self.rows if not abs(row.worst_z) <= self.critical]

    def of(self, group: str = "all") -> list[GradientRow]:
        """The rows of one group of parameters.

        Raises:
            DataError: if there is no such group.
        """
        if group not in self.groups:
            raise DataError(f"group: must be {listed(self.groups)}, got {group!r}")
        return [row for row in self.rows if row.group == group]

    def table(self, group: str = "all") -> Table:
        """Bias, noise and cost of each estimator, for one group of parameters."""
        caption = (
            f"{group} parameters; {self.count} data, {self.particles} particles each, "
            f"{self.draws} gradients of each from the same seeds, {self.dtype} on {self.device}, "
            f"seed {self.seed}; {self.confidence:.0%} intervals in brackets. "
            f"Reference: {self._against}. Bias and noise are relative to its length; |z| > "
            f"{self.critical:.2f} is a bias. Variance x time is relative to the first estimator "
            f"of each bound: less is better."
        )
        table = Table("Gradient estimators", COLUMNS, caption=caption)
        first: dict[str, float] = {}
        for row in self.of(group):
            work = row.variance.value * row.seconds.value
            base = first.setdefault(row.bound, work)
            bad = not abs(row.worst_z) <= self.critical
            table.add(
                row.bound,
                Cell(row.estimator, "strong"),
                row.kl or MISSING,
                _percent(row.relative_bias),
                Cell(f"{row.worst_z:+.2f}", "bad" if bad else "good"),
                _bracketed(row.noise),
                _bracketed(row.seconds.times(1e3)),
                number(work / base if base else None, 3),
            )
        return table

    def figure(self, group: str = "all") -> Figure:
        """Bias, noise and cost, each with its intervals."""
        from pyro_vae.plots.intervals import Quantity, plot_gradients
        from pyro_vae.plots.style import GREY, panels

        height = 1.6 + 0.28 * len(self.of(group))
        picture, axes = panels(3, 3, 12, height, sharey=True)
        title = f"Gradient, {group} parameters, {self.particles} particles each"
        for ax, quantity in zip(axes, get_args(Quantity), strict=True):
            plot_gradients(self, quantity, group=group, title=title, ax=ax)
            title = ""
        said = f"{self.confidence:.0%} intervals; {self.draws} gradients of each; reference: "
        picture.supxlabel(said + self._against, fontsize=7.5, color=GREY)
        return picture


def _bracketed(estimate: Estimate) -> str:
    if math.isnan(estimate.value):
        return MISSING
    if estimate.value == 0:
        return "0"
    low, high = estimate.interval
    return f"{number(estimate.value, 3)} [{number(low, 3)}, {number(high, 3)}]"


def _percent(estimate: Estimate) -> str:
    if math.isnan(estimate.value):
        return MISSING
    half = 100 * (estimate.interval[1] - estimate.value)
    return f"{100 * estimate.value:+.2f} ± {half:.2f} %"
