"""An affine map."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor, nn

from pyro_vae.core.network import Network

__all__ = ["Linear"]


class Linear(Network):
    r"""One affine map; as a decoder it makes the model probabilistic PCA.

    .. math:: f(x) = W x + b

    With a Gaussian likelihood of fixed scale and a normal prior, the evidence and the posterior
    are known exactly, and the audit shows them.

    Shapes:
        maps ``(*, *input_shape)`` to ``(*, *output_shape)``.

    Args:
        input_shape: Shape of one input.
        output_shape: Shape of one output.
        bias: Whether there is a constant term.

    References:
        | Probabilistic principal component analysis (Tipping and Bishop, 1999)
        | https://doi.org/10.1111/1467-9868.00196

    Example:
        >>> import torch
        >>> Linear(input_shape=(2,), output_shape=(1, 8, 8))(torch.zeros(5, 2)).shape
        torch.Size([5, 1, 8, 8])
    """

    def __init__(
        self,
        input_shape: tuple[int, ...],
        output_shape: tuple[int, ...],
        bias: bool = True,
        **common: Any,
    ) -> None:
        super().__init__(input_shape, output_shape, **common)
        self.affine = nn.Linear(math.prod(input_shape), math.prod(output_shape), bias=bias)

    def transform(self, x: Tensor) -> Tensor:
        """W x + b, on the flattened input."""
        y: Tensor = self.affine(x.reshape(x.shape[0], math.prod(self.input_shape)))
        return y
