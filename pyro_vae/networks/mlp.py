"""A multilayer perceptron."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field, PositiveInt
from torch import Tensor, nn

from pyro_vae.core.network import Network
from pyro_vae.networks.layers import (
    ACTIVATIONS,
    Activation,
    Init,
    ShiftedBatchNorm,
    init_weights,
)

__all__ = ["MLP"]


class MLP(Network):
    """Fully connected layers with an activation between them, on the flattened input.

    Shapes:
        maps ``(*, *input_shape)`` to ``(*, *output_shape)``.

    Args:
        input_shape: Shape of one input.
        output_shape: Shape of one output.
        hidden: Width of each hidden layer, from input to output, each at least 1.
        activation: Activation after each hidden layer.
        init: Weight initialization: pytorch (its default), xavier_uniform (for tanh) or
            kaiming_normal (for relu); the last two set the biases to 0.
        dropout: Dropout rate of the last hidden layer, in [0, 1).
        batch_norm: Whether the outputs are batch-normalized, with a learned shift.

    References:
        | Auto-encoding variational Bayes (Kingma and Welling, 2013), appendix C
        | https://arxiv.org/abs/1312.6114

    Example:
        >>> import torch
        >>> MLP(input_shape=(1, 8, 8), output_shape=(2, 5), hidden=[32])(
        ...     torch.zeros(7, 1, 8, 8)
        ... ).shape
        torch.Size([7, 2, 5])
    """

    def __init__(
        self,
        input_shape: tuple[int, ...],
        output_shape: tuple[int, ...],
        hidden: Sequence[PositiveInt] = (400,),
        activation: Activation = "relu",
        init: Init = "pytorch",
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        batch_norm: bool = False,
        **common: Any,
    ) -> None:
        super().__init__(input_shape, output_shape, **common)
        widths = [math.prod(input_shape), *hidden]
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(widths):
            layers += [nn.Linear(before, after), ACTIVATIONS[activation]()]
        if dropout:
            layers.append(nn.Dropout(dropout))
        outputs = math.prod(output_shape)
        layers.append(nn.Linear(widths[-1], outputs, bias=not batch_norm))
        if batch_norm:
            layers.append(ShiftedBatchNorm(outputs))
        self.layers = nn.Sequential(*layers)
        init_weights(self.layers, init)

    def transform(self, x: Tensor) -> Tensor:
        """The layers in order."""
        y: Tensor = self.layers(x.reshape(x.shape[0], math.prod(self.input_shape)))
        return y
