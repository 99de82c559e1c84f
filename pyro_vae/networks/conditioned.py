"""A network that sees a condition beside its input."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from pyro_vae.core.condition import Condition, Conditioned
from pyro_vae.core.declaration import Declared
from pyro_vae.core.errors import DataError, IncompatibleComponents
from pyro_vae.core.network import Network
from pyro_vae.core.parts import declaration_of
from pyro_vae.networks.module_network import network_for

__all__ = ["ConditionedNetwork", "network_given"]


class ConditionedNetwork(Conditioned):
    """A network whose input is joined with the embedding of each datum's condition.

    A network of pictures or over time, and a module of the user's on pictures, sees it as constant
    channels after those of its input; any other network as numbers after its input, which is
    flattened. The network's ``input: log1p`` is of both.

    Shapes:
        maps ``(*batch, N, *input_shape)`` to ``(*batch, N, *output_shape)``, given N conditions;
        conditions with further dimensions before N, or 1 in its place, broadcast with the batch.

    Args:
        part: The network's declaration, or a ready module, from the joined input.
        condition: The embedding, which belongs to this network.
        input_shape: Shape of one input, without the condition.
        output_shape: Shape of one output.

    Example:
        >>> from pyro_vae.conditions import Classes
        >>> net = ConditionedNetwork(nn.Linear(3 + 10, 4), Classes(10), (3,), (4,))
        >>> net.given = torch.tensor([7, 0])
        >>> net(torch.zeros(5, 2, 3)).shape
        torch.Size([5, 2, 4])
    """

    def __init__(
        self,
        part: Any,
        condition: Condition,
        input_shape: tuple[int, ...],
        output_shape: tuple[int, ...],
    ) -> None:
        super().__init__()
        self.input_shape, self.condition = tuple(input_shape), condition
        self.joined_shape = self.input_shape
        if isinstance(part, Declared) and issubclass(part.cls, Network):
            self.joined_shape = part.cls.joins(self.input_shape, tuple(output_shape))
        first, *rest = self.joined_shape
        self.network: nn.Module = network_for(part, (first + condition.size, *rest), output_shape)
        declared = getattr(self.network, "input", "none")
        if declared not in ("none", "log1p"):
            raise IncompatibleComponents(
                f"encoder.input: must be none or log1p, since the network sees a condition beside "
                f"the data, got {declared!r}; for z-scores of the data: data.standardize: zscore"
            )

    def forward(self, x: Tensor) -> Tensor:
        """The network's output for the input and each datum's condition.

        Raises:
            DataError: if there is no condition for each datum.
        """
        c = self.known(x)
        batch = x.shape[: x.dim() - len(self.input_shape)]
        each = c.shape[: c.dim() - len(self.condition.shape)]
        count = c.shape[0]  # len would fix it when the network is traced
        if not batch or (len(each) == 1 and batch[-1] != count):
            raise DataError(
                f"condition: expected one for each of {batch[-1] if batch else 'the'} data, got "
                f"{count}"
            )
        embedded = self.condition(c).to(x.dtype) * self.input_unit
        batch, rest = torch.broadcast_shapes(batch, each), self.joined_shape[1:]
        shape = (*batch, self.condition.size, *rest)
        embedded = embedded.reshape(*each, -1, *(1 for _ in rest)).expand(shape)
        joined = x.reshape(*x.shape[: x.dim() - len(self.input_shape)], *self.joined_shape)
        joined = joined.expand(*batch, *self.joined_shape)
        y: Tensor = self.network(torch.cat([joined, embedded], -len(self.joined_shape)))
        return y

    def initialize(self, x: Tensor, unit: Tensor | float) -> None:
        """Take the data's unit."""
        if isinstance(self.network, Network):
            self.network.initialize(x, unit)

    @property
    def input_unit(self) -> Any:
        """By which the network divides its input; the condition stays as it is."""
        return getattr(self.network, "input_unit", 1.0)

    @property
    def declaration(self) -> Any:
        """That of the network within."""
        return declaration_of(self.network)


def network_given(
    part: Any,
    condition: Condition | None,
    input_shape: tuple[int, ...],
    output_shape: tuple[int, ...],
) -> nn.Module:
    """The network of a part, which sees a condition if there is one."""
    if condition is None:
        return network_for(part, input_shape, output_shape)
    return ConditionedNetwork(part, condition, input_shape, output_shape)
