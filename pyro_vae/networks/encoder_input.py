"""What an encoder sees of data with missing values, or of a table."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from pyro_vae.core.condition import Condition
from pyro_vae.core.errors import IncompatibleComponents
from pyro_vae.core.likelihood import Likelihood
from pyro_vae.core.missing import Gaps
from pyro_vae.core.network import BatchedNetwork, Network
from pyro_vae.core.parts import declaration_of
from pyro_vae.networks.conditioned import ConditionedNetwork, network_given

__all__ = ["EncoderInput", "SetOfEntries"]

SIZE = 128


class SetOfEntries(nn.Module):
    r"""The entries that are seen, as a set: a sum over them, whatever their order and number.

    .. math:: h_k(x) = \frac{1}{\sqrt{D}} \sum_{d\ \text{seen}} \mathrm{relu}(a_{dk} x_d + b_{dk})

    with (a_d, b_d) the learned embedding of entry d, and D the number of all entries.

    Shapes:
        maps ``(N, *event)``, NaN where a value is missing, to ``(N, 128)``.

    Args:
        entries: Their number D.

    References:
        | EDDI: efficient dynamic discovery of high-value information with partial VAE
        | (Ma et al., 2019) https://arxiv.org/abs/1809.11142
        | Deep sets (Zaheer et al., 2017) https://arxiv.org/abs/1703.06114

    Example:
        >>> SetOfEntries(3)(torch.tensor([[0.5, float("nan"), 1.0]])).shape
        torch.Size([1, 128])
    """

    unit: Tensor

    def __init__(self, entries: int) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.randn(entries, SIZE))
        self.intercept = nn.Parameter(torch.randn(entries, SIZE))
        self.register_buffer("unit", torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        """The sum, over what is not NaN."""
        x = x.flatten(1).unsqueeze(-1)
        seen = ~x.isnan()
        each = (torch.where(seen, x, 0.0) / self.unit * self.slope + self.intercept).relu()
        return (each * seen).sum(1) / math.sqrt(len(self.slope))


class EncoderInput(BatchedNetwork):
    """An encoder of the likelihood's features of x; of 0 where a value is missing (NaN).

    With ``missing: zero_and_mask``, the network within sees more channels (the first dimension of
    its input) after the values: 1 where a value is seen, and 0 where it is missing. With
    ``missing: set`` it sees 128 numbers, the sum over the entries that are seen
    (:class:`SetOfEntries`).

    Shapes:
        maps ``(*, *event_shape)`` to ``(*, *output_shape)``.

    Args:
        part: The network's declaration, or a ready module.
        likelihood: Its ``features`` are the values that the network sees.
        output_shape: Shape of one output.
        missing: As :class:`~pyro_vae.VAE` takes it.
        condition: What the network sees besides, if there is a condition.

    References:
        | Handling incomplete heterogeneous data using VAEs (Nazabal et al., 2020)
        | https://arxiv.org/abs/1807.03653

    Example:
        >>> from pyro_vae.likelihoods import Gaussian
        >>> encoder = EncoderInput(
        ...     nn.Linear(6, 4), Gaussian((3,)), (2, 2), missing="zero_and_mask"
        ... )
        >>> encoder(torch.tensor([[0.5, float("nan"), 1.0]])).shape
        torch.Size([1, 2, 2])
    """

    def __init__(
        self,
        part: Any,
        likelihood: Likelihood,
        output_shape: tuple[int, ...],
        *,
        missing: Gaps,
        condition: Condition | None = None,
    ) -> None:
        super().__init__(likelihood.event_shape, output_shape)
        self.likelihood: Likelihood
        self.__dict__["likelihood"] = likelihood  # the model's: no parameters of this module
        shape = likelihood.feature_shape
        self.masked, self.flat = missing == "zero_and_mask", len(shape) == 1
        self.entries = SetOfEntries(math.prod(shape)) if missing == "set" else None
        channels = math.prod(self.input_shape) if self.flat else self.input_shape[0]
        within = (shape[0] + channels * self.masked, *shape[1:])
        within = (SIZE,) if self.entries else within
        self.network: nn.Module = network_given(part, condition, within, output_shape)
        declared = self.network.input if isinstance(self.network, Network) else "none"
        known = ("none",) if self.entries else ("none", "log1p")
        if declared not in known:
            raise IncompatibleComponents(
                f"encoder.input: must be {' or '.join(known)} where values may be missing "
                f"(missing: {missing}), or where columns have likelihoods of their own, got "
                f"{declared!r}; for z-scores of what is seen: data.standardize: zscore"
            )

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(*batch, *event_shape)`` to ``(*batch, *output_shape)``.

        With conditions that have further dimensions, ``(N, *event_shape)`` gets those too.
        """
        if isinstance(self.network, ConditionedNetwork) and x.dim() == len(self.input_shape) + 1:
            return self.transform(x)
        return super().forward(x)

    def initialize(self, x: Tensor, unit: Tensor | float) -> None:
        """Take the data's unit."""
        if self.entries:
            self.entries.unit.fill_(unit)
        elif isinstance(self.network, Network | ConditionedNetwork):
            self.network.initialize(x, unit)

    def transform(self, x: Tensor) -> Tensor:
        """The network's output for the values and what is seen of them."""
        if self.entries:
            pooled: Tensor = self.network(self.entries(self.likelihood.features(x)))
            return pooled
        values = self.likelihood.features(x).nan_to_num(0.0)
        if self.masked:
            seen = (~x.isnan()).to(x) * getattr(self.network, "input_unit", 1.0)
            values = torch.cat([values, seen.flatten(1) if self.flat else seen], 1)
        y: Tensor = self.network(values)
        return y

    @property
    def input_unit(self) -> Tensor:
        """By which the network divides the values; the mask stays 0 or 1."""
        if self.entries:
            return self.entries.unit
        unit: Tensor = self.network.input_unit  # type: ignore[assignment]
        return unit

    @property
    def declaration(self) -> Any:
        """That of the network within."""
        return declaration_of(self.network)
