"""The base class of convolutional networks."""

from __future__ import annotations

import itertools
import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from pyro_vae.core.errors import IncompatibleComponents
from pyro_vae.core.network import Network

__all__ = ["PictureNetwork"]


class PictureNetwork(Network):
    """A network with pictures as input or output, whose size halves or doubles at each level.

    It is an encoder if its input has the form (C, H, W), and a decoder if only its output has; all
    dimensions before the last two count as channels. Sizes are halved rounding up, so that any
    height and width is possible.

    How to write one: as any :class:`~pyro_vae.core.network.Network`, with ``level`` instead of
    ``transform``, and a constructor that ends with ``self.build_levels()``. An affine map follows
    the levels of an encoder, and precedes those of a decoder.

    Args:
        input_shape: Shape of one input.
        output_shape: Shape of one output.
        channels: Channels of each level, from the picture inwards.

    Raises:
        IncompatibleComponents: if neither the input nor the output is a picture.
    """

    def __init__(
        self,
        input_shape: tuple[int, ...],
        output_shape: tuple[int, ...],
        channels: Sequence[int],
        **common: Any,
    ) -> None:
        super().__init__(input_shape, output_shape, **common)
        self.encodes = len(self.input_shape) >= 3
        picture = self.input_shape if self.encodes else self.output_shape
        if len(picture) < 3:
            raise IncompatibleComponents(
                f"{self.kind}: expected pictures (C, H, W) as an encoder's input or a decoder's "
                f"output, got a map from {self.input_shape} to {self.output_shape}; give pictures "
                "without colors a channel (x[:, None]), or choose the network mlp"
            )
        self.sizes = [(picture[-2], picture[-1])]
        for _ in channels:
            self.sizes.append((-(-self.sizes[-1][0] // 2), -(-self.sizes[-1][1] // 2)))
        inwards = [math.prod(picture[:-2]), *channels]
        pairs = list(itertools.pairwise(inwards))
        self.inner_shape = (inwards[-1], *self.sizes[-1])
        inner = math.prod(self.inner_shape)
        if self.encodes:
            self.widths = pairs
            self.affine = nn.Linear(inner, math.prod(self.output_shape))
        else:
            self.widths = [(after, before) for before, after in reversed(pairs)]
            self.affine = nn.Linear(math.prod(self.input_shape), inner)

    @classmethod
    def joins(cls, input_shape: tuple[int, ...], output_shape: tuple[int, ...]) -> tuple[int, ...]:
        """The picture, or the code, as it is."""
        return tuple(input_shape)

    @abstractmethod
    def level(self, before: int, after: int) -> nn.Module:
        """Maps pictures of ``before`` channels to pictures of ``after``.

        In an encoder (``self.encodes``) the size halves, rounding up; in a decoder it doubles,
        and a surplus row or column is cut off.
        """

    def build_levels(self) -> None:
        """Create the levels; called when the constructor has set all that ``level`` needs."""
        self.levels = nn.ModuleList(self.level(*pair) for pair in self.widths)

    def transform(self, x: Tensor) -> Tensor:
        """Apply the levels, after or before the affine map."""
        if self.encodes:
            h = x.reshape(x.shape[0], self.widths[0][0], *self.sizes[0])
            for level in self.levels:
                h = level(h)
            y: Tensor = self.affine(h.flatten(1))
            return y
        h = self.affine(x.reshape(x.shape[0], math.prod(self.input_shape)))
        h = h.reshape(x.shape[0], *self.inner_shape)
        for level, (height, width) in zip(self.levels, reversed(self.sizes[:-1]), strict=True):
            h = level(h)[..., :height, :width]
        return h
