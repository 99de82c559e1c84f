"""The evidence by importance sampling from the guide."""

from __future__ import annotations

import pyro
import torch
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor

from pyro_vae.core.errors import at_least
from pyro_vae.core.modes import evaluating
from pyro_vae.evidence.chunks import chunk_sizes, of_chunks, share_of_chunks
from pyro_vae.evidence.estimate import EvidenceEstimate, LogMean
from pyro_vae.report.progress import progress
from pyro_vae.vae import VAE

__all__ = ["SAMPLES", "importance_sampling", "log_weights"]

SAMPLES = 5000  # as in Burda et al. (2016)


@torch.no_grad()
def importance_sampling(
    vae: VAE, x: Tensor, *, samples: int = SAMPLES, seed: int = 0, show_progress: bool = False,
    processes: bool = False,
) -> EvidenceEstimate:  # fmt: skip
    r"""log p(x) for each datum, by importance samples from q(z|x), in evaluation mode.

    .. math:: \log \frac1K \sum_{k=1}^K \frac{p(x \mid z_k) \, p(z_k)}{q(z_k \mid x)},
              \quad z_k \sim q(z \mid x)

    It is too small in expectation and rises to log p(x) with K. Trust its Monte Carlo error only
    where the effective sample size is well above 1. Where classes are summed out, a weight is a
    sum over all of them. The draws depend on ``seed`` alone; the
    global generators keep their state.

    Args:
        vae: The model.
        x: Data, ``(N, *event_shape)``.
        samples: Number K of draws for each datum, at least 2.
        seed: Seed of the draws.
        show_progress: Whether to show a progress bar.
        processes: Whether the processes that torchrun started share the data: each calls this
            with the same arguments, and gets the same, to the bit, as one would alone.

    Raises:
        DataError: if ``samples`` is below 2, or ``x`` does not fit the model.
        NonFiniteLoss: if a weight is NaN or infinite.

    References:
        | Importance weighted autoencoders (Burda et al., 2016), section 5
        | https://arxiv.org/abs/1509.00519

    Example:
        >>> vae = VAE(event_shape=(4,), latent_dim=2)
        >>> importance_sampling(vae, torch.zeros(3, 4), samples=100).log_evidence.shape
        torch.Size([3])
    """  # noqa: D403
    at_least(2, samples=samples)
    x = vae._data(x)
    with evaluating(vae), pyro.validation_enabled(False):
        data, codes = chunk_sizes(vae.each_class(), x, samples)
        codes = max(codes // len(vae.log_p), 1) if vae.sums_out else codes
        _, share, first = share_of_chunks(len(x), data, processes)
        total, done = torch.zeros((), dtype=torch.float64, device=x.device), 0
        shown = show_progress and first
        with progress(share, "Importance sampling", unit="data", enabled=shown) as bar:

            def estimate(model: VAE, batch: Tensor, start: int) -> LogMean:
                nonlocal total, done
                q, mean = model.each_class().encode(batch), LogMean()
                for drawn in range(0, samples, codes):
                    count = min(codes, samples - drawn)
                    mean.add(log_weights(model, batch, q, count))
                total, done = total + mean.value.sum(), done + len(batch)
                bar.advance(len(batch), nll=-total / done)
                return mean.cpu()

            means = of_chunks(vae, x, data, seed, estimate, processes)
    drawn = means[0].count
    return EvidenceEstimate.of(means, f"importance sampling from q, K = {drawn:,}, seed {seed}")


def log_weights(vae: VAE, x: Tensor, q: TorchDistribution, count: int) -> Tensor:
    """Log-weights log p(x|z) + log p(z) - log q(z) of ``count`` draws z ~ q, ``(count, N)``."""
    z, given = q.rsample(torch.Size([count])), vae.each_class()
    log_joint: Tensor = given.decode(z, x).log_prob(x) + given.prior().log_prob(z)
    log_w = log_joint - q.log_prob(z)
    return (log_w + vae.log_p.to(log_w)).logsumexp(1) if vae.sums_out else log_w
