"""A convolutional network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field, PositiveInt
from torch import nn

from pyro_vae.networks.layers import ACTIVATIONS, Activation
from pyro_vae.networks.picture_network import PictureNetwork

__all__ = ["Conv"]


class Conv(PictureNetwork):
    """Strided convolutions as an encoder of pictures, transposed convolutions as a decoder.

    An encoder has at each level a convolution (3 x 3, stride 2) and an activation, then one affine
    map. A decoder has one affine map, then at each level an activation and a transposed
    convolution (4 x 4, stride 2). The same declaration works for both, for any height and width.

    Shapes:
        maps ``(*, C, H, W)`` to ``(*, *output_shape)``, or ``(*, *input_shape)`` to
        ``(*, C, H, W)`` or ``(*, K, C, H, W)``.

    Args:
        input_shape: Shape of one input.
        output_shape: Shape of one output.
        channels: Channels of each level, from the picture inwards, each at least 1; each level
            halves the picture.
        activation: Activation between the convolutions.

    References:
        | Unsupervised representation learning with deep convolutional generative adversarial
        | networks (Radford et al., 2016), on strides in place of pooling
        | https://arxiv.org/abs/1511.06434

    Example:
        >>> import torch
        >>> Conv(input_shape=(3, 15, 8), output_shape=(2, 5), channels=[4, 8])(
        ...     torch.zeros(7, 3, 15, 8)
        ... ).shape
        torch.Size([7, 2, 5])
    """

    def __init__(
        self,
        input_shape: tuple[int, ...],
        output_shape: tuple[int, ...],
        channels: Annotated[Sequence[PositiveInt], Field(min_length=1)] = (32, 64),
        activation: Activation = "relu",
        **common: Any,
    ) -> None:
        super().__init__(input_shape, output_shape, channels, **common)
        self.activation = ACTIVATIONS[activation]
        self.build_levels()

    def level(self, before: int, after: int) -> nn.Module:
        """A strided convolution, or a transposed one."""
        if self.encodes:
            return nn.Sequential(
                nn.Conv2d(before, after, 3, stride=2, padding=1), self.activation()
            )
        return nn.Sequential(
            self.activation(), nn.ConvTranspose2d(before, after, 4, stride=2, padding=1)
        )
