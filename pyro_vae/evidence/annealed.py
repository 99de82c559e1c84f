"""The evidence by annealed importance sampling, from the prior to the posterior."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pyro
import torch
from torch import Tensor

from pyro_vae.core.errors import at_least
from pyro_vae.core.modes import evaluating
from pyro_vae.core.prior import codes_of
from pyro_vae.evidence.chunks import chunk_sizes, of_chunks, share_of_chunks
from pyro_vae.evidence.estimate import EvidenceEstimate, LogMean
from pyro_vae.evidence.hmc import Joint, check_real_codes, transition
from pyro_vae.report.progress import Progress, progress
from pyro_vae.vae import VAE

__all__ = ["Annealing", "annealed_importance_sampling"]

KEPT = 4  # large tensors that a gradient keeps alive, about
STEEPNESS = 4.0
ACCEPTANCE = 0.65
PILOTS = 8
ADAPTATIONS = 200  # of the step size, at least
RATE = 0.1


@dataclass(frozen=True)
class Annealing:
    r"""How codes move from the prior to the posterior.

    The intermediate distributions are p(z) p(x|z)^beta with T + 1 inverse temperatures,

    .. math:: \beta_t \propto \mathrm{sigmoid}(4 (2 t / T - 1)), \quad \beta_0 = 0, \beta_T = 1

    and at each a Hamiltonian trajectory moves every chain. Separate pilot chains tune its step
    size for each datum and temperature beforehand.

    Args:
        temperatures: Number T of steps from the prior to the posterior, at least 2.
        chains: Number of chains for each datum, at least 2.
        leapfrog: Steps of each trajectory, at least 1.

    Raises:
        DataError: if one of them is too small.

    Example:
        >>> [round(beta, 3) for beta in Annealing(temperatures=4).betas]
        [0.0, 0.105, 0.5, 0.895, 1.0]
    """

    temperatures: int = 1000
    chains: int = 16
    leapfrog: int = 10

    def __post_init__(self) -> None:
        at_least(2, temperatures=self.temperatures, chains=self.chains)
        at_least(1, leapfrog=self.leapfrog)

    @property
    def betas(self) -> list[float]:
        """The inverse temperatures, T + 1 of them, from 0 to 1."""
        places = torch.linspace(-1, 1, self.temperatures + 1, dtype=torch.float64)
        curve = torch.sigmoid(STEEPNESS * places)
        betas: list[float] = ((curve - curve[0]) / (curve[-1] - curve[0])).tolist()
        return betas

    def __str__(self) -> str:
        return (
            f"T = {self.temperatures:,} temperatures, {self.chains} chains, {self.leapfrog} "
            f"leapfrog steps"
        )


@torch.no_grad()
def annealed_importance_sampling(
    vae: VAE,
    x: Tensor,
    *,
    how: Annealing | None = None,
    seed: int = 0,
    show_progress: bool = False,
    processes: bool = False,
) -> EvidenceEstimate:
    r"""log p(x) for each datum by annealed importance sampling, in evaluation mode.

    .. math:: \log w = \sum_{t=1}^T (\beta_t - \beta_{t-1}) \log p(x \mid z_{t-1}), \quad
              E[w] = p(x)

    It needs no guide. The mean weight is unbiased for any number of temperatures. With few, the
    weights vary widely and log p(x) is underestimated:
    :func:`~pyro_vae.bidirectional_monte_carlo` measures by how much.

    Args:
        vae: The model; its codes are real.
        x: Data, ``(N, *event_shape)``.
        how: Temperatures, chains and trajectories.
        seed: Seed of every draw; the global generators keep their state.
        show_progress: Whether to show a progress bar.
        processes: Whether the processes that torchrun started share the data, as in
            :func:`~pyro_vae.importance_sampling`.

    Raises:
        DataError: if ``x`` does not fit the model.
        IncompatibleComponents: if the codes are not real vectors.
        NonFiniteLoss: if a weight is NaN or infinite.

    References:
        | Annealed importance sampling (Neal, 2001) https://arxiv.org/abs/physics/9803008
        | On the quantitative analysis of decoder-based generative models (Wu et al., 2017)
        | https://arxiv.org/abs/1611.04273

    Example:
        >>> vae = VAE(event_shape=(4,), latent_dim=2)
        >>> how = Annealing(temperatures=10, chains=4, leapfrog=2)
        >>> annealed_importance_sampling(vae, torch.zeros(3, 4), how=how).log_evidence.shape
        torch.Size([3])
    """  # noqa: D403
    how = how or Annealing()
    x = vae._data(x)
    with annealing(vae, x, how, 2, show_progress, "Annealing", processes) as (size, bar):

        def estimate(model: VAE, batch: Tensor, start: int) -> LogMean:
            joint, mean = Joint(model, batch), LogMean()
            mean.add(forward(joint, how, tuned(joint, how, bar), bar))
            return mean.cpu()

        means = of_chunks(vae, x, size, seed, estimate, processes)
    return EvidenceEstimate.of(means, f"annealed importance sampling, {how}, seed {seed}")


@contextmanager
def annealing(
    vae: VAE, x: Tensor, how: Annealing, passes: int, show: bool, what: str, processes: bool
) -> Iterator[tuple[int, Progress]]:
    """Set modes for annealing; yield the batch size and a progress bar."""
    check_real_codes(vae, what)
    with evaluating(vae), pyro.validation_enabled(False):
        size = chunk_sizes(vae, x, how.chains, share=KEPT)[0]
        chunks, _, first = share_of_chunks(len(x), size, processes)
        total = chunks * how.temperatures * passes
        with progress(total, what, unit="temperatures", enabled=show and first) as bar:
            yield size, bar


def tuned(joint: Joint, how: Annealing, bar: Progress) -> Tensor:
    """Step sizes for each temperature and datum, ``(T, N)``, found by pilot chains."""
    z = codes_of(joint.vae.prior(), min(how.chains, PILOTS), len(joint.x))
    step = torch.full_like(joint.x.flatten(1)[:, 0], 0.5)
    repeats = -(-ADAPTATIONS // how.temperatures)
    found: list[Tensor] = []
    betas = how.betas
    for index, beta in enumerate(betas[:-1]):
        for _ in range(ADAPTATIONS if index == 0 else repeats):
            z, accept = transition(joint.at(beta), z, step, how.leapfrog)
            step = step * torch.exp(RATE * (accept.mean(0) - ACCEPTANCE))
        found.append(step)
        bar.advance(acceptance=accept.mean())
    return torch.stack(found)


def forward(joint: Joint, how: Annealing, steps: Tensor, bar: Progress) -> Tensor:
    """Log-weights of chains from the prior to the posterior, ``(C, N)``."""
    z = codes_of(joint.vae.prior(), how.chains, len(joint.x))
    return log_weights(joint, z, how, steps, bar)


def log_weights(
    joint: Joint, z: Tensor, how: Annealing, steps: Tensor, bar: Progress, *, back: bool = False
) -> Tensor:
    """Log-weights of chains from ``z``, ``(C, N, M)``, to the posterior, or back from it."""
    betas = how.betas
    total = torch.zeros(z.shape[:-1], dtype=torch.float64, device=z.device)

    def moved(z: Tensor, t: int) -> Tensor:
        if t == 0:
            return z
        return transition(joint.at(betas[t]), z, steps[t], how.leapfrog)[0]

    temperatures = range(how.temperatures)
    for t in reversed(temperatures) if back else temperatures:
        z = z if back else moved(z, t)
        total += (betas[t + 1] - betas[t]) * joint.terms(z)[1].double()
        z = moved(z, t) if back else z
        bar.advance()
    return total
