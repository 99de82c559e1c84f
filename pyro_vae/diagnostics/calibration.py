"""Simulation-based calibration of the guide, and the tails of its importance weights."""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pyro_vae.core.errors import DataError, IncompatibleComponents, NonFiniteLoss, at_least
from pyro_vae.core.messages import listed
from pyro_vae.core.modes import device_of, isolated_copy
from pyro_vae.core.prior import codes_of
from pyro_vae.diagnostics.ecdf import Numbers, ecdf_band, ecdf_p_value
from pyro_vae.diagnostics.psis import arviz, pareto_k
from pyro_vae.evidence.chunks import data_at_once
from pyro_vae.report.numbers import number
from pyro_vae.report.progress import progress
from pyro_vae.report.shown import ShownAsTable
from pyro_vae.report.table import Cell, Table
from pyro_vae.vae import VAE

if TYPE_CHECKING:
    from pyro_vae.plots.style import Picture

__all__ = ["Calibration", "calibrate"]

JOINT = ("log q(z|x)", "log weight")
LEVELS = (0.5, 0.8, 0.95)
DECIMALS = 9  # of a log-density; nearer ones are equal
TAILS = 1000  # simulated data whose k-hat is found


@dataclass(frozen=True, repr=False)
class Calibration(ShownAsTable):
    """Ranks of the true codes of simulated data under q(z|x); Jupyter shows a table and a picture.

    Where q(z|x) is p(z|x), every column of ``ranks`` is uniform on (0, 1): those of the dimensions
    ``z0``, ``z1``, ..., then that of log q(z|x), then that of the log-weight
    log p(x, z) - log q(z|x).

    Args:
        ranks: ``(simulations, M + 2)``.
        pareto_k: Pareto k-hat of each datum's importance weights: ``simulated``, of the first
            1,000 simulated data, and ``given``, of each of the data that were given, if any.
        draws: Draws from q(z|x) for each datum.
        false_alarm: Probability that an exact posterior is rejected, over all columns together.
        seed: Seed of every draw.
    """

    ranks: Tensor
    pareto_k: dict[str, Tensor]
    draws: int
    false_alarm: float
    seed: int

    omitted = ("ranks", "pareto_k")
    derived = ("passed", "verdict", "simulations", "names", "p_values", "coverage", "threshold",
               "above_threshold")  # fmt: skip

    @property
    def simulations(self) -> int:
        """Number of simulated data."""
        return len(self.ranks)

    @property
    def names(self) -> list[str]:
        """What is ranked, one name for each column of ``ranks``."""
        return [*(f"z{m}" for m in range(self.ranks.shape[1] - len(JOINT))), *JOINT]

    @cached_property
    def p_values(self) -> dict[str, float]:
        """Probability that the ECDF of uniform ranks is as far from uniform, by name."""
        columns = zip(self.names, self.ranks.T.numpy(), strict=True)
        return {name: ecdf_p_value(column) for name, column in columns}

    @property
    def critical(self) -> float:
        """The largest p-value that is rejected: Bonferroni's, over all columns."""
        return self.false_alarm / len(self.names)

    @property
    def failures(self) -> list[str]:
        """What is not uniformly ranked."""
        return [name for name, p in self.p_values.items() if p <= self.critical]

    @property
    def passed(self) -> bool:
        """Whether all ranks may be uniform. Pareto k-hat has no part in it."""
        return not self.failures

    @property
    def verdict(self) -> str:
        """One sentence: whether the guide is calibrated, and what is not."""
        basis = (f"{len(self.names)} tests of {self.simulations:,} ranks, false alarm "
                 f"{self.false_alarm:g} for all together")  # fmt: skip
        if self.passed:
            return f"PASSED: every rank is uniform ({basis})."
        return f"FAILED: {listed(self.failures, 'and')} not uniformly ranked ({basis})."

    @property
    def coverage(self) -> dict[float, float]:
        """Share of the true codes in the region of highest q that should hold 50, 80, 95 %."""
        rank = self.ranks[:, -2]
        return {level: (rank > 1 - level).double().mean().item() for level in LEVELS}

    @property
    def threshold(self) -> float:
        """The k-hat above which importance weights of so many draws are not to be trusted."""
        return min(1 - 1 / math.log10(self.draws), 0.7)

    @property
    def above_threshold(self) -> dict[str, float]:
        """Share of the simulated, and of the given, data whose k-hat is above it."""
        tails = self.pareto_k.items()
        return {name: (k > self.threshold).double().mean().item() for name, k in tails}

    def _reading(self, name: str) -> str:
        """What ranks that are not uniform say of q."""
        ranks = self.ranks[:, self.names.index(name)]
        shift = (ranks.mean().item() - 0.5) * math.sqrt(12)
        spread = ((ranks - 0.5).square().mean().item() - 1 / 12) * math.sqrt(180)
        if name == "log weight":
            return "q is not p(z|x)"
        if name in JOINT:
            return f"q is too {'wide' if shift > 0 else 'narrow'}"
        if abs(shift) > abs(spread):
            return f"q is too {'low' if shift > 0 else 'high'}"
        return f"q is too {'narrow' if spread > 0 else 'wide'}"

    def table(self) -> Table:
        """A row for each rank: its mean, its standard deviation, its p-value, and what it says."""
        regions = ", ".join(f"{level:.0%}: {held:.1%}" for level, held in self.coverage.items())
        tails = ", ".join(f"{share:.1%} of {len(self.pareto_k[n]):,} {n} data"
                          for n, share in self.above_threshold.items())  # fmt: skip
        caption = (
            f"{self.simulations:,} pairs (z, x) from the model, {self.draws} draws from q(z|x) "
            f"each, float64, seed {self.seed}. Regions of highest q, and the true codes in them: "
            f"{regions}. Pareto k-hat above {self.threshold:.2f}: {tails}. {self.verdict}"
        )
        columns = ["rank of", "mean (0.5)", "s.d. (0.289)", "p-value", "verdict"]
        table = Table("Calibration of q(z|x)", columns, caption=caption)
        for name, column in zip(self.names, self.ranks.T, strict=True):
            failed = name in self.failures
            verdict = Cell(self._reading(name), "bad") if failed else Cell("uniform", "good")
            p = self.p_values[name]
            table.add(name, f"{column.mean():.3f}", f"{column.std():.3f}",
                      "< 1e-10" if p < 1e-10 else number(p, 2), verdict)  # fmt: skip
        return table

    @property
    def band(self) -> tuple[Numbers, Numbers, Numbers]:
        """Points u, and the least and the greatest ECDF of uniform ranks at each."""
        return ecdf_band(self.simulations, self.critical)

    def figure(self) -> Picture:
        """ECDF of the ranks less the uniform one, in its band, and histograms of k-hat."""
        from pyro_vae.plots import plot_calibration, plot_importance_weights
        from pyro_vae.plots.style import panels

        picture, axes = panels(2, 2, 11, 3.2, width_ratios=[3, 2])
        plot_calibration(self, ax=axes[0])
        plot_importance_weights(self, ax=axes[1])
        return picture

    def _repr_html_(self) -> str:
        picture = base64.b64encode(self.figure()._repr_png_()).decode()
        return f'{super()._repr_html_()}<img src="data:image/png;base64,{picture}">'


