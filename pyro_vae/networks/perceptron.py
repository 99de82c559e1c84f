"""A small network between vectors, for components that hold one."""

from __future__ import annotations

import itertools

from torch import nn

__all__ = ["perceptron"]


def perceptron(inputs: int, hidden: int, outputs: int, layers: int = 2) -> nn.Sequential:
    """Hidden layers with tanh between them, and an affine layer at the end.

    Args:
        inputs: Size of the input.
        hidden: Width of each hidden layer.
        outputs: Size of the output.
        layers: Number of hidden layers.
    """
    widths = [inputs, *[hidden] * layers]
    steps: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        steps += [nn.Linear(before, after), nn.Tanh()]
    return nn.Sequential(*steps, nn.Linear(widths[-1], outputs))
