"""The models that are timed, and the matrix products that each is made of."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any, NamedTuple, Self

__all__ = ["BY_KEY", "GROWTH", "SIZES", "Layer", "Product", "Size"]

CHUNK_FLOPS = 1.4e10  # in one chunk of steps, beyond which a chunk is made shorter
LONGEST_CHUNK = 32  # steps


@dataclass(frozen=True)
class Layer:
    """An affine map or a convolution, as a matrix product ``(batch * rows, k) @ (k, n)``.

    Args:
        name: What its weights are called.
        shape: Of its weights, as PyTorch lays them out.
        biases: How many.
        rows: Positions of the picture that one datum contributes; 1 for an affine map.
        transposed: Whether it is a transposed convolution.
    """

    name: str
    shape: tuple[int, ...]
    biases: int
    rows: int = 1
    transposed: bool = False

    @property
    def inputs(self) -> int:
        """k, the inner size of the product."""
        return self.shape[0] if self.transposed else self.fan_in

    @property
    def outputs(self) -> int:
        """n, the columns of the product."""
        return self.fan_in if self.transposed else self.shape[0]

    @property
    def fan_in(self) -> int:
        """What bounds the first weights, as PyTorch counts it."""
        return math.prod(self.shape[1:])

    @property
    def parameters(self) -> int:
        """Weights and biases."""
        return math.prod(self.shape) + self.biases


class Product(NamedTuple):
    """A matrix product ``(m, k) @ (k, n)`` of one layer.

    Args:
        of: ``output`` of the layer; or the gradient of its ``weights`` or of its ``input``.
        m: Rows.
        k: Terms of a sum.
        n: Columns.
        binary: Which of the two matrices (0 or 1) holds 0s and 1s alone, if one.
    """

    of: str
    m: int
    k: int
    n: int
    binary: int | None = None


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

    @property
    def inner(self) -> int:
        """Size of a conv net's innermost pictures."""
        return self.channels[-1] * self.sides()[-1] ** 2

    def sides(self) -> list[int]:
        """Side of a conv net's square picture at each level, from the picture inwards."""
        sides = [self.event_shape[-1]]
        for _ in self.channels:
            sides.append(-(-sides[-1] // 2))
        return sides

    def layers(self) -> list[Layer]:
        """All of them; the first is the one that reads the data."""
        return [*self._encoder(), *self._flow(), *self._decoder()]

    def _encoder(self) -> Iterator[Layer]:
        if not self.channels:
            yield from _mlp("encoder", self.pixels, *self.hidden, self.encoded)
            return
        pairs = pairwise((self.event_shape[0], *self.channels))
        for level, (before, after) in enumerate(pairs):
            rows = self.sides()[level + 1] ** 2
            yield Layer(f"encoder.{level}", (after, before, 3, 3), after, rows)
        yield _affine(f"encoder.{len(self.channels)}", self.inner, self.encoded)

    def _flow(self) -> Iterator[Layer]:
        for step in range(self.flow_steps):
            widths = (self.latent + self.context, self.flow_hidden, 2 * self.latent)
            yield from _mlp(f"flow{step}", *widths)

    def _decoder(self) -> Iterator[Layer]:
        if not self.channels:
            yield from _mlp("decoder", self.latent, *reversed(self.hidden), self.pixels)
            return
        yield _affine("decoder.0", self.latent, self.inner)
        pairs = pairwise((*reversed(self.channels), self.event_shape[0]))
        for level, (before, after) in enumerate(pairs, 1):
            rows = self.sides()[-level] ** 2
            yield Layer(f"decoder.{level}", (before, after, 4, 4), after, rows, transposed=True)

    @property
    def parameters(self) -> int:
        """How many numbers are learned: what every contender must have, to the last one."""
        return sum(layer.parameters for layer in self.layers())

    def products(self) -> list[Product]:
        """The matrix products of one step, forward and backward.

        A layer takes three of them, of equally many operations. The first layer's input is the
        data, which need no gradient.
        """
        found = []
        for place, layer in enumerate(self.layers()):
            m, k, n = self.batch * layer.rows, layer.inputs, layer.outputs
            black_and_white = not place and not self.channels
            left, right = (0, 1) if black_and_white else (None, None)
            found += [Product("output", m, k, n, left), Product("weights", n, m, k, right)]
            found += [Product("input", m, n, k)] if place else []
        return found

    @property
    def flops(self) -> int:
        """Floating-point operations of the matrix products of one step."""
        return sum(2 * each.m * each.k * each.n for each in self.products())

    @property
    def steps(self) -> int:
        """Steps in a chunk: what is handed to a contender at a time."""
        return max(2, min(LONGEST_CHUNK, int(CHUNK_FLOPS / self.flops)))


def _affine(name: str, inputs: int, outputs: int) -> Layer:
    return Layer(name, (outputs, inputs), outputs)


def _mlp(name: str, *widths: int) -> Iterator[Layer]:
    for place, (inputs, outputs) in enumerate(pairwise(widths)):
        yield _affine(f"{name}.{place}", inputs, outputs)


MNIST_MLP = Size("mnist", "MNIST MLP, 784-400-20, batch 128", (784,), 20, 128, (400,))

SIZES = (
    Size("digits", "digits MLP, 64-64-8, batch 64", (64,), 8, 64, (64,)),
    MNIST_MLP,
    Size("iwae", "IWAE paper's net, 784-200-200-50 tanh, batch 20", (784,), 50, 20, (200, 200),
         activation="tanh"),
    Size("conv", "conv net, 1 x 28 x 28, latent 20, batch 128", (1, 28, 28),
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
