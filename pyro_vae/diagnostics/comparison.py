"""Models side by side on the same data: paired differences, or a refusal that says why."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scipy import stats
from torch import Tensor

from pyro_vae.core.errors import IncompatibleScores
from pyro_vae.data.identity import Identity
from pyro_vae.diagnostics.scores import Scores
from pyro_vae.report.estimate import Estimate
from pyro_vae.report.numbers import nats
from pyro_vae.report.shown import ShownAsTable
from pyro_vae.report.table import Cell, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Comparison", "PairedDifference", "check_same_data", "compare"]

COLUMNS = ["quantity", "model", "mean ± standard error", "difference", "interval", "verdict"]


@dataclass(frozen=True)
class PairedDifference:
    """A model less the reference, over the same data, in nats per datum.

    Args:
        quantity: ``ELBO``, or ``-log p(x)`` with its estimator.
        model: Its name.
        value: Mean difference.
        stderr: Its standard error: of the differences, datum by datum.
        low: Lower end of the interval.
        high: Upper end of the interval.
        higher_is_better: Whether the quantity is to be high.
    """

    quantity: str
    model: str
    value: float
    stderr: float
    low: float
    high: float
    higher_is_better: bool

    @classmethod
    def of(
        cls, quantity: str, model: str, gaps: Tensor, confidence: float, higher_is_better: bool
    ) -> PairedDifference:
        """From one difference for each datum, ``(N,)``, by Student's t."""
        mean = Estimate.of(gaps).within(confidence)
        return cls(quantity, model, mean.value, mean.stderr, *mean.interval, higher_is_better)

    @property
    def verdict(self) -> str:
        """``better``, ``worse``, or ``not told apart``, where the interval holds 0."""
        if self.low <= 0 <= self.high:
            return "not told apart"
        return "better" if (self.value > 0) == self.higher_is_better else "worse"


