"""Imputation: what is missing of a datum, given what is seen of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyro
import torch
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor

from pyro_vae.core.errors import DataError, IncompatibleComponents, NonFiniteLoss, at_least
from pyro_vae.core.messages import shown
from pyro_vae.core.modes import evaluating, seeded
from pyro_vae.data.checks import AnyArray
from pyro_vae.data.standardization import own
from pyro_vae.distributions.by_column import ByColumn
from pyro_vae.distributions.categorical import Categorical
from pyro_vae.distributions.marginal import Marginal
from pyro_vae.evidence.chunks import BUDGET, elements_per_code
from pyro_vae.evidence.conditional import check_encodes_gaps
from pyro_vae.evidence.exact import linear_gaussian
from pyro_vae.vae import VAE

__all__ = ["Imputation", "impute", "predict"]


@dataclass(frozen=True)
class Imputation:
    """Data with their missing values filled in, in the kind and units that they came in.

    Args:
        mean: The data, each missing value replaced by its conditional mean.
        draws: Complete data drawn from p(x_missing | x_seen), as many as were asked for.
        deviation: Standard deviation of each missing value given what is seen, ``(N, *event)``;
            0 where it is seen. In a table's column of categories, whose ``mean`` is the most
            probable, the probability of any other.
        stderr: Monte Carlo standard error of each mean, likewise.
        effective: Effective sample size of each datum's weights, ``(N,)``.
        estimator: The method and its settings.
    """

    mean: Any
    draws: list[Any]
    deviation: Tensor
    stderr: Tensor
    effective: Tensor
    estimator: str


@torch.no_grad()
def impute(
    vae: VAE, x: AnyArray, *, draws: int = 0, samples: int = 1000, seed: int = 0
) -> Imputation:
    r"""Fill in the missing values (NaN) of data, by importance samples of z given what is seen.

    .. math:: E[x_M \mid x_S] \approx \sum_k \bar w_k \, E[x_M \mid z_k], \quad
              \bar w_k \propto \frac{p(x_S \mid z_k) \, p(z_k)}{q(z_k \mid x_S)}

    Multiple imputations draw z anew in proportion to the weights, and x_M from p(x | z). For a
    linear decoder with a Gaussian likelihood and a normal prior all of it is exact.

    Args:
        vae: The model, trained with ``missing: zero_and_mask`` unless the answer is exact.
        x: Data with NaN, ``(N, *event_shape)``: a tensor as the model sees it, or an array or a
            pandas table in the data's own units.
        draws: How many complete copies to draw.
        samples: Number K of importance samples for each datum, at least 2.
        seed: Seed of every draw.

    Raises:
        IncompatibleComponents: if the encoder does not know missing values.
        NonFiniteLoss: if a weight is NaN or infinite.

    References:
        | MIWAE: deep generative modelling and imputation of incomplete data sets
        | (Mattei and Frellsen, 2019) https://arxiv.org/abs/1812.02633, section 3

    Example:
        >>> vae = VAE((3,), 2, missing="zero_and_mask")
        >>> x = torch.tensor([[0.5, float("nan"), 1.0]])
        >>> found = impute(vae, x, draws=5)
        >>> found.mean[0, 0].item(), len(found.draws)
        (0.5, 5)
    """
    at_least(2, samples=samples)
    at_least(0, draws=draws)
    data = vae._data(x)
    with evaluating(vae), pyro.validation_enabled(False), seeded(seed, data.device):
        exact = linear_gaussian(vae) is not None
        if not exact:
            check_encodes_gaps(vae)
        rows = BUDGET.get(data.device.type, BUDGET["cpu"]) // samples
        rows = max(1, rows // elements_per_code(vae, torch.zeros_like(data[:1])))
        parts = [
            _exact(model, batch, draws) if exact else _sampled(model, batch, draws, samples)
            for model, batch in vae.split(data, rows)
        ]
    mean, deviation, stderr, effective = (torch.cat([p[i] for p in parts]) for i in range(4))
    drawn = torch.cat([p[4] for p in parts], 1)
    missing, scale = data.isnan(), _scale(vae, x)
    return Imputation(
        _completed(vae, x, mean),
        [_completed(vae, x, one) for one in drawn],
        torch.where(missing, deviation, 0.0) * scale,
        torch.where(missing, stderr, 0.0) * scale,
        effective,
        "exact" if exact else f"importance sampling from q, K = {samples:,}, seed {seed}",
    )


def predict(
    vae: VAE, x: AnyArray, hidden: Any, *, draws: int = 0, samples: int = 1000, seed: int = 0
) -> Imputation:
    """What is expected of hidden positions of each datum, given the others: E[x_hidden | x_rest].

    Their values in x are not looked at. Where the positions are neurons, this is co-smoothing:
    score the result by :func:`~pyro_vae.bits_per_spike`.

    Args:
        vae: The model, trained with ``missing: zero_and_mask`` unless the answer is exact.
        x: Data, ``(N, *event_shape)``, as :func:`impute` takes them.
        hidden: Numbers of positions, or names of a table's columns; or, for an event of any
            shape, booleans of ``event_shape``.
        draws: How many times to draw the hidden values from p(x_hidden | x_rest).
        samples: Number K of importance samples for each datum, at least 2.
        seed: Seed of every draw.

    Returns:
        As :func:`impute` does, of the hidden positions only, in the order of x: ``mean`` is
        ``(N, hidden)``.

    Raises:
        DataError: if there are no such positions, or nothing else is left.
        IncompatibleComponents: if the encoder does not know missing values.
        NonFiniteLoss: if a weight is NaN or infinite.

    References:
        | Neural Latents Benchmark '21 (Pei et al., 2021)
        | https://arxiv.org/abs/2109.04463

    Example:
        >>> vae = VAE((5,), 2, likelihood="poisson", missing="zero_and_mask")
        >>> predict(vae, torch.ones(3, 5), hidden=[1, 4]).mean.shape
        torch.Size([3, 2])
    """
    if not isinstance(x, Tensor):  # whose own check would ask to remove these data
        check_encodes_gaps(vae)
    if vae.missing_model is not None:
        raise IncompatibleComponents(
            "predict: expected a model without a missing_model, for which hidden positions would "
            "be missing because of their values; impute what is missing, or train one without"
        )
    gaps: Any = x.toarray() if hasattr(x, "toarray") else x
    mask = _hidden(hidden, vae.event_shape, list(getattr(x, "columns", ())))
    if isinstance(gaps, Tensor):
        gaps = torch.where(torch.as_tensor(mask, device=gaps.device), torch.nan, gaps)
    elif hasattr(gaps, "columns"):
        gaps = gaps.mask(np.broadcast_to(mask, gaps.shape))
    else:
        gaps = np.where(mask, np.nan, np.ma.filled(np.ma.asarray(gaps, dtype=float), np.nan))

    def taken(values: Any) -> Any:
        return values.loc[:, mask] if hasattr(values, "columns") else values[:, mask]

    found = impute(vae, gaps, draws=draws, samples=samples, seed=seed)
    drawn = [taken(one) for one in found.draws]
    return replace(found, mean=taken(found.mean), draws=drawn,
                   deviation=taken(found.deviation), stderr=taken(found.stderr))  # fmt: skip


def _hidden(hidden: Any, shape: tuple[int, ...], names: list[Any]) -> np.ndarray[Any, Any]:
    """Where the hidden positions are, booleans of the event's shape."""
    given = np.asarray(hidden.cpu() if isinstance(hidden, Tensor) else hidden)
    mask = np.zeros(shape, dtype=bool)
    if given.dtype == bool and given.shape == shape:
        mask = given
    elif given.dtype.kind in "iu" and len(shape) == 1 and not names:
        if given.size and -shape[0] <= given.min() and given.max() < shape[0]:
            mask[given] = True
    elif names and all(name in names for name in given.ravel().tolist()):
        mask[[names.index(name) for name in given.ravel().tolist()]] = True
    if mask.any() and not mask.all():
        return mask
    size = f"whole numbers from 0 to {shape[0] - 1}, or " if len(shape) == 1 else ""
    raise DataError(
        f"hidden: expected {'names of columns' if names else size + f'booleans of shape {shape}'}"
        f", some of the positions but not all, got {shown(hidden)}"
    )