def calibrate(
    vae: VAE,
    x: Tensor | None = None,
    *,
    simulations: int = 5000,
    draws: int = 200,
    false_alarm: float = 1e-4,
    seed: int = 0,
    show_progress: bool = True,
) -> Calibration:
    r"""Test whether q(z|x) is p(z|x), on data that are simulated from the model.

    Where z ~ p(z) and x ~ p(x|z), z is a draw from p(z|x). If q(z|x) is p(z|x) too, z ranks
    uniformly among draws from q(z|x), by any function of z and x. Here these are each dimension
    of z; log q(z|x), whose ranks are the coverage of the regions of highest density; and the
    log-weight log p(x, z) - log q(z|x), the most powerful by Neyman and Pearson's lemma.

    Pareto k-hat measures the tail of each datum's importance weights, also for real data, on
    which the guide may do worse. It has no known distribution, and no part in the verdict.
    Everything is computed on a float64 copy of the model in evaluation mode.

    Args:
        vae: The model.
        x: Real data, ``(N, *event_shape)``. Their quantities that the model conditions on, such
            as lengths of documents, are also those of the simulated data, in turn.
        simulations: Number of pairs (z, x), at least 100.
        draws: Draws from q(z|x) for each datum, at least 25.
        false_alarm: Probability that an exact posterior is rejected, over all tests together.
        seed: Seed of every draw; the global generators keep their state.
        show_progress: Whether to show a progress bar.

    Raises:
        DataError: if ``x`` does not fit the model, a number is too small, or ``arviz-stats`` is
            missing.
        IncompatibleComponents: if the guide has no encoder, or a component cannot be sampled.
        NonFiniteLoss: if a weight of the model or a log-density is not a number.

    References:
        | Validating Bayesian inference algorithms with simulation-based calibration
        | (Talts et al., 2018) https://arxiv.org/abs/1804.06788
        | Yes, but did it work? (Yao et al., 2018) https://arxiv.org/abs/1802.02538

    Example:
        >>> vae = VAE(event_shape=(4,), latent_dim=2)
        >>> found = calibrate(vae, simulations=200, draws=50, show_progress=False)
        >>> found.ranks.shape
        torch.Size([200, 4])
    """
    at_least(100, simulations=simulations)
    at_least(25, draws=draws)
    if not 1e-6 <= false_alarm < 1:
        raise DataError(f"false_alarm: expected a probability from 1e-6 to 1, got {false_alarm}")
    arviz("arviz_stats")
    for name, weight in vae.named_parameters():
        if not weight.isfinite().all():
            raise NonFiniteLoss(f"{name}: expected finite weights, got NaN or inf; train again")
    if not vae.posterior.amortized:
        raise IncompatibleComponents(
            "calibrate: expected an encoder, got a guide with parameters for its training data "
            "alone, which cannot encode simulated data; choose another posterior"
        )
    if x is not None:
        x = vae.rows(x).detach().to(device_of(vae), torch.float64)
        at_least(1, **{"data in x": len(x)})
    total = simulations + (0 if x is None else len(x))
    with (
        isolated_copy(vae, torch.float64, seed, validate=False) as model,
        progress(total, "Calibrating", unit="data", enabled=show_progress) as bar,
    ):
        shown = _simulated(model.at(slice(1)), 1, None if x is None else x[:1])[1]
        size = data_at_once(model, shown, draws + 1)
        drawn = model.cycled(simulations)
        ranks, simulated, given = [], [], []
        for start in range(0, simulations, size):
            rows = torch.arange(start, min(start + size, simulations))
            part = drawn.at(rows)
            z, data = _simulated(part, len(rows), None if x is None else x[rows % len(x)])
            values, log_weights = _scored(part, data, draws, z)
            below, ties = (sign(values[1:], values[0]).sum(0) for sign in (torch.lt, torch.eq))
            ranks.append((below + torch.rand_like(values[0]) * (ties + 1)).cpu() / (draws + 1))
            simulated.append(pareto_k(log_weights[1:, : max(TAILS - start, 0)]))
            bar.advance(len(rows))
        for part, batch in () if x is None else model.split(x, size):
            given.append(pareto_k(_scored(part, batch, draws)[1]))
            bar.advance(len(batch))
    tails = {"simulated": torch.cat(simulated)} | ({"given": torch.cat(given)} if given else {})
    return Calibration(torch.cat(ranks), tails, draws, false_alarm, seed)


