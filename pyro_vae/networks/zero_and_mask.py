"""What an encoder sees of data with missing values."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from pyro_vae.core.network import BatchedNetwork, network_for
from pyro_vae.core.parts import declaration_of

__all__ = ["ZeroAndMask"]


class ZeroAndMask(BatchedNetwork):
    """An encoder of zeros where values are missing (NaN), beside channels that say which are seen.

    The network within has an input whose first dimension is twice that of a datum: the values,
    then 1 where one is seen and 0 where it is missing.

    Shapes:
        maps ``(*, *input_shape)`` to ``(*, *output_shape)``.

    Args:
        part: The network's declaration, or a ready module.
        input_shape: Shape of one datum.
        output_shape: Shape of one output.

    References:
        | MIWAE: deep generative modelling and imputation of incomplete data sets
        | (Mattei and Frellsen, 2019) https://arxiv.org/abs/1812.02633, on zeros
        | Handling incomplete heterogeneous data using VAEs (Nazabal et al., 2020)
        | https://arxiv.org/abs/1807.03653

    Example:
        >>> encoder = ZeroAndMask(nn.Linear(6, 4), (3,), (2, 2))
        >>> encoder(torch.tensor([[0.5, float("nan"), 1.0]])).shape
        torch.Size([1, 2, 2])
    """

    def __init__(
        self, part: Any, input_shape: tuple[int, ...], output_shape: tuple[int, ...]
    ) -> None:
        super().__init__(input_shape, output_shape)
        self.network: nn.Module = network_for(
            part, (2 * input_shape[0], *input_shape[1:]), output_shape
        )

    def transform(self, x: Tensor) -> Tensor:
        """The network's output for the values and what is seen of them."""
        seen = (~x.isnan()).to(x) * getattr(self.network, "input_unit", 1.0)
        y: Tensor = self.network(torch.cat([x.nan_to_num(0.0), seen], 1))
        return y

    @property
    def input_unit(self) -> Tensor:
        """By which the network divides the values; the mask stays 0 or 1."""
        unit: Tensor = self.network.input_unit  # type: ignore[assignment]
        return unit

    @property
    def declaration(self) -> Any:
        """That of the network within."""
        return declaration_of(self.network)
