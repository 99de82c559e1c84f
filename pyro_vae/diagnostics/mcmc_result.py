"""What chains and guide say of the same posterior, and how that shows itself."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from pyro.ops.stats import effective_sample_size, split_gelman_rubin
from torch import Tensor

from pyro_vae.report.numbers import number
from pyro_vae.report.shown import ShownAsTable
from pyro_vae.report.table import Cell, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["MCMCComparison", "sliced_wasserstein"]

MIXED = 1.05  # R-hat above which chains are told to disagree
DIRECTIONS = 100


@dataclass(frozen=True, repr=False)
class MCMCComparison(ShownAsTable):
    """q(z|x) beside chains on p(z|x), for each datum; shows itself in Jupyter.

    Args:
        chains: Codes from NUTS, ``(N, C, S, M)``.
        guide: Codes from q(z|x), ``(N, C * S, M)``.
        seconds: What the chains of each datum took.
        guide_seconds: What the codes of q(z|x) took.
        warmup: Steps of each chain before its codes.
        seed: Seed of every draw.
    """

    chains: Tensor
    guide: Tensor
    seconds: list[float]
    guide_seconds: list[float]
    warmup: int
    seed: int

    @cached_property
    def r_hat(self) -> Tensor:
        """Split R-hat of each dimension, ``(N, M)``: near 1 where the chains agree."""
        found = [split_gelman_rubin(draws, chain_dim=0, sample_dim=1) for draws in self.chains]
        return torch.stack(found)

    @cached_property
    def effective(self) -> Tensor:
        """Effective sample size of each dimension, all chains together, ``(N, M)``."""
        found = [effective_sample_size(draws, chain_dim=0, sample_dim=1) for draws in self.chains]
        return torch.stack(found)

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
        """Its Monte Carlo error, ``(N, M)``."""
        ratio = self.scale_ratio.square() / self.guide.shape[1]
        return (1 / self.effective + ratio).sqrt()

    @property
    def scale_ratio(self) -> Tensor:
        """Standard deviation of q over that of the chains, ``(N, M)``."""
        return self.guide.std(1) / self.scale

    @cached_property
    def distance(self) -> Tensor:
        """Sliced Wasserstein distance of q from the chains, in posterior s.d., ``(N,)``."""
        pooled, scale = self.chains.flatten(1, 2), self.scale.unsqueeze(1)
        return sliced_wasserstein(pooled / scale, self.guide / scale, self.seed)

    @cached_property
    def distance_of_chains(self) -> Tensor:
        """The same between one half of the chains and the other, ``(N,)``: what noise makes."""
        half = self.chains.shape[1] // 2
        scale = self.scale.unsqueeze(1)
        halves = (self.chains[:, :half], self.chains[:, half : 2 * half])
        one, other = (part.flatten(1, 2) / scale for part in halves)
        return sliced_wasserstein(one, other, self.seed)

    @property
    def converged(self) -> Tensor:
        """Whether the chains of each datum agree, by R-hat, ``(N,)``."""
        return (self.r_hat < MIXED).all(-1)

    def table(self) -> Table:
        """A row for each datum: how good the chains are, how far q is, and what both cost."""
        _, chains, samples, _ = self.chains.shape
        caption = (
            f"{chains} chains of NUTS, {samples} codes each after {self.warmup} steps, seed "
            f"{self.seed}, float64; as many codes of q. Shift and ratio: of the dimension that "
            f"is farthest off. Distance: sliced Wasserstein, {DIRECTIONS} directions, in "
            f"posterior s.d.; of chains: between their halves. Chains agree: R-hat < {MIXED}."
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
        """Codes of the chains and of q, for each datum."""
        from pyro_vae.plots import posterior_panels

        return posterior_panels(self.chains.flatten(1, 2).numpy(), self.guide.numpy())

    def to_dict(self) -> dict[str, Any]:
        """Everything but the codes, for JSON."""
        tensors = ("r_hat", "effective", "mean", "scale", "mean_shift", "mean_shift_stderr",
                   "scale_ratio", "distance", "distance_of_chains", "converged")  # fmt: skip
        return {name: getattr(self, name).tolist() for name in tensors} | {
            "chains": self.chains.shape[1],
            "samples": self.chains.shape[2],
            "warmup": self.warmup,
            "seconds": self.seconds,
            "guide_seconds": self.guide_seconds,
            "seed": self.seed,
        }


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
