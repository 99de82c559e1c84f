"""The log-likelihood of each column of a table."""

from __future__ import annotations

import torch
from torch import Tensor

from pyro_vae.core.modes import evaluating, seeded
from pyro_vae.distributions.marginal import Marginal
from pyro_vae.likelihoods.columns import Columns
from pyro_vae.report.estimate import Estimate
from pyro_vae.vae import VAE

__all__ = ["column_terms"]


@torch.no_grad()
def column_terms(
    vae: VAE, x: Tensor, *, particles: int = 1, batch_size: int = 1000, seed: int = 0
) -> dict[str, Estimate]:
    """E_q[log p(x_d|z)] of each column d, in nats per datum; 0 for a datum that misses it.

    With the draws of :func:`~pyro_vae.objectives.terms.elbo_terms_of_data` from the same seed, so
    that they add up to its log-likelihood. Empty but for a likelihood of ``columns``.

    Args:
        vae: The model.
        x: Data, ``(N, *event_shape)``.
        particles: Draws for each datum.
        batch_size: How many data at a time.
        seed: Seed of the draws.
    """
    if not isinstance(vae.likelihood, Columns):
        return {}
    found: list[Tensor] = []
    with evaluating(vae), seeded(seed, x.device):
        for model, batch in vae.split(x, batch_size):
            q = model.encode(batch)
            p = model.decode(q.expand(torch.Size([particles, len(batch)])).rsample(), batch)
            entries = p.entries if isinstance(p, Marginal) else p.base_dist.log_prob
            found.append(entries(batch).mean(0).flatten(1))
    table = vae.standardization.table if vae.standardization is not None else None
    count = found[0].shape[1]
    names = range(count) if table is None else [column.name for column in table.columns]
    values = torch.cat(found).cpu().unbind(1)
    drawn = f"{particles} particle{'' if particles == 1 else 's'}, seed {seed}"
    return {str(n): Estimate.of(v, estimator=drawn) for n, v in zip(names, values, strict=True)}
