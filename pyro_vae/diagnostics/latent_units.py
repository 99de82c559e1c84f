"""Active units of the code, and the KL of each dimension."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import pyro.distributions as dist
import torch
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor
from torch.distributions import Independent

from pyro_vae.core.modes import evaluating, seeded
from pyro_vae.distributions.normal_mixture import NormalMixture
from pyro_vae.distributions.power_spherical import PowerSpherical
from pyro_vae.objectives.kl import kl_per_dimension
from pyro_vae.objectives.structure import diagonal_laplace, rooted_normal
from pyro_vae.report.shown import ShownAsTable
from pyro_vae.report.table import Cell, Table
from pyro_vae.vae import VAE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["THRESHOLD", "LatentUnits", "latent_units", "posterior_mean"]

THRESHOLD = 0.01
DRAWS = 64
BATCH = 1000


@dataclass(frozen=True, repr=False)
class LatentUnits(ShownAsTable):
    r"""The activity and the KL of each dimension of the code; Jupyter shows a table.

    .. math:: A_m = \mathrm{Var}_x \left( E_{q(z \mid x)}[z_m] \right)

    A unit is active where A_m is above the threshold.

    Args:
        variance: A_m, unbiased, ``(M,)``; NaN for a single datum.
        mean_estimator: Estimator of E_q[z].
        kl: KL of each dimension in nats per datum, ``(M,)``; None where it does not factorize.
        kl_method: Its estimator, or why there is none.
        count: Number of data.
        seed: Seed of the draws, where there are any.
        threshold: Of activity.

    References:
        | Importance weighted autoencoders (Burda et al., 2016), section 5.2
        | https://arxiv.org/abs/1509.00519
    """

    variance: Tensor
    mean_estimator: str
    kl: Tensor | None
    kl_method: str
    count: int
    seed: int
    threshold: float = THRESHOLD

    @property
    def active(self) -> Tensor:
        """Which units are active, ``(M,)``."""
        return self.variance > self.threshold

    @property
    def rule(self) -> str:
        """The definition in words, with its estimator."""
        return f"variance over x of E_q[z] > {self.threshold:g}; {self.mean_estimator}"

    def __str__(self) -> str:
        """How many are active."""
        if self.variance.isnan().any():
            return "unknown, for a single datum"
        return f"{int(self.active.sum())} of {len(self.variance)}"

    __repr__ = __str__

    def table(self) -> Table:
        """A row for each dimension."""
        caption = f"{self.count} data. Active: {self.rule}. KL: {self.kl_method}."
        table = Table(f"Active units: {self}", ["dimension", "variance of E_q[z]", "KL (nats)",
                      ""], caption=caption)  # fmt: skip
        for m, variance in enumerate(self.variance.tolist()):
            kl = None if self.kl is None else self.kl[m].item()
            verdict = Cell("active", "good") if self.active[m] else Cell("inactive", "muted")
            table.add(m, variance, kl, verdict)
        return table

    def figure(self) -> Figure:
        """Variance of E_q[z], and the KL, of each dimension."""
        from pyro_vae.plots import plot_active_units, plot_kl_per_dimension
        from pyro_vae.plots.style import panels

        count = 1 if self.kl is None else 2
        width = min(max(5.0, 2.0 + 0.22 * len(self.variance)), 12.0)
        picture, axes = panels(count, 1, width, 2.6)
        plot_active_units(self, title=f"Active units: {self}", ax=axes[0])
        for ax in axes[1:]:
            plot_kl_per_dimension(self, ax=ax)
        return picture

    def to_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        active = None if self.variance.isnan().any() else int(self.active.sum())
        return super().to_dict() | {"active": active, "latent_dim": len(self.variance)}


@torch.no_grad()
def latent_units(
    vae: VAE, x: Tensor, *, draws: int = DRAWS, threshold: float = THRESHOLD, seed: int = 0
) -> LatentUnits:
    """The activity and the KL of each dimension of the code, in evaluation mode.

    Where E_q[z] has no closed form it is the mean of draws from q, and the variance of their
    noise is subtracted (so that an estimate may be slightly below 0).

    Args:
        vae: The model.
        x: Data, ``(N, *event_shape)``.
        draws: Draws from q(z|x) for each datum, where they are needed, at least 2.
        threshold: Of activity.
        seed: Seed of the draws.

    Example:
        >>> units = latent_units(VAE(event_shape=(4,), latent_dim=2), torch.randn(100, 4))
        >>> units.variance.shape
        torch.Size([2])
    """
    with evaluating(vae), seeded(seed, x.device):
        parts = [_moments(model, batch, draws) for model, batch in vae.split(x, BATCH)]
    means, noise = _joined([part.mean for part in parts]), _joined([part.noise for part in parts])
    kls = [part.kl for part in parts if part.kl is not None]
    variance = means.var(0) if len(means) > 1 else torch.full_like(means[0], torch.nan)
    return LatentUnits(
        variance - noise.mean(0), parts[0].mean_estimator, _joined(kls).mean(0) if kls else None,
        parts[0].kl_method, len(x), seed, threshold,
    )  # fmt: skip


class _Moments(NamedTuple):
    """Of a batch: E_q[z], the variance of its estimate, the KL of each dimension; each (N, M)."""

    mean: Tensor
    noise: Tensor
    mean_estimator: str
    kl: Tensor | None
    kl_method: str


def _moments(vae: VAE, x: Tensor, draws: int) -> _Moments:
    q, p = vae.encode(x), vae.prior()
    mean = posterior_mean(q)
    kl, kl_method = kl_per_dimension(q, p)
    if kl is None and "no closed form" in kl_method:
        kl, kl_method = kl_per_dimension(q, p, q.rsample(torch.Size([draws])))
    if mean is not None:
        return _Moments(mean, torch.zeros_like(mean), "E_q[z] exact", kl, kl_method)
    z = q.rsample(torch.Size([draws]))
    method = f"E_q[z] from {draws} draws, their noise taken off"
    return _Moments(z.mean(0), z.var(0) / draws, method, kl, kl_method)


def _joined(parts: list[Tensor]) -> Tensor:
    return torch.cat(parts).double().cpu()


def posterior_mean(q: TorchDistribution) -> Tensor | None:
    """E_q[z], ``(N, M)``, if q has a known mean; else None."""
    normal = rooted_normal(q)
    if normal is not None:
        return normal[0]
    if type(q) in (NormalMixture, PowerSpherical) or diagonal_laplace(q) is not None:
        mean: Tensor = q.mean
        return mean
    if isinstance(q, Independent) and type(q.base_dist) is dist.StudentT:
        return q.base_dist.loc if (q.base_dist.df > 1).all() else None
    return None
