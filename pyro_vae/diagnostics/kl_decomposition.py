"""The mean KL of a data set in parts: mutual information, total correlation, dimensions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor
from torch.distributions import Distribution, Independent

from pyro_vae.core.errors import DataError, IncompatibleComponents, at_least
from pyro_vae.core.modes import device_of, isolated_copy
from pyro_vae.objectives.kl import kl_exact, kl_source
from pyro_vae.report.estimate import Estimate, estimate_table
from pyro_vae.report.shown import ShownAsTable
from pyro_vae.report.table import Table
from pyro_vae.vae import VAE

__all__ = ["KLDecomposition", "kl_decomposition"]

CHUNK = 4_000_000
NO_FACTORS = "q(z|x) has no independent dimensions, so that the density of q(z_m) is not known"
NO_PRIOR_FACTORS = "p(z) has no independent dimensions"


@dataclass(frozen=True, repr=False)
class KLDecomposition(ShownAsTable):
    """The mean KL of some data and its parts, in nats per datum; Jupyter shows a table.

    The standard errors are over the draws alone, for these data.

    Args:
        kl: Mean of KL(q(z|x) || p(z)), from the same draws as its parts, which sum to it.
        closed_form: The same in closed form; None where there is none.
        mutual_information: I_q(x; z), at most log N.
        marginal_kl: KL(q(z) || p(z)), of the aggregate posterior.
        total_correlation: KL(q(z) || prod_m q(z_m)); None where q(z|x) does not factorize.
        dimension_wise_kl: Sum of KL(q(z_m) || p(z_m)); None where q(z|x) or p(z) does not.
        per_dimension: Each KL(q(z_m) || p(z_m)), ``(M,)``; None likewise.
        count: Number N of data.
        draws: Draws for each datum.
        batch_size: Data in each estimate of log q(z); N where it is the whole sum.
        seed: Seed of the draws.
        missing: Why parts are missing, if any are.
    """

    kl: Estimate
    closed_form: float | None
    mutual_information: Estimate
    marginal_kl: Estimate
    total_correlation: Estimate | None
    dimension_wise_kl: Estimate | None
    per_dimension: Tensor | None
    count: int
    draws: int
    batch_size: int
    seed: int
    missing: str = ""
    derived = ("bias",)

    @property
    def bias(self) -> str:
        """The bias of the estimates, in words."""
        whole = (
            f"q(z) is the mixture of the {self.count:,} posteriors given, in full: no bias for "
            f"these data; of the population that they are from, I_q(x; z) is at most log N = "
            f"{math.log(self.count):.2f}, and so too low where it comes near"
        )
        part = (
            f"q(z) is estimated from {self.batch_size:,} or more of {self.count:,} data at a "
            f"time; that is unbiased, but its logarithm is too low on average, so that I_q(x; z) "
            f"is too high and KL(q(z) || p(z)) too low by as much; total correlation and "
            f"dimension-wise KL are biased too"
        )
        return whole if self.batch_size == self.count else part

    def table(self) -> Table:
        """The KL and its parts, in nats per datum."""
        caption = f"{self.bias}." + (f" Missing: {self.missing}." if self.missing else "")
        exact = None if self.closed_form is None else Estimate(self.closed_form)
        parts = {
            "KL(q(z|x) || p(z)), sampled": self.kl,
            "KL(q(z|x) || p(z)), closed form": exact,
            "= mutual information I_q(x; z)": self.mutual_information,
            "+ KL(q(z) || p(z))": self.marginal_kl,
            "of which total correlation": self.total_correlation,
            "of which dimension-wise KL": self.dimension_wise_kl,
        }
        return estimate_table("KL decomposition, in nats per datum", parts, caption)


def kl_decomposition(
    vae: VAE,
    x: Tensor,
    *,
    draws: int = 10,
    batch_size: int | None = None,
    seed: int = 0,
) -> KLDecomposition:
    r"""Decompose the mean KL of a data set.

    .. math:: \frac1N \sum_n KL(q(z \mid x_n) \,\|\, p(z)) = I_q(x; z)
              + KL\Big(q(z) \,\Big\|\, \prod_m q(z_m)\Big) + \sum_m KL(q(z_m) \,\|\, p(z_m))

    where q(z) is the mean of the N posteriors. The last two, total correlation and dimension-wise
    KL, sum to KL(q(z) || p(z)), and are None where q(z|x) or p(z) has no independent dimensions.
    By default log q(z) sums over all data, without bias, in time N squared. With ``batch_size`` B
    it is estimated from the datum's batch, stratified: the datum itself with weight 1/N, each
    other with (N - 1) / (N (B - 1)). The density is then unbiased, its logarithm biased downwards.

    It runs on a copy of the model in evaluation mode and its own precision.

    Args:
        vae: The model.
        x: Data, ``(N, *event_shape)``, at least 2: the data set, or part of it.
        draws: Draws from each q(z|x), at least 2.
        batch_size: Minimum number of data in each estimate of log q(z), from 2 to N; batches
            have nearly equal sizes. None is all.
        seed: Seed of the draws and of the batches.

    Raises:
        DataError: if ``x`` does not fit the model, or a number is out of its range.

    References:
        | ELBO surgery (Hoffman and Johnson, 2016)
        | Isolating sources of disentanglement in variational autoencoders (Chen et al., 2018)
        | https://arxiv.org/abs/1802.04942

    Example:
        >>> parts = kl_decomposition(VAE(event_shape=(4,), latent_dim=2), torch.randn(50, 4))
        >>> whole = parts.mutual_information.value + parts.marginal_kl.value
        >>> abs(whole - parts.kl.value) < 1e-5
        True
    """
    x = vae.rows(x).detach().to(device_of(vae))
    size = len(x) if batch_size is None else batch_size
    at_least(2, x=len(x), draws=draws)
    if not 2 <= size <= len(x):
        raise DataError(f"batch_size: expected 2 to {len(x)}, the number of data, got {size}")
    dtype = next(vae.parameters(), x).dtype
    size = size if len(x) // size > 1 else len(x)
    with isolated_copy(vae, dtype, seed) as model:
        q, p = model.encode(x.to(dtype)), model.prior()
        if p.batch_shape:
            raise IncompatibleComponents(
                "kl_decomposition: expected one prior p(z) of all data, from which the aggregate "
                "posterior q(z) has a KL, got p(z|c); choose a prior that does not depend on c"
            )
        rows = [_parts(q, p, q.sample(), size) for _ in range(draws)]
        closed = kl_exact(q, p).mean().item() if kl_source(q, p) is not None else None
    drawn = {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
    each = drawn.pop("per_dimension", None)
    if each is not None:
        drawn["dimension_wise_kl"] = each.sum(-1)
    estimator = f"{draws} draws for each datum, seed {seed}"
    parts = {name: Estimate.of(values, estimator=estimator) for name, values in drawn.items()}
    missing = [why for d, why in ((q, NO_FACTORS), (p, NO_PRIOR_FACTORS)) if _factors(d) is None]
    return KLDecomposition(
        parts["kl"], closed, parts["mutual_information"], parts["marginal_kl"],
        parts.get("total_correlation"), parts.get("dimension_wise_kl"),
        None if each is None else each.mean(0).cpu(), len(x), draws, size, seed,
        "; ".join(missing),
    )  # fmt: skip


def _parts(q: TorchDistribution, p: TorchDistribution, z: Tensor, size: int) -> dict[str, Tensor]:
    """Each part's mean over the data from one draw of each, and the KL's own."""
    own, prior = q.log_prob(z).mean(), p.log_prob(z).mean()
    joint, each = _log_aggregate(q, z, size)
    marginal = joint.mean()
    found = {
        "kl": own - prior,
        "mutual_information": own - marginal,
        "marginal_kl": marginal - prior,
    }
    if each is not None:
        found["total_correlation"] = marginal - each.sum(-1).mean()
        factors = _factors(p)
        if factors is not None:
            found["per_dimension"] = (each - factors.log_prob(z)).mean(0)
    return found


def _factors(d: Distribution) -> Distribution | None:
    """The distribution of each dimension, if they are independent."""
    if isinstance(d, Independent) and d.reinterpreted_batch_ndims == 1:
        return d.base_dist
    return None


def _log_aggregate(q: TorchDistribution, z: Tensor, size: int) -> tuple[Tensor, Tensor | None]:
    """log q(z), ``(N,)``, and each log q(z_m), ``(N, M)``, or None where that is not known."""  # noqa: D403
    count, factors = len(z), _factors(q)
    weights = _log_weights(count, size, z)
    step = max(1, CHUNK // (count * z.shape[-1]))
    joint: list[Tensor] = []
    each: list[Tensor] = []
    for start in range(0, count, step):
        codes = z[start : start + step].unsqueeze(1)  # (C, 1, M)
        weight = weights(start, start + len(codes))  # (C, N)
        if factors is None:
            joint.append((weight + q.log_prob(codes)).logsumexp(1))
            continue
        densities = factors.log_prob(codes)  # (C, N, M)
        joint.append((weight + densities.sum(-1)).logsumexp(1))
        each.append((weight.unsqueeze(-1) + densities).logsumexp(1))
    return torch.cat(joint), torch.cat(each) if each else None


def _log_weights(count: int, size: int, like: Tensor) -> Any:
    """The log-weight of each datum's posterior in another's q(z), for rows from one to another."""
    batch = torch.randperm(count, device=like.device) % (count // size)
    sizes = torch.bincount(batch)[batch].to(like)  # of each datum's batch
    others = ((count - 1) / (count * (sizes - 1))).log()

    def rows(start: int, stop: int) -> Tensor:
        stop = min(stop, count)
        together = batch[start:stop].unsqueeze(1) == batch
        weight = torch.where(together, others[start:stop].unsqueeze(1), -math.inf)
        own = torch.arange(start, stop, device=like.device)
        weight[own - start, own] = -math.log(count)
        return weight

    return rows
