"""Gradient estimators for the guide: their names and building blocks."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from pyro_vae.core.errors import DeclarationError

__all__ = ["Estimator", "leave_one_out", "refuse", "vimco_baseline", "without_score"]

Estimator = Literal["pathwise", "sticking_the_landing", "doubly_reparameterized", "score_function"]


def without_score(log_posterior: Tensor, at_fixed_draws: Tensor) -> Tensor:
    """Log q(z|x) with the gradient through z alone; the value is unchanged.

    Args:
        log_posterior: log q(z|x) at the draws, in nats.
        at_fixed_draws: The same at detached draws; its gradient is the score.

    References:
        | Sticking the landing (Roeder et al., 2017)
        | https://arxiv.org/abs/1703.09194

    Example:
        >>> loc = torch.tensor(1.0, requires_grad=True)
        >>> z = loc + 2.0
        >>> def log_q(z):
        ...     return -0.5 * (z - loc) ** 2
        >>> without_score(log_q(z), log_q(z.detach())).backward()
        >>> loc.grad  # -(z - loc), the path through z alone; the whole gradient is 0
        tensor(-2.)
    """
    return log_posterior - (at_fixed_draws - at_fixed_draws.detach())


def leave_one_out(values: Tensor) -> Tensor:
    """The mean of the other particles, ``(K, *)``: a baseline independent of each one.

    Example:
        >>> leave_one_out(torch.tensor([1.0, 2.0, 6.0]))
        tensor([4.0000, 3.5000, 1.5000])
    """
    return (values.sum(0) - values) / (len(values) - 1)


def vimco_baseline(log_weights: Tensor) -> Tensor:
    r"""For each particle the bound with its weight replaced by the others' geometric mean.

    .. math:: \log \frac1K \Big( \sum_{j \ne k} w_j + \exp \frac{1}{K - 1} \sum_{j \ne k} \log w_j
              \Big)

    Args:
        log_weights: ``(K, N)``, in nats.

    Returns:
        ``(K, N)``; row k does not depend on particle k.

    References:
        | Variational inference for Monte Carlo objectives (Mnih and Rezende, 2016)
        | https://arxiv.org/abs/1602.06725

    Example:
        >>> vimco_baseline(torch.zeros(3, 1)).flatten()
        tensor([0., 0., 0.])
    """
    count = len(log_weights)
    left_out = torch.eye(count, dtype=torch.bool, device=log_weights.device).unsqueeze(-1)
    replaced = torch.where(left_out, leave_one_out(log_weights).unsqueeze(1), log_weights)
    return replaced.logsumexp(1) - math.log(count)


def refuse(kind: str, estimator: Estimator, particles: int, meaningless: dict[str, str]) -> None:
    """Refuse an estimator that does not apply to an objective.

    Args:
        kind: The objective's kind.
        estimator: The requested estimator.
        particles: Draws for each datum.
        meaningless: The reason for each estimator that does not apply.

    Raises:
        DeclarationError: with the reason.
    """
    reason = meaningless.get(estimator)
    if estimator == "score_function" and particles < 2:
        reason = (
            "score_function needs particles >= 2, since each particle's baseline is made of the "
            f"others, got particles {particles}"
        )
    if reason is not None:
        raise DeclarationError(f"{kind}.estimator: {reason}", "The objective")
