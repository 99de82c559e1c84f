"""What a network's weights begin with."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

__all__ = ["Init", "init_weights"]

Init = Literal["pytorch", "xavier_uniform", "kaiming_normal"]
"""How the weights of an affine layer are drawn.

- ``pytorch``: as PyTorch draws them, weights and biases alike;
- ``xavier_uniform``: uniform, of variance 2 / (inputs + outputs), for tanh; the biases are 0;
- ``kaiming_normal``: normal, of variance 2 / inputs, for relu; the biases are 0.

References:
    | Understanding the difficulty of training deep feedforward neural networks (Glorot and
    | Bengio, 2010) https://proceedings.mlr.press/v9/glorot10a.html
    | Delving deep into rectifiers (He et al., 2015) https://arxiv.org/abs/1502.01852
"""


@torch.no_grad()
def init_weights(module: nn.Module, init: Init, parts: int = 1) -> None:
    """Draw the weights of every ``nn.Linear`` of a module again, in place.

    Args:
        module: Has them.
        init: How; ``pytorch`` leaves what PyTorch drew.
        parts: How many layers of one input each of them is, one above the other; two for a gated
            one. Each part is drawn as a layer of its own.

    Example:
        >>> layer = nn.Linear(300, 100)
        >>> init_weights(layer, "xavier_uniform")
        >>> bool(layer.weight.abs().max() <= (6 / 400) ** 0.5), bool(layer.bias.any())
        (True, False)
    """
    if init == "pytorch":
        return
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            for weight in layer.weight.chunk(parts):
                _draw(weight, init)
            if layer.bias is not None:
                layer.bias.zero_()


def _draw(weight: Tensor, init: Init) -> None:
    if init == "xavier_uniform":
        nn.init.xavier_uniform_(weight)
    else:
        nn.init.kaiming_normal_(weight, nonlinearity="relu")
