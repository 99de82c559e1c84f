"""The scores of a model: every number with its estimator and the data's identity."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pyro_vae.data.identity import Identity
from pyro_vae.diagnostics.latent_units import LatentUnits
from pyro_vae.evidence.bidirectional import Sandwich
from pyro_vae.evidence.estimate import EvidenceEstimate
from pyro_vae.objectives.terms import Terms
from pyro_vae.report.estimate import Estimate, estimate_table
from pyro_vae.report.shown import ShownAsTable
from pyro_vae.report.table import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Scores"]


@dataclass(frozen=True, repr=False)
class Scores(ShownAsTable):
    """A model's scores on one split of one data set; Jupyter shows a table.

    Args:
        elbo: Evidence lower bound.
        log_likelihood: E_q[log p(x|z)].
        kl: KL(q(z|x) || p(z)).
        reconstruction: Squared error of the reconstruction, a mean over the event's dimensions.
        units: Active units, and the KL of each dimension.
        split: ``train``, ``validation`` or ``test``.
        count: Number of data that were scored.
        available: Number of data in the split.
        particles: Draws from q(z|x) for each datum, in the ELBO.
        seed: Seed of the draws.
        identity: The identity of the data.
        sha256: First 12 hexadecimal digits of the digest of the values scored.
        measure: ``probability`` for a likelihood of discrete data, ``density`` for any other;
            with a missing model, of which values are missing too.
        terms: The ELBO and its terms for each datum.
        estimates: log p(x) for each datum, by estimator.
        sandwich: Bounds on the error of annealing, on data simulated from the model.
        columns: E_q[log p(x_d|z)] of each column d of a table, by its name; they add up to
            ``log_likelihood``.
        bits_per_spike: Over independent Poisson counts; None unless requested.
        perplexity: Per word, of documents with a multinomial likelihood: the ``bound`` of the
            ELBO, ``corpus`` with equal weights for words, and ``completion``, of half a
            document's words given the other half.
        accuracy: Of the classes that q(y|x) finds most probable; None unless they are summed out.
    """

    elbo: Estimate
    log_likelihood: Estimate
    kl: Estimate
    reconstruction: Estimate
    units: LatentUnits
    split: str
    count: int
    available: int
    particles: int
    seed: int
    identity: Identity
    sha256: str
    measure: str
    terms: Terms
    estimates: dict[str, EvidenceEstimate]
    sandwich: Sandwich | None = None
    columns: dict[str, Estimate] = field(default_factory=dict)
    bits_per_spike: Estimate | None = None
    perplexity: dict[str, Estimate] = field(default_factory=dict)
    accuracy: Estimate | None = None
    omitted = ("terms", "estimates")
    derived = ("estimator", "nll", "ais", "effective_sample_sizes")

    @property
    def estimator(self) -> str:
        """How the ELBO was estimated."""
        plural = "" if self.particles == 1 else "s"
        method = self.terms.kl_method
        return f"ELBO with {method} KL, {self.particles} particle{plural}, seed {self.seed}"

    @property
    def nll(self) -> Estimate | None:
        """Negative log-likelihood -log p(x), by importance sampling; None unless requested."""
        return self._log_losses.get("importance_sampling")

    @property
    def ais(self) -> Estimate | None:
        """Negative log-likelihood -log p(x), by annealing; None unless requested."""
        return self._log_losses.get("annealed_importance_sampling")

    @property
    def _log_losses(self) -> dict[str, Estimate]:
        """-log p(x), a mean over the data, by each requested estimator."""
        return {
            name: Estimate.of(-found.log_evidence, found.monte_carlo, estimator=found.estimator)
            for name, found in self.estimates.items()
        }

    @property
    def effective_sample_sizes(self) -> dict[str, dict[str, float]]:
        """The least and the median over the data, by estimator of log p(x)."""
        return {
            name: {"samples": found.samples, "least": found.effective.min().item(),
                   "median": found.effective.median().item()}
            for name, found in self.estimates.items()
        }  # fmt: skip

    @property
    def data(self) -> str:
        """The data scored, in words."""
        part = "" if self.count == self.available else f" of {self.available}, evenly spaced,"
        return f"{self.count}{part} {self.split} data of {self.identity}"

    def table(self) -> Table:
        """The scores, in nats per datum, with their data and estimators."""
        rows: dict[str, Estimate | tuple[str, str] | None] = {
            "ELBO": self.elbo,
            "E_q[log p(x|z)]": self.log_likelihood,
            **{f"  of it, {name}": found for name, found in self.columns.items()},
            "KL(q(z|x) || p(z))": self.kl,
        }
        for name, score in self._log_losses.items():
            method = score.estimator.partition(",")[0]
            note = self.estimates[name].effective_note
            rows[f"-log p(x), {method}"] = score
            rows[f"effective sample size, {method}"] = (note, "of its weights")
        if self.sandwich is not None:
            name = f"upper less lower bound, {self.sandwich.count} simulated data"
            rows[name] = self.sandwich.gap
        if self.bits_per_spike is not None:
            rows["bits per spike (no nats)"] = self.bits_per_spike
        rows |= {f"perplexity per word, {name}": it for name, it in self.perplexity.items()}
        if self.accuracy is not None:
            rows["accuracy (no nats)"] = self.accuracy
        rows["squared error (no nats)"] = self.reconstruction
        rows["active units"] = (str(self.units), self.units.rule)
        return estimate_table("Scores, in nats per datum", rows, f"{self.data}.")

    def figure(self) -> Figure:
        """Activity and KL of each dimension of the code."""
        return self.units.figure()
