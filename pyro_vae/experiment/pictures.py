"""The pictures of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from pyro_vae.data.dataset import DataSet, Split
from pyro_vae.plots import latent_scatter, reconstructions, samples
from pyro_vae.training.amortization import scored_split
from pyro_vae.training.result import FitResult
from pyro_vae.vae import VAE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["latent_picture", "pictures_of", "reconstruction_picture", "sample_picture"]

SEED = 0
Limits = tuple[float, float]


def pictures_of(result: FitResult, data: DataSet) -> dict[str, Figure]:
    """Every picture of a training, by file name."""
    split = data.splits[scored_split(result.vae, data)]
    limits = data.identity.value_range
    found = {
        "reconstructions": reconstruction_picture(result.vae, split, limits=limits),
        "samples": sample_picture(result.vae, limits=limits),
        "latent": latent_picture(result.vae, split),
    }
    return ({"elbo": result.figure()} if result.history else {}) | found


def reconstruction_picture(
    vae: VAE, split: Split, count: int = 20, limits: Limits | None = None
) -> Figure:
    """Data over the mean of p(x|z) at the point estimate of q(z|x)."""
    x = _spread(vae, split, count)
    return reconstructions(x.cpu().numpy(), vae.reconstruct(x).cpu().numpy(), limits=limits)


def sample_picture(vae: VAE, count: int = 60, limits: Limits | None = None) -> Figure:
    """The mean of p(x|z) for z drawn from p(z)."""
    with torch.random.fork_rng():
        torch.manual_seed(SEED)
        drawn = vae.generate(count)
    return samples(drawn.cpu().numpy(), limits=limits, title="Samples: mean of p(x|z), z ~ p(z)")


@torch.no_grad()
def latent_picture(vae: VAE, split: Split, count: int = 2000) -> Figure:
    """Point estimates of q(z|x), colored by label, over draws from p(z)."""
    x = _batch(vae, split, torch.arange(min(count, len(split))))
    with torch.random.fork_rng():
        torch.manual_seed(SEED)
        prior = vae.prior().sample(torch.Size([1000]))
    labels = None if split.labels is None else split.labels[: len(x)].cpu().numpy()
    return latent_scatter(
        vae.point_estimate(x).cpu().numpy(), labels, prior=prior.cpu().numpy(),
        title="Centres of q(z|x) over draws from p(z)",
    )  # fmt: skip


def _spread(vae: VAE, split: Split, count: int) -> torch.Tensor:
    """Data from all over the split, since a test set may be sorted by label."""
    index = torch.linspace(0, len(split) - 1, min(count, len(split))).long()
    return _batch(vae, split, index)


def _batch(vae: VAE, split: Split, index: torch.Tensor) -> torch.Tensor:
    device = next(iter([*vae.parameters(), *vae.buffers()]), split.x).device
    return split.batch(index, torch.Generator().manual_seed(SEED)).to(device)
