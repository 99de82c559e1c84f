"""Models compared on the same data by paired differences; other comparisons are refused."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pyro_vae.core.errors import IncompatibleScores
from pyro_vae.data.identity import Identity
from pyro_vae.diagnostics.replicates import Replicates, over_seeds_and_data
from pyro_vae.diagnostics.scores import Scores
from pyro_vae.report.estimate import Estimate
from pyro_vae.report.shown import ShownAsTable
from pyro_vae.report.table import Cell, Style, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Comparison", "check_same_data", "compare"]

ELBO = "ELBO"
STYLES: dict[str, Style] = {"better": "good", "worse": "bad", "not told apart": "muted"}
COLUMNS = ["quantity", "model", "mean ± standard error", "difference", "interval", "verdict"]


@dataclass(frozen=True, repr=False)
class Comparison(ShownAsTable):
    """Models on the same data; a terminal and Jupyter show a table.

    Args:
        scores: By model, of one training or of several; the first is the reference.
        differences: Each other model less the reference, paired over the data, by quantity
            (``ELBO``, or ``-log p(x)`` with its estimator) and model.
        confidence: Of each interval, by itself.
    """

    scores: dict[str, Scores | Replicates]
    differences: dict[str, dict[str, Estimate]]
    confidence: float
    derived = ("reference", "verdicts")

    @property
    def reference(self) -> str:
        """The model that the others are compared with."""
        return next(iter(self.scores))

    @property
    def verdicts(self) -> dict[str, dict[str, str]]:
        """``better``, ``worse``, or ``not told apart`` where the interval holds 0."""
        return {
            quantity: {name: _verdict(gap, quantity == ELBO) for name, gap in gaps.items()}
            for quantity, gaps in self.differences.items()
        }

    @property
    def means(self) -> dict[str, dict[str, Estimate]]:
        """Each model's score, by quantity and model."""
        return {
            quantity: {
                name: over_seeds_and_data(value, self.confidence, quantity)
                for name, value in values.items()
            }
            for quantity, values in _quantities(self.scores).items()
        }

    def table(self) -> Table:
        """Each model's score, and its paired difference from the reference."""
        first = _one(self.scores[self.reference])
        methods = {_one(scores).terms.kl_method for scores in self.scores.values()}
        seeds = len(_trainings(self.scores[self.reference]))
        over = f" and the {seeds} seeds of training" if seeds > 1 else ""
        mixed = "; KL exact in some and sampled in others" if len(methods) > 1 else ""
        caption = (
            f"{first.data}. Difference: model less {self.reference}, paired over the data{over}, "
            f"with its {self.confidence:.0%} interval (each by itself, Student's t). ELBO with "
            f"{first.particles} particle{'' if first.particles == 1 else 's'}, seed "
            f"{first.seed}{mixed}."
        )
        table = Table("Comparison, in nats per datum", COLUMNS, caption=caption)
        for quantity, values in self.means.items():
            reference, *others = [(name, str(value)) for name, value in values.items()]
            table.add(Cell(quantity, "strong"), *reference, "", "", Cell("reference", "muted"))
            for name, score in others:
                gap = self.differences[quantity][name]
                verdict = self.verdicts[quantity][name]
                low, high = gap.interval
                sign = "+" if gap.value >= 0 else ""
                table.add("", name, score, f"{sign}{gap}", f"[{low:+.3g}, {high:+.3g}]",
                          Cell(verdict, STYLES[verdict]))  # fmt: skip
        return table

    def figure(self) -> Figure:
        """The differences with their intervals."""
        from pyro_vae.plots import plot_comparison
        from pyro_vae.plots.style import panels

        picture, (ax,) = panels()
        plot_comparison(self, ax=ax)
        return picture


def _verdict(gap: Estimate, higher_is_better: bool) -> str:
    low, high = gap.interval
    if low <= 0 <= high:
        return "not told apart"
    return "better" if (gap.value > 0) == higher_is_better else "worse"


