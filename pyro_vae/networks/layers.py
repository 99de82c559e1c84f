"""Building blocks of networks: activations, weight initialization, batch normalization."""

from __future__ import annotations

import itertools
from typing import Literal

import torch
from torch import Tensor, nn

from pyro_vae.core.errors import IncompatibleComponents

__all__ = ["ACTIVATIONS", "Activation", "Init", "ShiftedBatchNorm", "init_weights", "perceptron"]

Activation = Literal["relu", "tanh", "softplus", "gelu", "silu", "elu"]
ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "softplus": nn.Softplus,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "elu": nn.ELU,
}

Init = Literal["pytorch", "xavier_uniform", "kaiming_normal"]
"""How the weights of an affine layer are initialized.

- ``pytorch``: PyTorch's default, for weights and biases;
- ``xavier_uniform``: uniform with variance 2 / (inputs + outputs), for tanh; the biases are 0;
- ``kaiming_normal``: normal with variance 2 / inputs, for relu; the biases are 0.

References:
    | Understanding the difficulty of training deep feedforward neural networks (Glorot and
    | Bengio, 2010) https://proceedings.mlr.press/v9/glorot10a.html
    | Delving deep into rectifiers (He et al., 2015) https://arxiv.org/abs/1502.01852
"""


@torch.no_grad()
def init_weights(module: nn.Module, init: Init, parts: int = 1) -> None:
    """Initialize the weights of every ``nn.Linear`` of a module, in place.

    Args:
        module: The module.
        init: The method; ``pytorch`` changes nothing.
        parts: Number of layers that each weight matrix stacks, two for a gated layer. Each is
            initialized as a layer of its own.

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
                if init == "xavier_uniform":
                    nn.init.xavier_uniform_(weight)
                else:
                    nn.init.kaiming_normal_(weight, nonlinearity="relu")
            if layer.bias is not None:
                layer.bias.zero_()


def perceptron(inputs: int, hidden: int, outputs: int, layers: int = 2) -> nn.Sequential:
    """A multilayer perceptron with tanh between its layers.

    Args:
        inputs: Size of the input.
        hidden: Width of each hidden layer.
        outputs: Size of the output.
        layers: Number of hidden layers.
    """
    steps: list[nn.Module] = []
    for before, after in itertools.pairwise([inputs, *[hidden] * layers]):
        steps += [nn.Linear(before, after), nn.Tanh()]
    return nn.Sequential(*steps, nn.Linear(hidden if layers else inputs, outputs))


class ShiftedBatchNorm(nn.Module):
    """Batch normalization with a learned shift and no learned scale.

    While training, a datum's output depends on the rest of its batch; in evaluation mode, running
    means and variances are used instead.

    Shapes:
        maps ``(B, features)`` to ``(B, features)``.

    Args:
        features: Number of features.

    Raises:
        IncompatibleComponents: while training, for a batch of a single row.

    References:
        | Batch normalization (Ioffe and Szegedy, 2015) https://arxiv.org/abs/1502.03167

    Example:
        >>> norm = ShiftedBatchNorm(2)
        >>> norm(torch.tensor([[1.0, 9.0], [3.0, 5.0]])).round().tolist()
        [[-1.0, 1.0], [1.0, -1.0]]
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.standardize = nn.BatchNorm1d(features, affine=False)
        self.shift = nn.Parameter(torch.zeros(features))

    def forward(self, x: Tensor) -> Tensor:
        """The standardized features, shifted."""
        if self.training and len(x) < 2:
            raise IncompatibleComponents(
                f"Batch normalization: expected at least 2 data in a training batch, got "
                f"{len(x)}; choose a batch size that leaves no last batch of one "
                f"(train.batch_size)"
            )
        y: Tensor = self.standardize(x) + self.shift
        return y
