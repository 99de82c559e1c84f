"""The models that are timed, and the matrix products that each is made of."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any, Self

__all__ = ["BY_KEY", "GROWTH", "SIZES", "Layer", "Size"]

CHUNK_FLOPS = 3.2e10  # in one chunk of steps, beyond which a chunk is made shorter
LONGEST_CHUNK = 32  # steps


@dataclass(frozen=True)
class Layer:
    """An affine map or a convolution, as a matrix product ``(batch * rows, k) @ (k, n)``.

    Args:
        rows: Positions of the picture that one datum contributes; 1 for an affine map.
        inputs: k, the inner size of the product.
        outputs: n, the columns of the product.
        parameters: Weights and biases.
    """

    rows: int
    inputs: int
    outputs: int
    parameters: int


@dataclass(frozen=True)
class Size:
    """A Bernoulli VAE with a standard normal prior, the same for every contender.

    Args:
        key: What ``--only`` calls it.
        name: What the tables call it.
        event_shape: Shape of one datum; ``(D,)``, or ``(1, H, W)`` for a conv net.
        latent: Size M of the latent code.
        batch: Data in one step.
        hidden: Widths of the encoder's hidden layers; the decoder has them in reverse.
        channels: Channels of a conv net's levels, in place of ``hidden``.
        activation: ``relu`` or ``tanh``.
        flow_steps: Steps of an inverse autoregressive flow in the guide; 0 for a diagonal normal.
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

    @classmethod
    def of(cls, given: dict[str, Any]) -> Self:
        """A size from its JSON, as :meth:`json` gives it."""
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in given.items()})

    def json(self) -> dict[str, Any]:
        """The size as a worker is told it."""
        return asdict(self)

    @property
    def pixels(self) -> int:
        """D, the number of dimensions of a datum."""
        return math.prod(self.event_shape)

    @property
    def context(self) -> int:
        """Size of what the encoder hands to the flow."""
        return 16 if self.flow_steps else 0

    @property
    def encoded(self) -> int:
        """What the encoder puts out: means, log scales and the flow's context."""
        return 2 * self.latent + self.context

    @property
    def flow_hidden(self) -> int:
        """Width of the hidden layer of each of the flow's masked networks."""
        return max(32, 4 * self.latent)

    def sides(self) -> list[int]:
        """Side of a conv net's square picture at each level, from the picture inwards."""
        sides = [self.event_shape[-1]]
        for _ in self.channels:
            sides.append(-(-sides[-1] // 2))
        return sides

    def encoder_layers(self) -> Iterator[Layer]:
        """The encoder's layers, the one that reads the data first."""
        if self.channels:
            channels = (self.event_shape[0], *self.channels)
            for (before, after), side in zip(pairwise(channels), self.sides()[1:], strict=True):
                yield Layer(side**2, 9 * before, after, 9 * before * after + after)
            yield _affine(self.channels[-1] * self.sides()[-1] ** 2, self.encoded)
        else:
            yield from _mlp(self.pixels, *self.hidden, self.encoded)

    def decoder_layers(self) -> Iterator[Layer]:
        """The flow's layers, if there are any, and the decoder's."""
        for _ in range(self.flow_steps):
            yield from _mlp(self.latent + self.context, self.flow_hidden, 2 * self.latent)
        if self.channels:
            yield _affine(self.latent, self.channels[-1] * self.sides()[-1] ** 2)
            channels = (*reversed(self.channels), self.event_shape[0])
            sides = reversed(self.sides()[1:])
            for (before, after), side in zip(pairwise(channels), sides, strict=True):
                yield Layer(side**2, before, 16 * after, 16 * before * after + after)
        else:
            yield from _mlp(self.latent, *reversed(self.hidden), self.pixels)

    @property
    def parameters(self) -> int:
        """How many numbers are learned: what every contender must have, to the last one."""
        layers = (*self.encoder_layers(), *self.decoder_layers())
        return sum(layer.parameters for layer in layers)

    def products(self) -> list[tuple[int, int, int]]:
        """The matrix products of one step, forward and backward, as sizes ``(m, k, n)``.

        A layer takes three of them, of equally many operations: its output, the gradient of its
        weights and that of its input. The first layer's input is the data, which need none.
        """
        layers = [*self.encoder_layers(), *self.decoder_layers()]
        found = []
        for place, layer in enumerate(layers):
            m, k, n = self.batch * layer.rows, layer.inputs, layer.outputs
            found += [(m, k, n), (k, m, n)] + ([(m, n, k)] if place else [])
        return found

    @property
    def flops(self) -> int:
        """Floating-point operations of the matrix products of one step."""
        return sum(2 * m * k * n for m, k, n in self.products())

    @property
    def steps(self) -> int:
        """Steps in a chunk: what is handed to a contender at a time."""
        return max(2, min(LONGEST_CHUNK, int(CHUNK_FLOPS / self.flops)))


def _affine(inputs: int, outputs: int) -> Layer:
    return Layer(1, inputs, outputs, inputs * outputs + outputs)


def _mlp(*widths: int) -> Iterator[Layer]:
    for inputs, outputs in pairwise(widths):
        yield _affine(inputs, outputs)


MNIST_MLP = Size("mnist", "MNIST MLP, 784-400-20, batch 128", (784,), 20, 128, (400,))

SIZES = (
    Size("digits", "digits MLP, 64-64-8, batch 64", (64,), 8, 64, (64,)),
    MNIST_MLP,
    Size("iwae", "IWAE paper's net, 784-200-200-50 tanh, batch 20", (784,), 50, 20, (200, 200),
         activation="tanh"),
    Size("conv", "conv net, 1 x 28 x 28, 32 and 64 channels, latent 20, batch 128", (1, 28, 28),
         20, 128, channels=(32, 64)),
    Size("flow", "flow guide, 784-400-20, IAF of 2 steps, batch 128", (784,), 20, 128, (400,),
         flow_steps=2),
)  # fmt: skip

BY_KEY = {size.key: size for size in SIZES}

GROWTH: dict[str, tuple[tuple[int, Size], ...]] = {
    "batch": tuple((n, replace(MNIST_MLP, batch=n)) for n in (32, 128, 512, 2048, 8192)),
    "latent": tuple((n, replace(MNIST_MLP, latent=n)) for n in (2, 8, 32, 128, 512)),
    "hidden": tuple((n, replace(MNIST_MLP, hidden=(n,))) for n in (64, 256, 1024, 2048)),
}
