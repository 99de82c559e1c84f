"""Convolutions over time."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

from pydantic import PositiveInt
from torch import Tensor, nn

from pyro_vae.core.errors import DeclarationError, IncompatibleComponents
from pyro_vae.core.network import Network
from pyro_vae.networks.layers import ACTIVATIONS, Activation

__all__ = ["TemporalConv"]


class TemporalConv(Network):
    """Convolutions over time with an activation between them, which keep the number of times.

    Time is the last dimension, of the input (of an encoder) or else of the output (of a decoder);
    all dimensions before it count as channels. A code is d values at each of T times,
    ``z.reshape(d, T)``, as under the prior ``gaussian_process``. With ``width: 1`` each time is
    mapped alone, by the same weights; with ``channels: []`` the map is affine. Beyond the ends of
    a sequence it sees zeros.

    Shapes:
        maps ``(*, *channels, T)`` to ``(*, *output_shape)``, or ``(*, d T)`` to
        ``(*, *channels, T)``.

    Args:
        input_shape: Shape of one input.
        output_shape: Shape of one output.
        channels: Channels of each hidden layer, from input to output, each at least 1.
        width: Number of time steps that each convolution sees, an odd number.
        activation: Activation after each hidden layer.

    Raises:
        IncompatibleComponents: if neither side has a time, or the other is no multiple of it.

    References:
        | An empirical evaluation of generic convolutional and recurrent networks for sequence
        | modeling (Bai et al., 2018) https://arxiv.org/abs/1803.01271

    Example:
        >>> import torch
        >>> TemporalConv(input_shape=(20, 16), output_shape=(2, 48), channels=[32])(
        ...     torch.zeros(7, 20, 16)
        ... ).shape
        torch.Size([7, 2, 48])
    """

    def __init__(
        self,
        input_shape: tuple[int, ...],
        output_shape: tuple[int, ...],
        channels: Sequence[PositiveInt] = (64,),
        width: PositiveInt = 3,
        activation: Activation = "relu",
        **common: Any,
    ) -> None:
        super().__init__(input_shape, output_shape, **common)
        if width % 2 == 0:
            raise DeclarationError(f"temporal_conv.width: must be odd, got {width}")
        self.affine = not channels
        self.joined = self.joins(input_shape, output_shape)
        widths = [self.joined[0], *channels, math.prod(output_shape) // self.joined[1]]
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(widths):
            layers += [nn.Conv1d(before, after, width, padding=width // 2)]
            layers += [ACTIVATIONS[activation]()]
        self.layers = nn.Sequential(*layers[:-1])

    @classmethod
    def joins(cls, input_shape: tuple[int, ...], output_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Channels and times of the input."""
        sides = [shape for shape in (input_shape, output_shape) if len(shape) > 1]
        times = sides[0][-1] if sides else 0
        sizes = math.prod(input_shape), math.prod(output_shape)
        if not times or any(size % times for size in sizes):
            raise IncompatibleComponents(
                f"temporal_conv: expected data (channels, time), as an encoder's input or a "
                f"decoder's output, and a multiple of the number of times on the other side, got "
                f"a map from {tuple(input_shape)} to {tuple(output_shape)}; for d values at each "
                f"of T times: latent_dim: d * T; for data without a time: mlp"
            )
        return sizes[0] // times, times

    def transform(self, x: Tensor) -> Tensor:
        """The layers in order."""
        y: Tensor = self.layers(x.reshape(x.shape[0], *self.joined))
        return y
