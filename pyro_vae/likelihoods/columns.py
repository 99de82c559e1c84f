"""The likelihood of a table: a likelihood for each column."""

from __future__ import annotations

import math
from typing import Any

import torch
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor, nn

from pyro_vae.core.declaration import parse
from pyro_vae.core.errors import DeclarationError
from pyro_vae.core.likelihood import Likelihood
from pyro_vae.core.messages import shown
from pyro_vae.distributions.by_column import ByColumn, ByColumnSupport, Layout
from pyro_vae.distributions.marginal import entries_of
from pyro_vae.likelihoods.categorical import Categorical
from pyro_vae.likelihoods.ordinal import Ordinal
from pyro_vae.likelihoods.own_units import OwnUnits

__all__ = ["Columns"]


class Columns(Likelihood):
    r"""A likelihood for each column of a table, all independent given z.

    .. math:: \log p(x \mid z) = \sum_d \log p_d(x_d \mid f(z))

    A key is the number of a column, from 0, a range with both ends, a list of these, or ``*`` for
    all that no other key names: ``{"0-3": "gaussian", "4,6": "poisson", "*": "bernoulli"}``.
    Columns of one key share what their likelihood learns, but for ``per_dimension``.

    An encoder sees each category as zeros and a one, an ordered one as its place from 0 to 1, the
    logarithm of 1 + a count, and any other value in its likelihood's unit.

    Shapes:
        maps ``(*, P)``, the parameters of all columns, to batch_shape ``(*,)`` and event_shape
        ``event_shape``, whose columns are counted flattened; ``log_prob`` is in nats, summed over
        the event.

    Args:
        event_shape: Shape of one datum.
        columns: The declaration of the likelihood of each column or range; by default gaussian.

    References:
        | Handling incomplete heterogeneous data using VAEs (Nazabal et al., 2020)
        | https://arxiv.org/abs/1807.03653

    Example:
        >>> table = {"0": "gaussian", "1-2": {"kind": "categorical", "categories": 4}}
        >>> Columns(event_shape=(3,), columns=table).parameter_shape
        (9,)
    """

    remedies = "correct these values, or choose another likelihood for their columns"
    places: Tensor

    def __init__(
        self, event_shape: tuple[int, ...], columns: dict[int | str, Any] | None = None
    ) -> None:
        super().__init__(event_shape)
        groups = _groups(columns or {"*": "gaussian"}, math.prod(event_shape))
        self.blocks = nn.ModuleList(block for _, block in groups)
        places = torch.tensor([place for found, _ in groups for place in found])
        self.register_buffer("places", places, persistent=False)
        self.sizes = [math.prod(block.parameter_shape) for block in self._likelihoods]

    @property
    def _likelihoods(self) -> list[Likelihood]:
        return list(self.blocks)  # type: ignore[arg-type]

    @property
    def parameter_shape(self) -> tuple[int, ...]:
        """The parameters of all columns, one after another."""
        return (sum(self.sizes),)

    @property
    def layout(self) -> Layout:
        """Which columns each key names."""
        sizes = [block.event_shape[0] for block in self._likelihoods]
        return Layout(self.places, sizes, self.event_shape)

    @property
    def support(self) -> ByColumnSupport:  # type: ignore[override]
        """That of each column."""
        return ByColumnSupport([block.support for block in self._likelihoods], self.layout)

    @torch.no_grad()
    def initialize(self, x: Tensor) -> None:
        """Initialize the likelihood of each key from its columns."""
        for block, column in zip(self._likelihoods, self.layout.split(x), strict=True):
            block.initialize(column)

    def forward(self, parameters: Tensor, x: Tensor | None = None) -> TorchDistribution:
        """The columns' distributions, as one event."""
        pieces = parameters.split(self.sizes, -1)
        given = [None] * len(pieces) if x is None else self.layout.split(x)
        parts = [
            entries_of(block(piece.unflatten(-1, block.parameter_shape), column), "columns")
            for block, piece, column in zip(self._likelihoods, pieces, given, strict=True)
        ]
        entries = ByColumn(parts, self.layout)
        return entries.to_event(len(self.event_shape))

    @property
    def feature_shape(self) -> tuple[int, ...]:
        """One number for each column, but K for one of K categories."""
        return (self.features(torch.zeros(1, *self.event_shape)).shape[1],)

    def features(self, x: Tensor) -> Tensor:
        """What an encoder sees of data, ``(N, *event_shape)`` to ``(N, F)``."""
        pairs = zip(self._likelihoods, self.layout.split(x), strict=True)
        return torch.cat([_seen(block, column) for block, column in pairs], -1)


def _seen(block: Likelihood, x: Tensor) -> Tensor:
    if isinstance(block, Categorical):
        numbers = torch.arange(block.categories, device=x.device)
        x = x.unsqueeze(-1)
        return torch.where(x.isnan(), x, (x == numbers).to(x)).flatten(-2)
    if isinstance(block, Ordinal):
        return x / (block.categories - 1)
    if isinstance(block, OwnUnits):
        return x.log1p() if block.support.is_discrete else x / getattr(block, "unit", 1.0)
    return x


def _groups(columns: dict[int | str, Any], size: int) -> list[tuple[list[int], Any]]:
    """The columns of each key, and their likelihood."""
    problems: list[str] = []
    free = list(range(size))
    found: list[tuple[list[int], Any]] = []
    for key, declared in sorted(columns.items(), key=lambda item: str(item[0]) == "*"):
        wanted = free if str(key) == "*" else _places(str(key))
        if wanted is None or not set(wanted) <= set(free):
            problems.append(
                f"columns.{key}: must be columns from 0 to {size - 1} that no other key names, "
                f"such as 3, 0-4, '1,5-7' or '*', got {shown(key)}"
            )
            continue
        free = [place for place in free if place not in wanted]
        try:
            part = parse(Likelihood, declared, f"columns.{key}")
        except DeclarationError as error:
            problems += error.problems
            continue
        if wanted:
            found.append((wanted, part))
    if free and not problems:
        problems.append(f"columns: must name each of {size} columns, got none for {free[:5]}")
    if problems:
        raise DeclarationError(problems, "Columns")
    return [(places, part.build(event_shape=(len(places),))) for places, part in found]


def _places(key: str) -> list[int] | None:
    """The columns that a key names; None if it is not a list of numbers and ranges."""
    places: list[int] = []
    for item in key.split(","):
        first, _, last = item.strip().partition("-")
        if not first.isdecimal() or not (last or first).isdecimal():
            return None
        places += range(int(first), int(last or first) + 1)
    return places if len(set(places)) == len(places) else None
