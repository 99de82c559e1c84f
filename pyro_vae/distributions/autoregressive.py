"""Masked autoregressive transforms, from zuko."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn
from zuko.flows.autoregressive import MaskedAutoregressiveTransform
from zuko.transforms import MonotonicAffineTransform, MonotonicRQSTransform

from pyro_vae.core.errors import DeclarationError

__all__ = ["autoregressive_steps", "spline"]

COUPLING = 2


def autoregressive_steps(
    kind: str,
    latent_dim: int,
    count: int,
    hidden: int | None = None,
    context: int = 0,
    univariate: Callable[..., Any] = MonotonicAffineTransform,
    shapes: Sequence[tuple[int, ...]] = ((), ()),
    coupling: bool = False,
) -> nn.ModuleList:
    r"""Zuko's lazy transforms; every other one takes the dimensions in reverse order.

    .. math:: y_m = f(x_m; \theta_m(x_{<m}, c))

    ``step(c)(x)`` runs the masked network once; its inverse runs it once for each dimension, or
    twice with ``coupling``, where the second half of the dimensions depends on the first half
    alone. An affine f, the default, keeps each scale within [1e-3, 1e3]. The activation is tanh,
    so that large weights cannot overflow.

    Args:
        kind: The kind that messages name.
        latent_dim: Size M of x. If it is 1, f depends on the context alone.
        count: Number of transforms.
        hidden: Width of each network's hidden layer, at least M; None for 4 M, and at least 32.
        context: Size C of the context c, ``(*batch, C)``; 0 for none.
        univariate: Makes f from its parameters.
        shapes: Shapes of the parameters of f.
        coupling: Whether the dimensions form two halves.

    Raises:
        DeclarationError: if ``hidden`` is less than M.

    References:
        | MADE: masked autoencoder for distribution estimation (Germain et al., 2015)
        | https://arxiv.org/abs/1502.03509

    Example:
        >>> step = autoregressive_steps("iaf", latent_dim=3, count=1, context=2)[0]
        >>> step(torch.zeros(5, 2))(torch.zeros(5, 3)).shape
        torch.Size([5, 3])
    """
    hidden = max(32, 4 * latent_dim) if hidden is None else hidden
    if hidden < latent_dim:
        raise DeclarationError(
            f"{kind}.hidden: must be >= latent_dim ({latent_dim}), got {hidden}"
        )
    forwards = torch.arange(latent_dim)
    steps = nn.ModuleList(
        MaskedAutoregressiveTransform(
            latent_dim, context, passes=COUPLING if coupling else None,
            order=forwards.flip(0) if index % 2 else forwards,
            univariate=univariate, shapes=shapes, hidden_features=[hidden], activation=nn.Tanh,
        )
        for index in range(count)
    )  # fmt: skip
    for step in steps:  # one dimension without a context has no network, but free parameters
        for parameter in getattr(step, "phi", ()):
            nn.init.zeros_(parameter)
    return steps


def spline(bins: int, bound: float) -> dict[str, Any]:
    """Arguments of :func:`autoregressive_steps` for rational-quadratic splines.

    Args:
        bins: Number K of bins of each spline, at least 2.
        bound: B; a spline is increasing on [-B, B], and the identity outside.

    References:
        | Neural spline flows (Durkan et al., 2019)
        | https://arxiv.org/abs/1906.04032
    """
    univariate = partial(MonotonicRQSTransform, bound=float(bound))
    return {"univariate": univariate, "shapes": [(bins,), (bins,), (bins - 1,)]}
