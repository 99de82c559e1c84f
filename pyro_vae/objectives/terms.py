"""The two terms of the ELBO for each datum, computed by hand without a Pyro program."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from pyro_vae.core.modes import alone, evaluating, seeded
from pyro_vae.objectives.kl import KL, kl_exact, kl_method, kl_sampled
from pyro_vae.vae import VAE

__all__ = ["Terms", "elbo_terms", "elbo_terms_of_data"]


@dataclass(frozen=True)
class Terms:
    """The ELBO's terms, in nats, one value for each datum.

    Args:
        log_likelihood: E_q[log p(x|z)], ``(N,)``.
        kl: KL(q(z|x) || p(z)), ``(N,)``.
        kl_method: Estimator of the KL: ``exact`` or ``sampled``.
    """

    log_likelihood: Tensor
    kl: Tensor
    kl_method: Literal["exact", "sampled"]

    @property
    def elbo(self) -> Tensor:
        """E_q[log p(x|z)] - KL(q(z|x) || p(z)), ``(N,)``."""
        return self.log_likelihood - self.kl


@alone()
def elbo_terms(vae: VAE, x: Tensor, *, kl: KL = "auto", particles: int = 1) -> Terms:
    r"""The ELBO's terms for each datum, with z = reparameterized draws from q(z|x).

    .. math:: \frac1K \sum_{k=1}^K \log p(x \mid z_k), \quad KL(q(z \mid x) \,\|\, p(z)),
              \quad z_k \sim q(z \mid x)

    The draws are those that Pyro's ``Trace_ELBO`` makes from the same seed.

    Where classes are summed out, each term is an expectation under q(y|x), and the KL has that of
    the classes too: KL(q(y|x) || p(y)).

    Args:
        vae: The model.
        x: Data, ``(N, *event_shape)``.
        kl: ``exact`` (a closed form, or an error), ``sampled``, or ``auto`` (exact where there
            is a closed form).
        particles: Number K of draws for each datum, at least 1.

    Raises:
        NoClosedFormKL: if ``kl`` is ``exact`` and there is no closed form.

    Example:
        >>> vae = VAE(event_shape=(4,), latent_dim=2)
        >>> elbo_terms(vae, torch.zeros(3, 4)).elbo.shape
        torch.Size([3])
    """
    if vae.sums_out:
        return _summed_out(vae, vae._data(x), kl, particles)
    q, p = vae.encode(x), vae.prior()
    method = kl_method(q, p, kl)
    z = q.expand(torch.Size([particles, *q.batch_shape])).rsample()  # (K, N, M)
    log_likelihood = vae.decode(z, x).log_prob(x).mean(0)  # (N,)
    divergence = kl_exact(q, p) if method == "exact" else kl_sampled(q, p, z).mean(0)
    return Terms(log_likelihood, divergence, method)


def _summed_out(vae: VAE, x: Tensor, kl: KL, particles: int) -> Terms:
    """The terms as expectations under q(y|x)."""
    each = elbo_terms(vae.each_class(), x, kl=kl, particles=particles)  # (K, N)
    log_q = vae.log_q(x).mT
    weight = log_q.exp()
    label = torch.where(weight > 0, log_q - vae.log_p.to(log_q), 0.0)
    return Terms(
        (weight * each.log_likelihood).sum(0), (weight * (each.kl + label)).sum(0), each.kl_method
    )


@torch.no_grad()
def elbo_terms_of_data(
    vae: VAE,
    x: Tensor,
    *,
    kl: KL = "auto",
    particles: int = 1,
    batch_size: int = 1000,
    seed: int = 0,
) -> Terms:
    """The ELBO's terms for each datum of a data set, in evaluation mode and in batches.

    The draws depend on ``seed`` alone; the global generators keep their state.

    Args:
        vae: The model.
        x: Data, ``(N, *event_shape)``.
        kl: As in :func:`elbo_terms`.
        particles: As in :func:`elbo_terms`.
        batch_size: How many data at a time; it changes the memory used, and the draws.
        seed: Seed of the draws.
    """
    with evaluating(vae), seeded(seed, x.device):
        parts = [
            elbo_terms(model, batch, kl=kl, particles=particles)
            for model, batch in vae.split(x, batch_size)
        ]
    log_likelihood = torch.cat([part.log_likelihood for part in parts])
    return Terms(log_likelihood, torch.cat([part.kl for part in parts]), parts[0].kl_method)
