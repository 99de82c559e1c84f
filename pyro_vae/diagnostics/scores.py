"""What an evaluation returns: every number with its estimator, and what it was measured on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyro_vae.data.identity import Identity
from pyro_vae.diagnostics.latent_units import LatentUnits
from pyro_vae.evidence.bidirectional import Sandwich
from pyro_vae.evidence.estimate import EvidenceEstimate
from pyro_vae.objectives.terms import Terms
from pyro_vae.report.estimate import Estimate
from pyro_vae.report.numbers import nats, number
from pyro_vae.report.shown import ShownAsTable
from pyro_vae.report.table import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Scores"]


@dataclass(frozen=True, repr=False)
class Scores(ShownAsTable):
    """What a model scores on one split of one data set; shows itself in Jupyter.

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
        identity: What the data are.
        sha256: First 12 hexadecimal digits of the digest of the values that were scored.
        measure: ``probability`` for a likelihood of discrete data, ``density`` for any other.
        terms: The ELBO and its terms for each datum.
        estimates: log p(x) for each datum, by the name of its estimator.
        sandwich: Annealing held between two bounds, on data drawn from the model.
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

    @property
    def estimator(self) -> str:
        """How the ELBO was found."""
        plural = "" if self.particles == 1 else "s"
        method = self.terms.kl_method
        return f"ELBO with {method} KL, {self.particles} particle{plural}, seed {self.seed}"

    @property
    def nll(self) -> Estimate | None:
        """Negative log-likelihood -log p(x), by importance sampling; None unless asked for."""
        return self._nll("importance_sampling")

    @property
    def ais(self) -> Estimate | None:
        """Negative log-likelihood -log p(x), by annealing; None unless asked for."""
        return self._nll("annealed_importance_sampling")

    def _nll(self, name: str) -> Estimate | None:
        found = self.estimates.get(name)
        return None if found is None else Estimate.of(-found.log_evidence, found.monte_carlo)

    @property
    def data(self) -> str:
        """What was scored, in words."""
        part = "" if self.count == self.available else f" of {self.available}, evenly spaced,"
        return f"{self.count}{part} {self.split} data of {self.identity}"

    def table(self) -> Table:
        """The scores, in nats per datum, with what they were measured on and how."""
        columns = ["", "mean ± standard error", "of it Monte Carlo", "estimator"]
        table = Table("Scores, in nats per datum", columns, caption=f"{self.data}.")
        table.add("ELBO", str(self.elbo), "", self.estimator)
        table.add("E_q[log p(x|z)]", str(self.log_likelihood), "", "the same draws")
        table.add("KL(q(z|x) || p(z))", str(self.kl), "", self.terms.kl_method)
        for name, estimate in self.estimates.items():
            score = self._nll(name)
            assert score is not None
            table.add("-log p(x)", str(score), number(score.monte_carlo, 2), estimate.estimator)
            table.add("  effective sample size", estimate.effective_note, "", "of its weights")
        if self.sandwich is not None:
            between = self.sandwich
            name = f"upper less lower bound, {len(between.x)} simulated data"
            table.add(name, nats(*between.gap), "", between.estimator)
        error = nats(self.reconstruction.value, self.reconstruction.stderr)
        table.add(
            "squared error (no nats)", error, "", "mean of p(x|z) at q's centre, a dimension"
        )
        table.add("active units", str(self.units), "", self.units.rule)
        return table

    def figure(self) -> Figure:
        """Activity and KL of each dimension of the code."""
        return self.units.figure()

    def to_dict(self) -> dict[str, Any]:
        """Everything but the values for each datum, for JSON."""
        named = {"elbo": self.elbo, "log_likelihood": self.log_likelihood, "kl": self.kl}
        return {
            **{name: score.to_dict() for name, score in named.items()},
            "unit": "nats per datum",
            "split": self.split,
            "count": self.count,
            "available": self.available,
            "estimator": self.estimator,
            "particles": self.particles,
            "kl_method": self.terms.kl_method,
            "seed": self.seed,
            "nll": {name: self._estimate(name) for name in self.estimates},
            "sandwich": None if self.sandwich is None else self.sandwich.to_dict(),
            "squared_error_per_dimension": self.reconstruction.to_dict(),
            "latent_units": self.units.to_dict(),
            "measure": self.measure,
            "scored_sha256": self.sha256,
            "data": self.identity.to_dict(),
        }

    def _estimate(self, name: str) -> dict[str, Any]:
        estimate, score = self.estimates[name], self._nll(name)
        assert score is not None
        return score.to_dict() | {
            "estimator": estimate.estimator,
            "samples": estimate.samples,
            "effective_sample_size": {
                "least": estimate.effective.min().item(),
                "median": estimate.effective.median().item(),
            },
        }
