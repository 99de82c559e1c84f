"""The inference gap, split: what the guide's family loses, and what the encoder loses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from pyro_vae.core.errors import IncompatibleComponents, at_least
from pyro_vae.core.modes import alone, device_of, isolated_copy, seeded
from pyro_vae.diagnostics.refine import Refined, exact_elbo, refine, sampled_elbo
from pyro_vae.evidence.annealed import Annealing, annealed_importance_sampling
from pyro_vae.evidence.estimate import error_of_mean
from pyro_vae.evidence.exact import linear_gaussian
from pyro_vae.evidence.importance import importance_sampling
from pyro_vae.evidence.quadrature import MOST_DIMENSIONS, quadrature
from pyro_vae.report.estimate import Estimate, estimate_table
from pyro_vae.report.numbers import nats
from pyro_vae.report.shown import ShownAsTable, as_json
from pyro_vae.report.table import Table
from pyro_vae.vae import VAE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Evidence", "InferenceGaps", "inference_gaps"]

Evidence = Literal["auto", "exact", "quadrature", "ais", "importance"]
CHUNK = 100


@dataclass(frozen=True, repr=False)
class InferenceGaps(ShownAsTable):
    """The gap log p(x) - ELBO of each datum and its two parts, in nats; Jupyter shows a table.

    Args:
        log_evidence: log p(x), ``(N,)``.
        evidence_stderr: Its error, ``(N,)``; 0 where it is exact.
        elbo: ELBO of q(z|x), ``(N,)``.
        best_elbo: ELBO of q*, the best member of its family found, ``(N,)``.
        elbo_stderr: Error of ``elbo``, ``(N,)``.
        best_stderr: Error of ``best_elbo``, ``(N,)``.
        amortization_stderr: Error of their difference, from paired draws, ``(N,)``.
        parameters: The posterior's parameters for q*, ``(N, *parameter_shape)``.
        curve: Mean ELBO at each step of the refinement, in nats per datum.
        evidence_method: Estimator of log p(x).
        elbo_method: Estimator of both ELBOs.
        refinement: Optimizer that found q*.
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
        """The approximation gap, log p(x) - ELBO(q*), ``(N,)``."""
        return self.log_evidence - self.best_elbo

    @property
    def amortization(self) -> Tensor:
        """The amortization gap, ELBO(q*) - ELBO(q), ``(N,)``."""
        return self.best_elbo - self.elbo

    @property
    def last_rise(self) -> Estimate:
        """How much the last quarter of the refinement beat the quarter before.

        A rise that is not small beside the gaps means that more steps would change them.
        """
        steps = torch.tensor(self.curve, dtype=torch.float64)
        size = max(len(steps) // 4, 1)
        last, before = steps[-size:], steps[-2 * size : -size]
        spread = torch.cat([last - last.mean(), before - before.mean()]).square().sum()
        stderr = (spread / max(2 * size - 2, 1) * 2 / size).sqrt()
        return Estimate((last.mean() - before.mean()).item(), stderr.item(), draws=size)

    @property
    def _rows(self) -> dict[str, tuple[Tensor, Tensor, str]]:
        """By name: values, errors, and the estimator."""
        one, other = self.evidence_stderr.square(), self.best_stderr.square()
        total = (one + self.elbo_stderr.square()).sqrt()
        best = f"{self.elbo_method}; q* by {self.refinement}"
        paired = (self.amortization, self.amortization_stderr, "ELBO(q*) - ELBO(q)")
        return {
            "log p(x)": (self.log_evidence, self.evidence_stderr, self.evidence_method),
            "approximation gap": (self.approximation, (one + other).sqrt(), "log p(x) - ELBO(q*)"),
            "ELBO(q*), best of the family": (self.best_elbo, self.best_stderr, best),
            "amortization gap": paired,
            "ELBO(q), the encoder's": (self.elbo, self.elbo_stderr, self.elbo_method),
            "both gaps": (self.total, total, "log p(x) - ELBO(q) = KL(q || p(z|x))"),
        }

    @property
    def estimates(self) -> dict[str, Estimate]:
        """Means over the data, from log p(x) down to the ELBO."""
        return {
            name: Estimate.of(values, error_of_mean(errors), estimator=estimator)
            for name, (values, errors, estimator) in self._rows.items()
        }

    def table(self) -> Table:
        """From log p(x) down to the ELBO, in nats per datum."""
        worse = int((self.amortization < 0).sum())
        caption = (
            f"{len(self.elbo)} data, float64, seed {self.seed}. In its last quarter the "
            f"refinement raised the mean ELBO by {self.last_rise}."
        )
        if worse:
            caption += f" For {worse} of them the refinement found no better member."
        title = "Inference gaps, in nats per datum"
        return estimate_table(title, self.estimates, caption, strong="gap")

    def per_datum_table(self) -> Table:
        """Every datum: log p(x), the two gaps, the ELBO, each with its error."""
        columns = ["datum", "log p(x)", "approximation", "amortization", "ELBO"]
        table = Table("Inference gaps of each datum, in nats", columns)
        *rows, _ = self._rows.values()
        del rows[2]
        for n in range(len(self.elbo)):
            table.add(f"#{n}", *(nats(values[n].item(), errors[n].item())
                                 for values, errors, _ in rows))  # fmt: skip
        return table

    def figure(self) -> Figure:
        """The two gaps of each datum, and the refinement."""
        from pyro_vae.plots import plot_gaps
        from pyro_vae.plots.style import BLUE, panels

        if not len(self.curve):
            picture, (bars,) = panels()
        else:
            picture, (bars, steps) = panels(2, 2, 10, 3.4, width_ratios=[2, 1])
            steps.plot(range(1, len(self.curve) + 1), self.curve, color=BLUE, lw=1.2)
            steps.set(xlabel="step of the refinement", ylabel="mean ELBO (nats per datum)")
        plot_gaps(self, ax=bars)
        return picture

    def to_dict(self) -> dict[str, Any]:
        """Means, errors and estimators, for JSON."""
        return {"count": len(self.elbo), "seed": self.seed, **as_json(self.estimates)}


@alone()
def inference_gaps(
    vae: VAE,
    x: Tensor,
    *,
    evidence: Evidence = "auto",
    steps: int = 500,
    lr: float = 0.05,
    particles: int = 16,
    draws: int = 2000,
    samples: int = 5000,
    annealing: Annealing | None = None,
    seed: int = 0,
    show_progress: bool = True,
) -> InferenceGaps:
    r"""Split log p(x) - ELBO into an approximation gap and an amortization gap.

    .. math:: \log p(x) - ELBO(q)
              = \underbrace{\log p(x) - ELBO(q^*)}_{\text{approximation}}
              + \underbrace{ELBO(q^*) - ELBO(q)}_{\text{amortization}}

    with q* the best member of the guide's family for each datum, as optimized by
    :func:`~pyro_vae.diagnostics.refine.refine`. Weights that the posterior shares between data,
    such as the networks of a flow, stay fixed and count as part of the family.

    Args:
        vae: The model; a copy is evaluated in float64.
        x: Data, ``(N, *event_shape)``; a few dozen.
        evidence: Estimator of log p(x): ``exact`` (linear-Gaussian models), ``quadrature`` (codes
            of at most 3 dimensions), ``ais`` or ``importance``; ``auto`` takes the first of
            ``exact``, ``quadrature`` and ``ais`` that applies.
        steps: Steps of a stochastic refinement.
        lr: Its initial learning rate.
        particles: Its draws for each datum and step.
        draws: Draws of each ELBO that has neither a closed form nor quadrature.
        samples: Importance samples for each datum, for ``importance``.
        annealing: Temperatures, chains and trajectories, for ``ais``.
        seed: Seed of every draw; the global generators keep their state.
        show_progress: Whether to show progress bars.

    Raises:
        IncompatibleComponents: if the estimator does not apply to the model.
        DataError: if a number is too small, or ``x`` does not fit the model.

    References:
        | Inference suboptimality in variational autoencoders (Cremer et al., 2018)
        | https://arxiv.org/abs/1801.03558

    Example:
        >>> vae = VAE(event_shape=(4,), latent_dim=2, decoder="linear")
        >>> gaps = inference_gaps(vae, torch.zeros(3, 4), show_progress=False)
        >>> bool((gaps.approximation + gaps.amortization - gaps.total).abs().max() < 1e-9)
        True
    """
    at_least(2, draws=draws)
    method = _method(vae, evidence)
    x = vae.rows(x).detach().to(device_of(vae)).double()
    with isolated_copy(vae, torch.float64, seed) as model:
        log_evidence, error, said = _log_evidence(model, x, method, samples, annealing, seed,
                                                  show_progress)  # fmt: skip
        refined = refine(model, x, steps=steps, lr=lr, particles=particles, seed=seed,
                         show_progress=show_progress)  # fmt: skip
        *elbos, how = _elbos(model, x, refined, method, draws, seed)
    elbo, best, elbo_stderr, best_stderr, paired_stderr = (found.cpu() for found in elbos)
    return InferenceGaps(
        log_evidence.cpu(), error.cpu(), elbo, best, elbo_stderr, best_stderr, paired_stderr,
        refined.parameters.cpu(), refined.curve, said, how, refined.method, seed,
    )  # fmt: skip


@torch.no_grad()
def _method(vae: VAE, evidence: Evidence) -> Evidence:
    linear, small = linear_gaussian(vae) is not None, vae.latent_dim <= MOST_DIMENSIONS
    if evidence == "exact" and not linear:
        raise IncompatibleComponents(
            "evidence: exact: expected a linear-Gaussian model (a linear decoder, a Gaussian "
            "likelihood, a normal prior), got another; choose quadrature, ais or "
            "importance"
        )
    if evidence != "auto":
        return evidence
    return "exact" if linear else "quadrature" if small else "ais"


def _log_evidence(
    vae: VAE,
    x: Tensor,
    method: Evidence,
    samples: int,
    annealing: Annealing | None,
    seed: int,
    show: bool,
) -> tuple[Tensor, Tensor, str]:
    """log p(x), its error, and the estimator."""  # noqa: D403
    linear = linear_gaussian(vae)
    if method == "exact" and linear is not None:
        value = linear.log_evidence(x)
        return value, torch.zeros_like(value), "exact, linear-Gaussian"
    if method == "quadrature":
        found = quadrature(vae, x, show_progress=show)
        return found.log_evidence, found.error, "quadrature"
    options: Any = {"seed": seed, "show_progress": show}
    if method == "ais":
        estimate = annealed_importance_sampling(vae, x, how=annealing, **options)
    else:
        estimate = importance_sampling(vae, x, samples=samples, **options)
    return estimate.log_evidence, estimate.stderr, estimate.estimator


def _elbos(
    vae: VAE, x: Tensor, refined: Refined, method: Evidence, draws: int, seed: int
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, str]:
    """ELBO of q and of q*, the errors of both and of their difference, and the estimator."""
    parameters = (refined.start, refined.parameters)
    closed = [exact_elbo(vae, x, vae.posterior(given)) for given in parameters]
    if closed[0] is not None and closed[1] is not None:
        nothing = torch.zeros(len(x)).to(x)
        return closed[0], closed[1], nothing, nothing, nothing, "closed form"
    if method == "quadrature":
        one, other = (quadrature(vae, x, parameters=given) for given in parameters)
        error, best = one.guide_error, other.guide_error
        return one.elbo, other.elbo, error, best, error + best, "quadrature"
    first, second = (_drawn(vae, x, given, draws, seed) for given in parameters)
    error, best, paired = (
        (values.var(0) / draws).sqrt() for values in (first, second, second - first)
    )
    how = f"{draws:,} draws, the same for both, seed {seed}"
    return first.mean(0), second.mean(0), error, best, paired, how


def _drawn(vae: VAE, x: Tensor, parameters: Tensor, draws: int, seed: int) -> Tensor:
    """The ELBO by each draw, ``(draws, N)``; one seed gives q and q* the same noise."""
    q = vae.posterior(parameters)
    with seeded(seed + 1, x.device):
        counts = [min(CHUNK, draws - start) for start in range(0, draws, CHUNK)]
        return torch.cat([sampled_elbo(vae, x, q, count) for count in counts])
