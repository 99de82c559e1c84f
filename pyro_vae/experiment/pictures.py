"""The pictures of a run."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pyro_vae.conditions.classes import Classes
from pyro_vae.core.modes import device_of, evaluating
from pyro_vae.core.prior import codes_of
from pyro_vae.data.dataset import DataSet, Split
from pyro_vae.distributions.by_column import typical
from pyro_vae.plots import plot_latent, plot_reconstructions, plot_samples
from pyro_vae.plots.style import panels
from pyro_vae.training.amortization import scored_split
from pyro_vae.training.result import FitResult
from pyro_vae.vae import VAE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["pictures_of"]

SEED = 0
MOST_CLASSES = 16


@torch.no_grad()
def pictures_of(result: FitResult, data: DataSet) -> dict[str, Figure]:
    """Every picture of a trained model, by file name.

    ``elbo`` has the learning curves; ``reconstructions`` 20 data above the means of p(x|z);
    ``samples`` 60 means of p(x|z) for z ~ p(z), and ``classes`` the same codes for each class of a
    conditional model; ``latent`` the point estimates of z for 2,000
    data, colored by label, over draws from p(z).
    """
    vae, limits = result.vae, data.identity.value_range
    split = data.splits[scored_split(vae, data)]
    split = replace(split, condition=vae.completed(split.x.to(device_of(vae)), split.condition))
    found = {"elbo": result.figure()} if result.history else {}
    spread = torch.linspace(0, len(split) - 1, min(20, len(split))).long()  # may be sorted
    x = _batch(vae, split, spread)
    rebuilt = vae.reconstruct(x, split.conditions(spread))
    found["reconstructions"], (ax,) = panels()
    plot_reconstructions(vae.inverse(x), vae.inverse(rebuilt), limits=limits, ax=ax)
    with torch.random.fork_rng():
        torch.manual_seed(SEED)
        given = vae.given(split.condition)
        drawn = given.cycled(60).generate(60)
        torch.manual_seed(SEED)
        prior = codes_of(given.cycled(1000).prior(), 1000)
    title = "Samples: mean of p(x|z), z ~ p(z)"
    found["samples"], (ax,) = panels()
    plot_samples(drawn, limits=limits, title=title, ax=ax)
    if isinstance(vae.condition, Classes) and vae.condition.size <= MOST_CLASSES:
        with torch.random.fork_rng():
            torch.manual_seed(SEED)
            found["classes"] = _by_class(vae, vae.condition.size, limits)
    x = _batch(vae, split, torch.arange(min(2000, len(split))))
    labels = None
    if split.labels is not None and split.labels.dim() == 1:  # a color is one number
        labels = split.labels[: len(x)].cpu().numpy()
    title = "Point estimates of z over draws from p(z)"
    z = vae.given(split.conditions(slice(len(x)))).point_estimate(x)
    found["latent"], (ax,) = panels()
    plot_latent(z, labels, prior=prior, title=title, ax=ax)
    return found


def _batch(vae: VAE, split: Split, index: Tensor) -> Tensor:
    return split.batch(index, torch.Generator().manual_seed(SEED)).to(device_of(vae))


def _by_class(vae: VAE, count: int, limits: tuple[float, float]) -> Figure:
    """One code a row, which the prior p(z) draws, and one class a column."""
    with evaluating(vae):
        given = vae.given(range(count))
        prior = given.prior()
        z = codes_of(prior, 6, count)
        shared = not prior.batch_shape
        z = z[:, :1].expand_as(z) if shared else z
        x = given.inverse(typical(given.decode(z))).flatten(0, 1)
    what = "one z a row" if shared else "z ~ p(z|c)"
    title = f"Means of p(x|z, c): one class a column, {what}"
    picture, (ax,) = panels()
    plot_samples(x, ncols=count, limits=limits, title=title, ax=ax)
    return picture