def compare(scores: Mapping[str, Scores | Replicates], *, confidence: float = 0.95) -> Comparison:
    """Compare models with the first one, on the same data and by the same estimators.

    The standard error of a difference is that of the paired differences, usually far smaller than
    that of either score: what the data have in common cancels. Of models that were trained from
    several seeds, it holds what differs from seed to seed, too.

    Args:
        scores: From :func:`~pyro_vae.evaluate`, by model; at least two. For several seeds, their
            :class:`~pyro_vae.Replicates`.
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
        >>> {quantity: list(gaps) for quantity, gaps in found.differences.items()}
        {'ELBO': ['laplace']}
    """
    scores = dict(scores)
    if len(scores) < 2:
        raise IncompatibleScores(f"Expected at least two models to compare, got {len(scores)}")
    if not 0 < confidence < 1:
        raise IncompatibleScores(f"confidence: expected between 0 and 1, got {confidence}")
    check_same_data({n: s.identity for n, s in _flat(scores).items()})
    _check({
        name: {"seeds of training": seeds, **_conditions(score)}
        for model, many in scores.items()
        for seeds in [", ".join("one" if s is None else str(s) for s in _trainings(many))]
        for name, score in _flat({model: many}).items()
    })  # fmt: skip
    if _one(next(iter(scores.values()))).count < 2:
        raise IncompatibleScores("Expected at least two data to compare models on, got 1")
    differences = {
        quantity: {
            name: over_seeds_and_data(
                value - values[next(iter(scores))], confidence, f"paired, {quantity}"
            )
            for name, value in list(values.items())[1:]
        }
        for quantity, values in _quantities(scores).items()
    }
    return Comparison(scores, differences, confidence)


def check_same_data(identities: Mapping[str, Identity]) -> None:
    """Refuse data sets that differ.

    Raises:
        IncompatibleScores: naming what differs, such as the binarization.
    """
    fields = [field.name for field in dataclasses.fields(Identity) if field.compare]
    _check({
        name: {f"data.{field}": getattr(identity, field) for field in fields}
        for name, identity in identities.items()
    })  # fmt: skip


def _conditions(scores: Scores) -> dict[str, Any]:
    """What must match, by name, besides the data's identity."""
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
            "Expected scores on the same data by the same estimators; evaluate all models with "
            "the same settings:\n" + "\n".join(f"  {line}" for line in lines)
        )


def _trainings(scores: Scores | Replicates) -> Mapping[int, Scores] | Mapping[None, Scores]:
    """The scores of each training, by its seed where there are several."""
    return scores.scores if isinstance(scores, Replicates) else {None: scores}


def _one(scores: Scores | Replicates) -> Scores:
    return next(iter(_trainings(scores).values()))


def _flat(scores: Mapping[str, Scores | Replicates]) -> dict[str, Scores]:
    """The scores of every training, by model and seed."""
    return {
        name if seed is None else f"{name}, seed {seed}": each
        for name, many in scores.items()
        for seed, each in _trainings(many).items()
    }


def _quantities(scores: Mapping[str, Scores | Replicates]) -> dict[str, dict[str, Tensor]]:
    """One value for each seed and datum, ``(S, N)``, by quantity and model."""
    found = {ELBO: {name: _stacked(many, _elbo) for name, many in scores.items()}}
    for key, estimate in _one(next(iter(scores.values()))).estimates.items():
        label = f"-log p(x), {estimate.estimator.rpartition(', seed')[0]}"
        losses = partial(_log_loss, key)
        found[label] = {name: _stacked(many, losses) for name, many in scores.items()}
    return found


def _elbo(scores: Scores) -> Tensor:
    return scores.terms.elbo


def _log_loss(key: str, scores: Scores) -> Tensor:
    return -scores.estimates[key].log_evidence


def _stacked(many: Scores | Replicates, value: Callable[[Scores], Tensor]) -> Tensor:
    return torch.stack([value(one).double().cpu() for one in _trainings(many).values()])