@dataclass(frozen=True, repr=False)
class Comparison(ShownAsTable):
    """Models on the same data; shows itself in terminal and Jupyter.

    Args:
        scores: By the models' names; the first is the reference.
        differences: Of each other model, by quantity.
        confidence: Of each interval, by itself.
    """

    scores: dict[str, Scores]
    differences: list[PairedDifference]
    confidence: float

    @property
    def reference(self) -> str:
        """The model that the others are held against."""
        return next(iter(self.scores))

    def table(self) -> Table:
        """Each model's score, and its paired difference from the reference."""
        first = self.scores[self.reference]
        methods = {scores.terms.kl_method for scores in self.scores.values()}
        mixed = "; KL exact in some and sampled in others" if len(methods) > 1 else ""
        caption = (
            f"{first.data}. Difference: model less {self.reference}, paired over the data, with "
            f"its {self.confidence:.0%} interval (each by itself, Student's t). ELBO with "
            f"{first.particles} particle{'' if first.particles == 1 else 's'}, seed "
            f"{first.seed}{mixed}."
        )
        table = Table("Comparison, in nats per datum", COLUMNS, caption=caption)
        for quantity, values in _quantities(self.scores).items():
            for name, value in values.items():
                label = Cell(quantity if name == self.reference else "", "strong")
                table.add(label, name, str(Estimate.of(value)), *self._difference(quantity, name))
        return table

    def _difference(self, quantity: str, name: str) -> list[str | Cell]:
        found = [d for d in self.differences if (d.quantity, d.model) == (quantity, name)]
        if not found:
            return ["", "", Cell("reference", "muted")]
        style: dict[str, Any] = {"better": "good", "worse": "bad"}
        gap = found[0]
        sign = "+" if gap.value >= 0 else ""
        return [f"{sign}{nats(gap.value, gap.stderr)}", f"[{gap.low:+.3g}, {gap.high:+.3g}]",
                Cell(gap.verdict, style.get(gap.verdict, "muted"))]  # fmt: skip

    def figure(self) -> Figure:
        """The differences with their intervals."""
        from pyro_vae.plots import Difference, forest

        count = next(iter(self.scores.values())).count
        rows = [
            Difference(f"{d.model}: {d.quantity}", d.value, d.stderr) for d in self.differences
        ]
        return forest(
            rows, float(stats.t.ppf((1 + self.confidence) / 2, count - 1)),
            f"Difference from {self.reference}, {self.confidence:.0%} intervals", in_units=True,
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """Everything but the values for each datum, for JSON."""
        return {
            "reference": self.reference,
            "confidence": self.confidence,
            "unit": "nats per datum",
            "differences": [
                dataclasses.asdict(d) | {"verdict": d.verdict} for d in self.differences
            ],
            "scores": {name: scores.to_dict() for name, scores in self.scores.items()},
        }


def compare(scores: Mapping[str, Scores], *, confidence: float = 0.95) -> Comparison:
    """Hold models against the first one, on the same data and by the same estimators.

    The standard error of a difference is that of the differences datum by datum, which is mostly
    far smaller than that of either score: what the data have in common cancels.

    Args:
        scores: What :func:`~pyro_vae.evaluate` returned, by the models' names; at least two.
        confidence: Of each interval, between 0 and 1.

    Raises:
        IncompatibleScores: if the data, their binarization, the estimators or the kind of
            likelihood differ, saying which.

    Example:
        >>> import torch
        >>> from pyro_vae import VAE, as_dataset, evaluate
        >>> data = as_dataset(torch.randn(100, 3))
        >>> vae = VAE(event_shape=(3,), latent_dim=2)
        >>> models = {"normal": vae, "laplace": vae.swap(prior="laplace")}
        >>> found = compare({name: evaluate(model, data) for name, model in models.items()})
        >>> [(gap.quantity, gap.model) for gap in found.differences]
        [('ELBO', 'laplace')]
    """
    scores = dict(scores)
    if len(scores) < 2:
        raise IncompatibleScores(f"Expected at least two models to compare, got {len(scores)}")
    if not 0 < confidence < 1:
        raise IncompatibleScores(f"confidence: expected between 0 and 1, got {confidence}")
    check_same_data({name: score.identity for name, score in scores.items()})
    _check({name: _conditions(score) for name, score in scores.items()})
    if next(iter(scores.values())).count < 2:
        raise IncompatibleScores("Expected at least two data to compare models on, got 1")
    differences = []
    for quantity, values in _quantities(scores).items():
        reference, *others = values
        differences += [
            PairedDifference.of(quantity, name, values[name] - values[reference], confidence,
                                quantity == "ELBO")
            for name in others
        ]  # fmt: skip
    return Comparison(scores, differences, confidence)


def check_same_data(identities: Mapping[str, Identity]) -> None:
    """Refuse data sets that are not the same.

    Raises:
        IncompatibleScores: naming what differs, such as the binarization.
    """
    fields = [field.name for field in dataclasses.fields(Identity) if field.compare]
    _check({
        name: {f"data.{field}": getattr(identity, field) for field in fields}
        for name, identity in identities.items()
    })  # fmt: skip


def _conditions(scores: Scores) -> dict[str, Any]:
    """What has to be alike, by name, beside the data's identity."""
    estimates = {name: found.estimator for name, found in scores.estimates.items()}
    estimators = {name: text.rpartition(", seed")[0] for name, text in estimates.items()}
    return {
        "split": scores.split,
        "number of data": scores.count,
        "values scored (sha256)": scores.sha256,
        "likelihood": f"a {scores.measure} of the data",
        "particles of the ELBO": scores.particles,
        "estimators of -log p(x)": "; ".join(estimators.values()) or "none",
    }


def _check(conditions: Mapping[str, Mapping[str, Any]]) -> None:
    reference, *others = conditions
    lines = [
        f"{field}: {value} in {reference}, {conditions[name][field]} in {name}"
        for name in others
        for field, value in conditions[reference].items()
        if conditions[name][field] != value
    ]
    if lines:
        raise IncompatibleScores(
            "Expected scores on the same data by the same estimators, which these are not; "
            "score all models alike:\n" + "\n".join(f"  {line}" for line in lines)
        )


def _quantities(scores: Mapping[str, Scores]) -> dict[str, dict[str, Tensor]]:
    """One value for each datum, by quantity and model."""
    found = {"ELBO": {name: score.terms.elbo.double().cpu() for name, score in scores.items()}}
    for key, estimate in next(iter(scores.values())).estimates.items():
        label = f"-log p(x), {estimate.estimator.rpartition(', seed')[0]}"
        found[label] = {name: -score.estimates[key].log_evidence for name, score in scores.items()}
    return found
