"""The contract of a missing model: why values are missing."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from torch import Tensor, nn

from pyro_vae.core.declarable import Declarable

__all__ = ["MissingModel"]


class MissingModel(nn.Module, Declarable, home="pyro_vae.missing_models"):
    """p(S | x), which entries S are seen of a datum x: for values that are missing not at random.

    The model is then of what is seen and of which entries are: log p(x_S, S).

    How to write one:
        1. One class in one file of ``pyro_vae/missing_models``, or in a notebook cell. Its name in
           snake case is its ``kind``, and the name of the file.
        2. The constructor takes ``event_shape`` (filled in by the model), passes it to
           ``super().__init__``, and takes the arguments that a user may declare, annotated, each
           with a line under ``Args:``.
        3. ``forward(p)`` maps p(x_S | z), a :class:`~pyro_vae.distributions.marginal.Marginal`, to
           p(x_S, S | z): a subclass of it whose ``entries`` says the log-probability of a missing
           entry, whose ``absent`` is the distribution of an entry that is missing, and whose
           ``sample`` has NaN where an entry is missing.
        4. One that depends on the data overrides ``initialize``.

    Args:
        event_shape: Shape of one datum.
    """

    def __init__(self, event_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.event_shape = tuple(event_shape)

    def initialize(self, x: Tensor) -> None:
        """Initialize from the training data, ``(N, *event_shape)``, with NaN; once only."""

    @abstractmethod
    def forward(self, p: Any) -> Any:
        """p(x_S, S | z) from p(x_S | z)."""