def _simulated(vae: VAE, count: int, given: Tensor | None) -> tuple[Tensor, Tensor]:
    """Codes and data from the model, ``(N, M)`` and ``(N, *event_shape)``."""
    try:
        z = codes_of(vae.prior(), count)
        return z, vae.decode(z, given).sample()
    except NotImplementedError:
        raise IncompatibleComponents(
            "calibrate: expected a prior and a likelihood that can be sampled, got one without "
            "sample(); it is needed to simulate data"
        ) from None


def _scored(vae: VAE, x: Tensor, draws: int, z: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """What is ranked of codes, ``(S, N, M + 2)``, and their log-weights, ``(S, N)``.

    The codes are ``z`` if it is given, then draws from q; all are scored alike.
    """
    q = vae.encode(x)
    codes = q.sample(torch.Size([draws]))
    if z is not None:
        codes = torch.cat([z.unsqueeze(0), codes])
    codes = codes.clone()  # so that no transform returns what it remembers of its draw
    log_q = q.log_prob(codes)
    log_weights = vae.decode(codes, x).log_prob(x) + vae.prior().log_prob(codes) - log_q
    if log_weights.isnan().any():
        raise NonFiniteLoss(
            f"log p(x, z) - log q(z|x): expected numbers, got NaN for "
            f"{int(log_weights.isnan().sum())} of {log_weights.numel()} codes"
        )
    joint = torch.stack([log_q, log_weights], -1).round(decimals=DECIMALS)
    return torch.cat([codes, joint], -1), joint[..., -1]
