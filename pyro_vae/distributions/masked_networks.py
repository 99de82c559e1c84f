"""The masked networks of autoregressive flows."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from pyro.nn import AutoRegressiveNN, ConditionalAutoRegressiveNN
from torch import nn

from pyro_vae.core.errors import DeclarationError

__all__ = ["masked_networks", "width"]


def width(kind: str, latent_dim: int, hidden: int | None) -> int:
    """The width of a masked network's hidden layer: as declared, or 4 M and at least 32.

    Raises:
        DeclarationError: if it is less than M, which a masked network cannot do with.
    """
    if hidden is None:
        return max(32, 4 * latent_dim)
    if hidden < latent_dim:
        raise DeclarationError(
            f"{kind}.hidden: must be >= latent_dim ({latent_dim}), got {hidden}"
        )
    return hidden


def masked_networks(
    latent_dim: int, parameters: list[int], hidden: int, count: int = 1, context: int = 0
) -> nn.ModuleList:
    """Masked networks, one for each transform, which take the dimensions in turned order.

    The activation is tanh, so that large weights give large numbers but no infinite ones. In one
    dimension a network sees no x, and its transform does not depend on it.

    Args:
        latent_dim: Size M of x.
        parameters: How many parameters of each sort a dimension of x has.
        hidden: Width of the hidden layer, at least M.
        count: How many networks.
        context: Size C of what the networks take beside x.

    References:
        | MADE: masked autoencoder for distribution estimation (Germain et al., 2015)
        | https://arxiv.org/abs/1502.03509

    Example:
        >>> mean, log_scale = masked_networks(3, [1, 1], hidden=8)[0](torch.zeros(5, 3))
        >>> mean.shape
        torch.Size([5, 3])
    """
    networks = nn.ModuleList()
    for index in range(count):
        order = torch.arange(latent_dim)
        order = order.flip(0) if index % 2 else order
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="ConditionalAutoRegressiveNN input_dim = 1")
            options: dict[str, Any] = {
                "param_dims": parameters,
                "permutation": order,
                "nonlinearity": nn.Tanh(),
            }
            networks.append(
                ConditionalAutoRegressiveNN(latent_dim, context, [hidden], **options)
                if context
                else AutoRegressiveNN(latent_dim, [hidden], **options)
            )
    return networks
