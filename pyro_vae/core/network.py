"""The contract of an encoder or decoder network."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pyro_vae.core.declarable import Declarable
from pyro_vae.core.declaration import Declared
from pyro_vae.core.errors import IncompatibleComponents

__all__ = ["ModuleNetwork", "Network", "network_for"]


class BatchedNetwork(nn.Module, ABC):
    """Batching and shape checks for every network.

    Args:
        input_shape: Shape of one input.
        output_shape: Shape of one output.
    """

    def __init__(self, input_shape: tuple[int, ...], output_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.input_shape = tuple(input_shape)
        self.output_shape = tuple(output_shape)

    @abstractmethod
    def transform(self, x: Tensor) -> Tensor:
        """Map ``(B, *input_shape)`` to B outputs, ``(B, *output_shape)`` or flattened."""

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(*batch, *input_shape)`` to ``(*batch, *output_shape)``.

        Raises:
            IncompatibleComponents: if the input or the output has another shape.
        """
        split = x.dim() - len(self.input_shape)
        batch, event = tuple(x.shape[: max(split, 0)]), tuple(x.shape[max(split, 0) :])
        if split < 0 or event != self.input_shape:
            raise IncompatibleComponents(
                f"{self.label}: expected an input of shape {_with_batch(self.input_shape)}, "
                f"got {tuple(x.shape)}"
            )
        y = self.transform(x.reshape(-1, *self.input_shape))
        rows = math.prod(batch)
        if y.dim() < 1 or y.shape[0] != rows or y.numel() != rows * math.prod(self.output_shape):
            raise IncompatibleComponents(
                f"{self.label}: expected an output of shape {_with_batch(self.output_shape)} "
                f"(or the same number of values, flattened) for an input of shape "
                f"{_with_batch(self.input_shape)}, got {_with_batch(y.shape[1:])}; change the "
                f"network's last layer"
            )
        return y.reshape(*batch, *self.output_shape)

    @property
    def label(self) -> str:
        """Its name in error messages."""
        return type(self).__name__


class Network(BatchedNetwork, Declarable, home="pyro_vae.networks"):
    """An encoder or a decoder: a plain map between tensors, with no probability in it.

    The input is divided by ``input_unit``, which is 1 but for an encoder whose likelihood works in
    units of the data's own.

    How to write one:
        1. One class in one file of ``pyro_vae/networks``, or in a notebook cell. Its name in
           snake case is its ``kind``, and the name of the file.
        2. The constructor takes ``input_shape`` and ``output_shape`` (filled in by the model),
           passes them to ``super().__init__``, and takes the arguments that a user may declare,
           annotated, each with a line under ``Args:``.
        3. ``transform(x)`` maps ``(B, *input_shape)`` to ``(B, *output_shape)``; the base class
           handles further batch dimensions (particles) and checks the shapes.

    Args:
        input_shape: Shape of one input.
        output_shape: Shape of one output.
    """

    input_unit: Tensor

    def __init__(self, input_shape: tuple[int, ...], output_shape: tuple[int, ...]) -> None:
        super().__init__(input_shape, output_shape)
        self.register_buffer("input_unit", torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(*batch, *input_shape)`` to ``(*batch, *output_shape)``."""
        return super().forward(x / self.input_unit)


class ModuleNetwork(BatchedNetwork):
    """A user's own ``nn.Module`` as encoder or decoder.

    Args:
        module: Maps ``(B, *input_shape)`` to ``(B, *output_shape)`` or its flattened form.
        input_shape: Shape of one input.
        output_shape: Shape of one output.
    """

    def __init__(
        self, module: nn.Module, input_shape: tuple[int, ...], output_shape: tuple[int, ...]
    ) -> None:
        super().__init__(input_shape, output_shape)
        self.module = module

    def transform(self, x: Tensor) -> Tensor:
        """Apply the user's module."""
        try:
            y = self.module(x)
        except RuntimeError as error:
            raise IncompatibleComponents(
                f"{self.label}: expected a module that maps {_with_batch(self.input_shape)} to "
                f"{_with_batch(self.output_shape)}, but it failed on {tuple(x.shape)}: {error}"
            ) from error
        if not isinstance(y, Tensor):
            raise IncompatibleComponents(
                f"{self.label}: expected the module to return one tensor of shape "
                f"{_with_batch(self.output_shape)}, got {type(y).__name__}; return "
                f"torch.stack(parts, dim=1) or torch.cat(parts, dim=1). A diagonal normal takes "
                f"(mean, log of the scale), so halve a log-variance: torch.stack((mean, "
                f"log_variance / 2), dim=1)"
            )
        return y

    @property
    def label(self) -> str:
        """The name of the user's class."""
        return type(self.module).__name__


def network_for(
    part: Declared | nn.Module, input_shape: tuple[int, ...], output_shape: tuple[int, ...]
) -> nn.Module:
    """Build a declared network, or check or wrap a ready module.

    Raises:
        IncompatibleComponents: for a ready network with other shapes.
    """
    if isinstance(part, Declared):
        built: nn.Module = part.build(input_shape=input_shape, output_shape=output_shape)
        return built
    if not isinstance(part, BatchedNetwork):
        return ModuleNetwork(part, input_shape, output_shape)
    have, want = (part.input_shape, part.output_shape), (input_shape, output_shape)
    if have != want:
        raise IncompatibleComponents(
            f"{part.label}: expected a network from {want[0]} to {want[1]}, got one from "
            f"{have[0]} to {have[1]}"
        )
    return part


def _with_batch(shape: Sequence[int]) -> str:
    return f"({', '.join(['N', *map(str, shape)])})" if shape else "(N,)"
