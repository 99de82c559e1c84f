"""The guide compared with chains of Pyro's NUTS on the same posterior."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from pyro import poutine
from pyro.infer import MCMC, NUTS
from pyro.ops.stats import effective_sample_size, split_gelman_rubin
from torch import Tensor

from pyro_vae.core.errors import DataError, at_least
from pyro_vae.core.modes import alone, isolated_copy
from pyro_vae.core.prior import codes_of
from pyro_vae.evidence.hmc import check_real_codes
from pyro_vae.report.numbers import number
from pyro_vae.report.progress import Progress, progress
from pyro_vae.report.shown import ShownAsTable
from pyro_vae.report.table import Cell, Table
from pyro_vae.vae import VAE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["MCMCComparison", "compare_with_mcmc", "sliced_wasserstein"]

MIXED = 1.05  # R-hat above which chains disagree
DIRECTIONS = 100
MOST_DRAWN = 8  # data, in a picture


@dataclass(frozen=True, repr=False)
class MCMCComparison(ShownAsTable):
    """q(z|x) compared with chains on p(z|x), for each datum; Jupyter shows a table.

    Args:
        chains: Codes from NUTS, ``(N, C, S, M)``.
        guide: Codes from q(z|x), ``(N, C * S, M)``.
        seconds: Time of the chains of each datum.
        guide_seconds: Time of its codes from q(z|x).
        warmup: Warm-up steps of each chain.
        seed: Seed of every draw.
    """

    chains: Tensor
    guide: Tensor
    seconds: list[float]
    guide_seconds: list[float]
    warmup: int
    seed: int

    omitted = ("chains", "guide")
    derived = ("count", "samples", "r_hat", "effective", "mean", "scale", "mean_shift",
               "mean_shift_stderr", "scale_ratio", "distance", "distance_of_chains",
               "converged")  # fmt: skip

    @property
    def count(self) -> int:
        """Number of chains for each datum."""
        return self.chains.shape[1]

    @property
    def samples(self) -> int:
        """Codes from each chain."""
        return self.chains.shape[2]

    @cached_property
    def r_hat(self) -> Tensor:
        """Split R-hat of each dimension, ``(N, M)``: near 1 where the chains agree."""
        return self._each(split_gelman_rubin)

    @cached_property
    def effective(self) -> Tensor:
        """Effective sample size of each dimension over all chains, ``(N, M)``."""
        return self._each(effective_sample_size)

    def _each(self, statistic: Callable[..., Tensor]) -> Tensor:
        return torch.stack([statistic(c, chain_dim=0, sample_dim=1) for c in self.chains])

    @property
    def mean(self) -> Tensor:
        """Posterior means by the chains, ``(N, M)``."""
        return self.chains.mean((1, 2))

    @property
    def scale(self) -> Tensor:
        """Posterior standard deviations by the chains, ``(N, M)``."""
        return self.chains.flatten(1, 2).std(1)

    @property
    def mean_shift(self) -> Tensor:
        """Mean of q less that of the chains, in posterior standard deviations, ``(N, M)``."""
        return (self.guide.mean(1) - self.mean) / self.scale

    @property
    def mean_shift_stderr(self) -> Tensor:
        """Monte Carlo error of ``mean_shift``, ``(N, M)``."""
        ratio = self.scale_ratio.square() / self.guide.shape[1]
        return (1 / self.effective + ratio).sqrt()

    @property
    def scale_ratio(self) -> Tensor:
        """Standard deviation of q over that of the chains, ``(N, M)``."""
        return self.guide.std(1) / self.scale

    @cached_property
    def distance(self) -> Tensor:
        """Sliced Wasserstein distance of q from the chains, in posterior s.d., ``(N,)``."""
        return self._distance(self.chains.flatten(1, 2), self.guide)

    @cached_property
    def distance_of_chains(self) -> Tensor:
        """The distance between two halves of the chains, ``(N,)``: the noise floor."""
        half = self.count // 2
        one, other = self.chains[:, :half], self.chains[:, half : 2 * half]
        return self._distance(one.flatten(1, 2), other.flatten(1, 2))

    def _distance(self, one: Tensor, other: Tensor) -> Tensor:
        scale = self.scale.unsqueeze(1)
        return sliced_wasserstein(one / scale, other / scale, self.seed)

    @property
    def converged(self) -> Tensor:
        """Whether the chains of each datum agree, by R-hat, ``(N,)``."""
        return (self.r_hat < MIXED).all(-1)

    def table(self) -> Table:
        """A row for each datum: convergence of the chains, distance of q, and cost of both."""
        caption = (
            f"{self.count} chains of NUTS, {self.samples} codes each after {self.warmup} steps, "
            f"seed {self.seed}, float64; as many codes of q. Shift and ratio: of the worst "
            f"dimension. Distance: sliced Wasserstein, {DIRECTIONS} directions, in posterior "
            f"s.d.; of chains: between their halves. Chains agree: R-hat < {MIXED}."
        )
        columns = ["datum", "R-hat", "ESS", "mean shift (s.d.)", "s.d. ratio", "distance of q",
                   "of chains", "NUTS (s)", "q (s)", "chains"]  # fmt: skip
        table = Table("q(z|x) against NUTS", columns, caption=caption)
        for n in range(len(self.chains)):
            far = int(self.mean_shift[n].abs().argmax())
            off = int(self.scale_ratio[n].log().abs().argmax())
            agree = Cell("agree", "good") if self.converged[n] else Cell("DISAGREE", "bad")
            table.add(
                f"#{n}", number(self.r_hat[n].max(), 4), f"{self.effective[n].min():,.0f}",
                f"{self.mean_shift[n, far]:+.2f} ± {self.mean_shift_stderr[n, far]:.2f} (z{far})",
                f"{self.scale_ratio[n, off]:.2f} (z{off})", number(self.distance[n], 2),
                number(self.distance_of_chains[n], 2), number(self.seconds[n], 2),
                number(self.guide_seconds[n], 2), agree,
            )  # fmt: skip
        return table

    def figure(self) -> Figure:
        """Codes of the chains and of q, for each of the first 8 data."""
        from pyro_vae.plots import plot_posterior
        from pyro_vae.plots.style import panels

        chains = self.chains.flatten(1, 2)[:MOST_DRAWN]
        ncols = min(len(chains), 4)
        picture, axes = panels(len(chains), ncols, max(2.8 * ncols, 4.6), 2.8)
        for n, ax in enumerate(axes):
            plot_posterior(chains[n], self.guide[n], title=f"#{n} of {len(self.guide)}", ax=ax)
        return picture


def sliced_wasserstein(one: Tensor, other: Tensor, seed: int = 0) -> Tensor:
    r"""Distance between two sets of as many points, along random directions, ``(N,)``.

    .. math:: \left( E_\theta \, W_2^2(\theta \cdot X, \theta \cdot Y) \right)^{1/2}

    Args:
        one: ``(N, S, M)``.
        other: ``(N, S, M)``.
        seed: Seed of the directions.

    References:
        | Sliced and Radon Wasserstein barycenters of measures (Bonneel et al., 2015)
        | https://doi.org/10.1007/s10851-014-0506-3

    Example:
        >>> points = torch.randn(1, 50, 1)
        >>> round(sliced_wasserstein(points, points + 2.0).item(), 4)
        2.0
    """
    generator = torch.Generator().manual_seed(seed)
    raw = torch.randn(one.shape[-1], DIRECTIONS, generator=generator).to(one)
    directions = torch.nn.functional.normalize(raw, dim=0)
    gaps = (one @ directions).sort(1).values - (other @ directions).sort(1).values
    return gaps.square().mean((1, 2)).sqrt()


@alone()
def compare_with_mcmc(
    vae: VAE,
    x: Tensor,
    *,
    samples: int = 500,
    warmup: int = 300,
    chains: int = 4,
    seed: int = 0,
    show_progress: bool = True,
) -> MCMCComparison:
    """Run NUTS on p(z|x) for a few data, and compare q(z|x) with the chains.

    The chains run on a float64 CPU copy of ``vae.model``, each from its own draw of the prior.
    As many codes are drawn from q(z|x).

    Args:
        vae: The model; its codes are real.
        x: A few data, ``(N, *event_shape)``; expect some seconds for each chain.
        samples: Codes from each chain, at least 4.
        warmup: Steps in which NUTS adapts, at least 10.
        chains: Chains for each datum, at least 2.
        seed: Seed of every draw; the global generators keep their state.
        show_progress: Whether to show a progress bar.

    Raises:
        DataError: if a number is too small, or ``x`` does not fit the model.
        IncompatibleComponents: if the codes are no real vectors.

    References:
        | The No-U-Turn sampler (Hoffman and Gelman, 2014) https://arxiv.org/abs/1111.4246
        | Rank-normalization, folding, and localization: an improved R-hat
        | (Vehtari et al., 2021) https://arxiv.org/abs/1903.08008

    Example:
        >>> vae = VAE(event_shape=(4,), latent_dim=1)
        >>> found = compare_with_mcmc(
        ...     vae, torch.zeros(1, 4), samples=20, warmup=20, chains=2, show_progress=False
        ... )
        >>> found.chains.shape, found.guide.shape
        (torch.Size([1, 2, 20, 1]), torch.Size([1, 40, 1]))
    """
    at_least(4, samples=samples)
    at_least(10, warmup=warmup)
    at_least(2, chains=chains)
    x = vae.rows(x).detach().cpu().double()
    if not len(x):
        raise DataError("x: expected at least one datum, got none")
    check_real_codes(vae, "NUTS")
    drawn: list[Tensor] = []
    seconds: list[float] = []
    total = len(x) * chains * (samples + warmup)
    with (
        isolated_copy(vae, torch.float64, seed, validate=False) as copied,
        progress(total, "NUTS", enabled=show_progress) as bar,
    ):
        model = copied.cpu().requires_grad_(requires_grad=False)
        for index, (one, datum) in enumerate(model.split(x, 1)):
            began = time.perf_counter()
            starts = [seed + 1000 * index + chain for chain in range(chains)]
            drawn.append(torch.stack([_chain(one, datum, samples, warmup, start, bar)
                                      for start in starts]))  # fmt: skip
            seconds.append(time.perf_counter() - began)
        torch.manual_seed(seed)
        began = time.perf_counter()
        guide = model.encode(x).sample(torch.Size([chains * samples])).movedim(0, 1)
        each = (time.perf_counter() - began) / len(x)
    return MCMCComparison(torch.stack(drawn), guide, seconds, [each] * len(x), warmup, seed)


@torch.enable_grad()
def _chain(vae: VAE, x: Tensor, samples: int, warmup: int, seed: int, bar: Progress) -> Tensor:
    """One chain for one datum, ``(samples, M)``."""
    torch.manual_seed(seed)
    start = {"z": codes_of(vae.prior(), 1)}

    def potential(codes: dict[str, Tensor]) -> Tensor:
        """Minus log p(x, z) by the program itself; codes are real, so nothing is transformed."""
        trace = poutine.trace(poutine.condition(vae.model, data=codes)).get_trace(x)
        return -torch.as_tensor(trace.log_prob_sum())

    run = MCMC(
        NUTS(potential_fn=potential), samples, warmup_steps=warmup, initial_params=start,
        disable_progbar=True, hook_fn=lambda *state: bar.advance(),
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, module="pyro")
        run.run(x)
    codes: Tensor = run.get_samples()["z"].squeeze(1)
    return codes
