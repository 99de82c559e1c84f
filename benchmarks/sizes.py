"""The models that are timed."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["BY_KEY", "MNIST_MLP", "SIZES", "Size"]


@dataclass(frozen=True)
class Size:
    """A Bernoulli VAE with a standard normal prior, the same for every contender.

    Args:
        key: Its name on the command line.
        name: Its name in the tables.
        event_shape: Shape of one datum; ``(D,)``, or ``(1, H, W)`` for a conv net.
        latent: Size M of the latent code.
        batch: Data in one step.
        hidden: Widths of the encoder's hidden layers; the decoder reverses them.
        channels: Channels of each level of a conv net, instead of ``hidden``.
        activation: ``relu`` or ``tanh``.
        flow_steps: Steps of an inverse autoregressive flow in the guide; 0 for a diagonal normal.
        steps: Training steps in a chunk: a contender is given a chunk at a time.
    """

    key: str
    name: str
    event_shape: tuple[int, ...]
    latent: int
    batch: int
    hidden: tuple[int, ...] = ()
    channels: tuple[int, ...] = ()
    activation: str = "relu"
    flow_steps: int = 0
    steps: int = 32

    @property
    def pixels(self) -> int:
        """D, the number of dimensions of a datum."""
        return math.prod(self.event_shape)

    @property
    def context(self) -> int:
        """Size of the flow's context, an output of the encoder."""
        return 16 if self.flow_steps else 0

    @property
    def encoded(self) -> int:
        """The encoder's output: means, log scales and the flow's context."""
        return 2 * self.latent + self.context

    @property
    def flow_hidden(self) -> int:
        """Width of the hidden layer of each of the flow's masked networks."""
        return max(32, 4 * self.latent)

    @property
    def inner(self) -> int:
        """Size of a conv net's innermost feature maps."""
        return self.channels[-1] * self.sides()[-1] ** 2

    def sides(self) -> list[int]:
        """Side of a conv net's square feature maps at each level, from the picture inwards."""
        sides = [self.event_shape[-1]]
        for _ in self.channels:
            sides.append(-(-sides[-1] // 2))
        return sides


MNIST_MLP = Size("mnist", "MNIST MLP, 784-400-20, batch 128", (784,), 20, 128, (400,))

SIZES = (
    Size("digits", "digits MLP, 64-64-8, batch 64", (64,), 8, 64, (64,)),
    MNIST_MLP,
    Size("iwae", "IWAE paper's net, 784-200-200-50 tanh, batch 20", (784,), 50, 20, (200, 200),
         activation="tanh"),
    Size("conv", "conv net, 1 x 28 x 28, latent 20, batch 128", (1, 28, 28),
         20, 128, channels=(32, 64), steps=6),
    Size("flow", "flow guide, 784-400-20, IAF of 2 steps, batch 128", (784,), 20, 128, (400,),
         flow_steps=2),
)  # fmt: skip

BY_KEY = {size.key: size for size in SIZES}
