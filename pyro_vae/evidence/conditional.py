"""Conditional densities: log p(x_A | x_B) for any split of a datum into two parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pyro_vae.core.errors import DataError, IncompatibleComponents, at_least
from pyro_vae.core.modes import evaluating, isolated_copy
from pyro_vae.data.checks import AnyArray
from pyro_vae.evidence.estimate import error_of_mean
from pyro_vae.evidence.exact import linear_gaussian
from pyro_vae.evidence.importance import SAMPLES, importance_sampling
from pyro_vae.report.estimate import Estimate
from pyro_vae.vae import VAE

__all__ = ["ConditionalEstimate", "check_encodes_gaps", "conditional"]


@dataclass(frozen=True)
class ConditionalEstimate:
    """log p(x_A | x_B) in nats, one value for each datum.

    Args:
        log_prob: ``(N,)``.
        stderr: Monte Carlo standard error of each, ``(N,)``; 0 where exact.
        effective: The smaller effective sample size of the two integrals, ``(N,)``.
        samples: Number of draws for each integral; 0 where exact.
        estimator: The method and its settings.
    """

    log_prob: Tensor
    stderr: Tensor
    effective: Tensor
    samples: int
    estimator: str

    @property
    def mean(self) -> Estimate:
        """The mean over the data, in nats per datum."""
        error = error_of_mean(self.stderr)
        return Estimate.of(self.log_prob, error, estimator=self.estimator)


def conditional(
    vae: VAE,
    x: AnyArray,
    given: Any,
    *,
    samples: int = SAMPLES,
    seed: int = 0,
    show_progress: bool = False,
) -> ConditionalEstimate:
    r"""log p(x_A | x_B) for each datum: B is where ``given`` is True, A is the rest.

    .. math:: \log p(x_A \mid x_B) = \log p(x_A, x_B) - \log p(x_B)

    It is exact for a linear decoder with a Gaussian likelihood and a normal prior. For
    any other model both terms are estimated by importance samples from q(z | x_A, x_B) and from
    q(z | x_B), with independent draws, so that each has the proposal that it needs. A value of x
    that is missing (NaN) belongs to neither part. With a missing model x_A is what is missing, and
    that is given too: log p(x_A | x_B, S = B). The density is of x as the model sees it: z-scores,
    if it was trained on such.

    Args:
        vae: The model; its encoder must know missing values, unless the answer is exact.
        x: Data, ``(N, *event_shape)``, as ``vae.encode`` takes them.
        given: Booleans, ``(N, *event_shape)`` or what broadcasts to it.
        samples: Number of draws for each integral and datum, at least 2.
        seed: Seed of the draws.
        show_progress: Whether to show a progress bar.

    Raises:
        DataError: if ``given`` is not of booleans, or its shape does not fit.
        IncompatibleComponents: if the encoder does not know missing values.
        NonFiniteLoss: if a weight is NaN or infinite.

    References:
        | MIWAE: deep generative modelling and imputation of incomplete data sets
        | (Mattei and Frellsen, 2019) https://arxiv.org/abs/1812.02633

    Example:
        >>> vae = VAE((4,), 2, missing="zero_and_mask")
        >>> conditional(vae, torch.randn(3, 4), given=[True, True, False, False]).log_prob.shape
        torch.Size([3])
    """  # noqa: D403
    at_least(2, samples=samples)
    data = vae._data(x)
    part = torch.where(_given(given, data), data, torch.nan)
    with isolated_copy(vae, torch.float64, seed) as model:
        linear = linear_gaussian(model)
        if linear is not None:
            both, one = (linear.log_evidence(v.double()) for v in (data, part))
            none = torch.zeros_like(both).cpu()
            return ConditionalEstimate((both - one).cpu(), none, none, 0, "exact")
    check_encodes_gaps(vae)
    options: Any = {"samples": samples, "show_progress": show_progress}
    whole = importance_sampling(vae, data, seed=seed, **options)
    seen = importance_sampling(vae, part, seed=(seed + 1) % 2**32, **options)
    return ConditionalEstimate(
        whole.log_evidence - seen.log_evidence + _log_odds(vae, data, part),
        (whole.stderr.square() + seen.stderr.square()).sqrt(),
        torch.minimum(whole.effective, seen.effective),
        samples,
        f"importance sampling of log p(x_A, x_B) and log p(x_B), K = {samples:,}, seed {seed}",
    )


@torch.no_grad()
def _log_odds(vae: VAE, x: Tensor, part: Tensor) -> Tensor | float:
    """What makes of the probability that x_A was seen the one that it is missing, ``(N,)``."""
    if vae.missing_model is None:
        return 0.0
    with evaluating(vae):
        z = x.new_zeros(len(x), vae.latent_dim)  # on which the odds do not depend
        odds = vae.decode(z).log_odds(x)
    hidden = part.isnan() & ~x.isnan()
    return torch.where(hidden, odds, 0.0).flatten(1).sum(1).double().cpu()


def check_encodes_gaps(vae: VAE) -> None:
    """Refuse a model that has no q(z | x_B) for a part of a datum.

    Raises:
        IncompatibleComponents: saying what to declare.
    """
    if vae.missing == "none" or not vae.posterior.amortized:
        raise IncompatibleComponents(
            f"Expected a model whose encoder knows missing values, got missing: {vae.missing}, "
            f"posterior: {vae.posterior.kind}; train one with missing: zero_and_mask and an "
            f"amortized posterior"
        )


def _given(given: Any, x: Tensor) -> Tensor:
    mask = torch.as_tensor(getattr(given, "to_numpy", lambda: given)(), device=x.device)
    try:
        fits = mask.dtype == torch.bool and torch.broadcast_to(mask, x.shape) is not None
    except RuntimeError:
        fits = False
    if not fits:
        raise DataError(
            f"given: expected booleans of shape {tuple(x.shape)} or what broadcasts to it, True "
            f"where x is given, got {str(mask.dtype)[6:]} of shape {tuple(mask.shape)}"
        )
    return mask
