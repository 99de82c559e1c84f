"""A multilayer perceptron with gated hidden layers."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn.functional import glu

from pyro_vae.core.network import Network
from pyro_vae.networks.layers import Init, init_weights

__all__ = ["GatedMLP"]


class GatedMLP(Network):
    r"""Fully connected layers, each multiplied by its own gate, on the flattened input.

    .. math:: h = (W x + b) \odot \mathrm{sigmoid}(V x + c)

    for each hidden layer; the last layer is affine. Gradients pass through the linear half
    without saturating.

    Shapes:
        maps ``(*, *input_shape)`` to ``(*, *output_shape)``.

    Args:
        input_shape: Shape of one input.
        output_shape: Shape of one output.
        hidden: Width of each hidden layer, from input to output, each at least 1.
        init: Weight initialization: pytorch (its default), xavier_uniform (for tanh) or
            kaiming_normal (for relu); the last two set the biases to 0.

    References:
        | Language modeling with gated convolutional networks (Dauphin et al., 2017)
        | https://arxiv.org/abs/1612.08083
        | VAE with a VampPrior (Tomczak and Welling, 2018), which uses these networks
        | https://arxiv.org/abs/1705.07120

    Example:
        >>> import torch
        >>> GatedMLP(input_shape=(1, 8, 8), output_shape=(2, 5), hidden=[32])(
        ...     torch.zeros(7, 1, 8, 8)
        ... ).shape
        torch.Size([7, 2, 5])
    """

    def __init__(
        self,
        input_shape: tuple[int, ...],
        output_shape: tuple[int, ...],
        hidden: Sequence[PositiveInt] = (300, 300),
        init: Init = "pytorch",
        **common: Any,
    ) -> None:
        super().__init__(input_shape, output_shape, **common)
        widths = [math.prod(input_shape), *hidden]
        self.gated = nn.ModuleList(
            nn.Linear(before, 2 * after) for before, after in itertools.pairwise(widths)
        )
        self.last = nn.Linear(widths[-1], math.prod(output_shape))
        init_weights(self.gated, init, parts=2)
        init_weights(self.last, init)

    def transform(self, x: Tensor) -> Tensor:
        """The layers in order."""
        h = x.reshape(x.shape[0], math.prod(self.input_shape))
        for layer in self.gated:
            h = glu(layer(h), -1)  # first half times the sigmoid of the second
        y: Tensor = self.last(h)
        return y
