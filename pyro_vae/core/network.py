"""The contract of an encoder or decoder network."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from pyro_vae.core.declarable import Declarable
from pyro_vae.core.errors import IncompatibleComponents

__all__ = ["BatchedNetwork", "Input", "Network", "with_batch"]

Input = Literal["none", "log1p", "standardize", "normalize", "clr"]


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
                f"{self.label}: expected an input of shape {with_batch(self.input_shape)}, "
                f"got {tuple(x.shape)}"
            )
        y = self.transform(x.reshape(-1, *self.input_shape))
        rows = math.prod(batch)
        if y.dim() < 1 or y.shape[0] != rows or y.numel() != rows * math.prod(self.output_shape):
            raise IncompatibleComponents(
                f"{self.label}: expected an output of shape {with_batch(self.output_shape)} "
                f"(or the same number of values, flattened) for an input of shape "
                f"{with_batch(self.input_shape)}, got {with_batch(y.shape[1:])}; change the "
                f"network's last layer"
            )
        return y.reshape(*batch, *self.output_shape)

    @property
    def label(self) -> str:
        """Its name in error messages."""
        return type(self).__name__


class Network(BatchedNetwork, Declarable, home="pyro_vae.networks"):
    """An encoder or a decoder: a plain map between tensors, with no probability in it.

    What its layers see of x is ``input``, each of which is finite for any finite x:

    - ``none``: x divided by ``input_unit``, which is 1 but for an encoder whose likelihood works
      in units of the data's own;
    - ``log1p``: log(1 + x), for counts; of negative values -log(1 - x);
    - ``standardize``: each position less its mean, over its standard deviation, both of the
      training data and part of the weights; one that does not vary is not divided;
    - ``normalize``: each datum divided by the mean of its absolute values, unless all are 0;
    - ``clr``: the centered log-ratio of counts to which 1 was added: log1p less its mean.

    How to write one:
        1. One class in one file of ``pyro_vae/networks``, or in a notebook cell. Its name in
           snake case is its ``kind``, and the name of the file.
        2. The constructor takes ``input_shape`` and ``output_shape`` (filled in by the model),
           passes them to ``super().__init__``, and takes the arguments that a user may declare,
           annotated, each with a line under ``Args:``. With ``**common``, handed on to
           ``super().__init__``, it also takes ``input``.
        3. ``transform(x)`` maps ``(B, *input_shape)`` to ``(B, *output_shape)``; the base class
           handles further batch dimensions (particles) and checks the shapes.

    Args:
        input_shape: Shape of one input.
        output_shape: Shape of one output.
        input: What an encoder sees of the data: none (as they are), log1p, standardize, normalize
            or clr.

    References:
        | Deep generative modeling for single-cell transcriptomics (Lopez et al., 2018), on log1p
        | https://doi.org/10.1038/s41592-018-0229-2
        | The statistical analysis of compositional data (Aitchison, 1982), on the log-ratio
        | https://doi.org/10.1111/j.2517-6161.1982.tb01195.x
    """

    input_unit: Tensor
    input_mean: Tensor
    input_scale: Tensor
    input_fitted: Tensor

    def __init__(
        self,
        input_shape: tuple[int, ...],
        output_shape: tuple[int, ...],
        input: Input = "none",
    ) -> None:
        super().__init__(input_shape, output_shape)
        self.input = input
        self.register_buffer("input_unit", torch.ones(()))
        if input == "standardize":
            self.register_buffer("input_mean", torch.zeros(self.input_shape))
            self.register_buffer("input_scale", torch.ones(self.input_shape))
            self.register_buffer("input_fitted", torch.zeros((), dtype=torch.bool))
        elif input in ("normalize", "clr") and math.prod(self.input_shape) == 1:
            raise IncompatibleComponents(
                f"{self.label}: expected data of several numbers for the input {input}, which of "
                f"one number is always the same; choose another"
            )

    @classmethod
    def joins(cls, input_shape: tuple[int, ...], output_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of an input to which a condition is joined, along the first dimension."""
        return (math.prod(input_shape),)

    @torch.no_grad()
    def initialize(self, x: Tensor, unit: Tensor | float) -> None:
        """Take the data's unit, and fit ``input`` to training data ``(N, *input_shape)``, once."""
        self.input_unit.fill_(unit)
        if self.input == "standardize" and not self.input_fitted:
            scale, mean = torch.std_mean(x.double(), 0, correction=0)
            self.input_mean.copy_(mean)
            self.input_scale.copy_(torch.where((x != x[0]).any(0), scale, 1.0))
            self.input_fitted.fill_(True)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(*batch, *input_shape)`` to ``(*batch, *output_shape)``."""
        return super().forward(self.seen(x))

    def seen(self, x: Tensor) -> Tensor:
        """What the layers see of ``(*batch, *input_shape)``, of the same shape."""
        event = tuple(range(-len(self.input_shape), 0))
        if self.input == "log1p":
            return _log1p(x)
        if self.input == "standardize":
            return (x - self.input_mean) / self.input_scale
        if self.input == "normalize":
            size = x.abs().mean(event, keepdim=True)
            return x / torch.where(size > 0, size, 1.0)
        if self.input == "clr":
            y = _log1p(x)
            return y - y.mean(event, keepdim=True)
        return x / self.input_unit


def _log1p(x: Tensor) -> Tensor:
    below = x < 0
    size = torch.where(below, -x, x)  # unlike abs(), of slope 1 at 0, where most counts are
    return torch.where(below, -size.log1p(), size.log1p())


def with_batch(shape: Sequence[int]) -> str:
    """A shape after that of a batch, for messages."""
    return f"({', '.join(['N', *map(str, shape)])})" if shape else "(N,)"
