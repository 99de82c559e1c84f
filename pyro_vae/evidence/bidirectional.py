"""Stochastic lower and upper bounds on the evidence of data simulated from the model."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pyro_vae.core.errors import at_least
from pyro_vae.core.modes import device_of, evaluating, seeded
from pyro_vae.core.prior import codes_of
from pyro_vae.evidence.annealed import Annealing, annealing, forward, log_weights, tuned
from pyro_vae.evidence.chunks import of_chunks
from pyro_vae.evidence.estimate import LogMean
from pyro_vae.evidence.hmc import Joint, check_real_codes
from pyro_vae.report.estimate import Estimate, estimate_table
from pyro_vae.report.shown import ShownAsTable
from pyro_vae.report.table import Table
from pyro_vae.vae import VAE

__all__ = ["Sandwich", "bidirectional_monte_carlo"]


@dataclass(frozen=True, repr=False)
class Sandwich(ShownAsTable):
    """Bounds on log p(x) of simulated data, in nats; Jupyter shows a table.

    Args:
        x: The data, ``(N, *event_shape)``.
        lower: Lower bound in expectation, from annealing forward, ``(N,)``.
        upper: Upper bound in expectation, from annealing backward, ``(N,)``.
        how: Temperatures, chains and trajectories.
        seed: Seed of every draw.
    """

    x: Tensor
    lower: Tensor
    upper: Tensor
    how: Annealing
    seed: int

    omitted = ("x", "lower", "upper")
    derived = ("count", "bounds", "estimator")

    @property
    def count(self) -> int:
        """Number of simulated data."""
        return len(self.x)

    @property
    def gap(self) -> Estimate:
        """Upper less lower bound, with its standard error over data and chains."""
        return self.bounds["gap"]

    @property
    def bounds(self) -> dict[str, Estimate]:
        """The lower bound, the upper bound, and the gap between them."""
        found = {"lower bound": self.lower, "upper bound": self.upper,
                 "gap": self.upper - self.lower}  # fmt: skip
        return {name: Estimate.of(v, estimator=self.estimator) for name, v in found.items()}

    @property
    def estimator(self) -> str:
        """Its name and settings."""
        return f"bidirectional Monte Carlo, {self.how}, seed {self.seed}"

    def table(self) -> Table:
        """Both bounds and the gap between them."""
        caption = (
            f"log p(x) of {self.count} data drawn from the model. The lower bound is below "
            f"log p(x) in expectation, the upper bound above: on such data annealing "
            f"underestimates log p(x) by less than the gap."
        )
        return estimate_table("Sandwich, in nats per datum", self.bounds, caption)


@torch.no_grad()
def bidirectional_monte_carlo(
    vae: VAE,
    count: int = 100,
    *,
    how: Annealing | None = None,
    seed: int = 0,
    show_progress: bool = False,
    processes: bool = False,
) -> Sandwich:
    r"""Bound the error of annealing, on data for which an exact posterior draw is known.

    The model draws z and then x, so that z is an exact draw from p(z|x). Chains from it back to
    the prior have weights with E[1/w] = 1/p(x), whose log-mean bounds log p(x) from above, as
    annealing forward bounds it from below.

    Args:
        vae: The model; its codes are real.
        count: How many data to draw, at least 2.
        how: Temperatures, chains and trajectories.
        seed: Seed of every draw; the global generators keep their state.
        show_progress: Whether to show a progress bar.
        processes: Whether the processes that torchrun started share the data, as in
            :func:`~pyro_vae.importance_sampling`.

    Raises:
        DataError: if ``count`` is below 2.
        IncompatibleComponents: if the codes are not real vectors.
        NonFiniteLoss: if a weight is NaN or infinite.

    References:
        | Sandwiching the marginal likelihood using bidirectional Monte Carlo
        | (Grosse et al., 2015) https://arxiv.org/abs/1511.02543
        | On the quantitative analysis of decoder-based generative models (Wu et al., 2017)
        | https://arxiv.org/abs/1611.04273

    Example:
        >>> how = Annealing(temperatures=10, chains=4, leapfrog=2)
        >>> bidirectional_monte_carlo(VAE(event_shape=(4,), latent_dim=2), 5, how=how).lower.shape
        torch.Size([5])
    """
    at_least(2, count=count)
    how = how or Annealing()
    check_real_codes(vae, "Bidirectional Monte Carlo")
    vae = vae.cycled(count)
    z, x = _simulated(vae, count, seed)
    what = "Bidirectional Monte Carlo"
    with annealing(vae, x, how, 3, show_progress, what, processes) as (size, bar):

        def bounds(model: VAE, batch: Tensor, start: int) -> tuple[Tensor, Tensor]:
            joint, own = Joint(model, batch), z[start : start + len(batch)]
            steps = tuned(joint, how, bar)
            down, up = LogMean(), LogMean()
            down.add(forward(joint, how, steps, bar))
            first = own.expand(how.chains, *own.shape)
            up.add(-log_weights(joint, first, how, steps, bar, back=True))
            return down.value.cpu(), -up.value.cpu()

        found = of_chunks(vae, x, size, seed + 1, bounds, processes)
    lower, upper = (torch.cat(each) for each in zip(*found, strict=True))
    return Sandwich(x.cpu(), lower, upper, how, seed)


def _simulated(vae: VAE, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Codes and the data drawn from them."""
    with evaluating(vae), seeded(seed, device_of(vae)):
        z = codes_of(vae.prior(), count)
        x: Tensor = vae.decode(z).sample()
    return z, x