def _sampled(vae: VAE, x: Tensor, draws: int, samples: int) -> tuple[Tensor, ...]:
    """Mean, deviation, error of the mean, effective sample size, and draws."""
    q = vae.encode(x)
    z = q.sample(torch.Size([samples]))  # (K, N, M)
    p = vae.decode(z, x)
    log_weights = p.log_prob(x) + vae.prior().log_prob(z) - q.log_prob(z)
    if not log_weights.isfinite().all():
        raise NonFiniteLoss(
            "log p(x_seen, z) - log q(z): expected finite values, got NaN or inf; look at the "
            "model's weights, or impute in float64"
        )
    share = log_weights.softmax(0)  # (K, N)
    weight = share.reshape(*share.shape, *(1 for _ in vae.event_shape))
    assert isinstance(p, Marginal)  # as check_encodes_gaps has it
    base = p.absent
    if isinstance(base, ByColumn):
        pieces = zip(base.parts, base.layout.split(weight.expand(p.mean.shape)), strict=True)
        found = [_moments(part, share_of_part) for part, share_of_part in pieces]
        mean, deviation, stderr = (
            base.layout.joined([moments[i] for moments in found]) for i in range(3)
        )
    else:
        mean, deviation, stderr = _moments(base, weight)

    def resampled(count: int) -> Tensor:
        index = torch.multinomial(share.mT, count, replacement=True).mT  # (L, N)
        return z.gather(0, index.unsqueeze(-1).expand(-1, -1, z.shape[-1]))

    return (
        mean,
        deviation,
        stderr,
        1 / share.square().sum(0),
        _drawn(vae, x, resampled, draws),
    )


