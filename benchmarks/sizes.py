"""The models that are timed, and the layers that each is made of."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Self

__all__ = ["BY_KEY", "MNIST_MLP", "SIZES", "Layer", "Size"]


@dataclass(frozen=True)
class Layer:
    """A linear layer or a convolution.

    Args:
        name: Prefix of the names of its weights.
        shape: Shape of its weights in PyTorch.
        biases: Number of biases.
        transposed: Whether it is a transposed convolution.
    """

    name: str
    shape: tuple[int, ...]
    biases: int
    transposed: bool = False

    @property
    def fan_in(self) -> int:
        """What bounds the initial weights, as PyTorch counts it."""
        return math.prod(self.shape[1:])

    @property
    def parameters(self) -> int:
        """Weights and biases."""
        return math.prod(self.shape) + self.biases


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

    @classmethod
    def of(cls, given: dict[str, Any]) -> Self:
        """A size from the JSON that :meth:`json` writes."""
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in given.items()})

    def json(self) -> dict[str, Any]:
        """The size as it is sent to a worker."""
        return asdict(self)

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

    def layers(self) -> list[Layer]:
        """All layers; the first one reads the data."""
        return [*self._encoder(), *self._flow(), *self._decoder()]

    def _encoder(self) -> Iterator[Layer]:
        if not self.channels:
            yield from _mlp("encoder", self.pixels, *self.hidden, self.encoded)
            return
        pairs = pairwise((self.event_shape[0], *self.channels))
        for level, (before, after) in enumerate(pairs):
            yield Layer(f"encoder.{level}", (after, before, 3, 3), after)
        yield _linear(f"encoder.{len(self.channels)}", self.inner, self.encoded)

    def _flow(self) -> Iterator[Layer]:
        for step in range(self.flow_steps):
            widths = (self.latent + self.context, self.flow_hidden, 2 * self.latent)
            yield from _mlp(f"flow{step}", *widths)

    def _decoder(self) -> Iterator[Layer]:
        if not self.channels:
            yield from _mlp("decoder", self.latent, *reversed(self.hidden), self.pixels)
            return
        yield _linear("decoder.0", self.latent, self.inner)
        pairs = pairwise((*reversed(self.channels), self.event_shape[0]))
        for level, (before, after) in enumerate(pairs, 1):
            yield Layer(f"decoder.{level}", (before, after, 4, 4), after, transposed=True)

    @property
    def parameters(self) -> int:
        """Number of learned values, which every contender must match exactly."""
        return sum(layer.parameters for layer in self.layers())


def _linear(name: str, inputs: int, outputs: int) -> Layer:
    return Layer(name, (outputs, inputs), outputs)


def _mlp(name: str, *widths: int) -> Iterator[Layer]:
    for place, (inputs, outputs) in enumerate(pairwise(widths)):
        yield _linear(f"{name}.{place}", inputs, outputs)


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
