"""A convolutional network of residual blocks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from pyro_vae.core.bounds import Layers
from pyro_vae.networks.layers import ACTIVATIONS, Activation
from pyro_vae.networks.picture_network import PictureNetwork

__all__ = ["Resnet"]


class Resnet(PictureNetwork):
    r"""Convolutions with residual blocks at each size of the picture, as encoder or decoder.

    .. math:: h \leftarrow h + W_2\, a(W_1\, a(h))

    with a the activation and W 3 x 3 convolutions; the size changes by the strided or transposed
    convolutions of ``conv``. There is no batch normalization, so that a datum's ELBO does not
    depend on its batch. Instead, W_2 is initially divided by the root of the number of blocks,
    so that activations do not grow with depth.

    Shapes:
        maps ``(*, C, H, W)`` to ``(*, *output_shape)``, or ``(*, *input_shape)`` to
        ``(*, C, H, W)`` or ``(*, K, C, H, W)``.

    Args:
        input_shape: Shape of one input.
        output_shape: Shape of one output.
        channels: Channels of each level, from the picture inwards, each at least 1; each level
            halves the picture.
        blocks: Residual blocks at each level, at least 1.
        activation: Activation before each convolution.

    References:
        | Identity mappings in deep residual networks (He et al., 2016), for the form of the block
        | https://arxiv.org/abs/1603.05027
        | Very deep VAEs generalize autoregressive models (Child, 2021), for the initial scale
        | https://arxiv.org/abs/2011.10650

    Example:
        >>> Resnet(input_shape=(3, 15, 8), output_shape=(2, 5), channels=[4, 8])(
        ...     torch.zeros(7, 3, 15, 8)
        ... ).shape
        torch.Size([7, 2, 5])
    """

    def __init__(
        self,
        input_shape: tuple[int, ...],
        output_shape: tuple[int, ...],
        channels: Annotated[Sequence[PositiveInt], Field(min_length=1)] = (32, 64),
        blocks: Layers = 2,
        activation: Activation = "relu",
        **common: Any,
    ) -> None:
        super().__init__(input_shape, output_shape, channels, **common)
        self.blocks, self.activation = blocks, ACTIVATIONS[activation]
        self.shrink = 1 / math.sqrt(blocks * len(channels))
        self.build_levels()

    def level(self, before: int, after: int) -> nn.Module:
        """Residual blocks, after a strided convolution or before a transposed one."""
        width = after if self.encodes else before
        blocks = [Residual(width, self.activation, self.shrink) for _ in range(self.blocks)]
        if self.encodes:
            down = nn.Conv2d(before, after, 3, stride=2, padding=1)
            return nn.Sequential(down, *blocks, self.activation())
        up = nn.ConvTranspose2d(before, after, 4, stride=2, padding=1)
        return nn.Sequential(*blocks, self.activation(), up)


class Residual(nn.Module):
    """One residual block: ``(B, C, H, W)`` to the same shape.

    Args:
        width: Number of channels.
        activation: Activation before each convolution.
        shrink: Initial factor of the last convolution.
    """

    def __init__(self, width: int, activation: type[nn.Module], shrink: float) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            activation(),
            nn.Conv2d(width, width, 3, padding=1),
            activation(),
            last := nn.Conv2d(width, width, 3, padding=1),
        )
        with torch.no_grad():
            last.weight.mul_(shrink)

    def forward(self, h: Tensor) -> Tensor:
        """The input plus the branch's output."""
        added: Tensor = self.branch(h)
        return h + added