def _moments(d: Any, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of the mixture over the draws: mean, deviation, and Monte Carlo error of the mean."""
    if isinstance(d, Categorical):
        each, weight = d.probs, weight.unsqueeze(-1)
    else:
        each = d.mean
    mean = (weight * each).sum(0)
    away = (each - mean).square()
    stderr = (weight.square() * away).sum(0).sqrt()
    if isinstance(d, Categorical):  # the most probable category, and how probable another is
        best = mean.argmax(-1, keepdim=True)
        return (
            best[..., 0].to(mean),
            1 - mean.gather(-1, best)[..., 0],
            stderr.gather(-1, best)[..., 0],
        )
    return mean, (weight * (d.variance + away)).sum(0).sqrt(), stderr


def _exact(vae: VAE, x: Tensor, draws: int) -> tuple[Tensor, ...]:
    """The same for a linear-Gaussian model."""
    linear = linear_gaussian(vae)
    assert linear is not None
    z = linear.posterior(x)
    mean = z.mean @ linear.weight.mT + linear.bias
    spread = (linear.weight @ z.scale_tril).square().sum(-1) + linear.scale.square()
    none = torch.zeros_like(x)
    shaped = (value.expand(mean.shape).reshape(x.shape) for value in (mean, spread.sqrt()))
    effective = x.new_full((len(x),), torch.inf)
    drawn = _drawn(vae, x, lambda count: z.sample(torch.Size([count])), draws)
    return *shaped, none, effective, drawn


def _drawn(vae: VAE, x: Tensor, codes: Callable[[int], Tensor], draws: int) -> Tensor:
    """Draws of x from p(x|z) at draws of z, ``(L, N, *event_shape)``."""
    if not draws:
        return x.new_empty(0, *x.shape)
    p: TorchDistribution = vae.decode(codes(draws), x)
    drawn: Tensor = (p.absent if isinstance(p, Marginal) else p).sample()
    return drawn


def _scale(vae: VAE, x: Any) -> Tensor | float:
    """By which a deviation becomes one in the units of x."""
    how = vae.standardization
    return 1.0 if how is None or isinstance(x, Tensor) else how.scale


def _completed(vae: VAE, x: Any, values: Tensor) -> Any:
    """The data with these values, as the model sees them, in place of those that are missing."""
    if isinstance(x, Tensor):
        return torch.where(x.isnan(), values, x)
    how = vae.standardization
    if how is not None and how.table is not None and hasattr(x, "columns"):
        table = own(values, how, x)
        return x[table.columns].where(x.notna(), table).astype(table.dtypes)
    mine = vae.inverse(values).cpu().numpy()
    if hasattr(x, "to_numpy"):
        return x.where(x.notna(), mine)
    filled = np.ma.filled(x, np.nan)
    return np.where(np.isnan(filled), mine, filled)
