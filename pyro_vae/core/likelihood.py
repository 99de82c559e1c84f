"""The contract of a likelihood, p(x|z)."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor, nn
from torch.distributions.constraints import Constraint

from pyro_vae.core.condition import Condition
from pyro_vae.core.declarable import Declarable
from pyro_vae.core.errors import IncompatibleComponents

__all__ = ["Likelihood"]


class Likelihood(nn.Module, Declarable, home="pyro_vae.likelihoods"):
    """p(x|z): a module whose ``forward(decoder(z))`` returns the distribution of a datum.

    How to write one:
        1. One class in one file of ``pyro_vae/likelihoods``, or in a notebook cell. Its name in
           snake case is its ``kind``, and the name of the file.
        2. The constructor takes ``event_shape`` (filled in by the model), passes it to
           ``super().__init__``, and takes the arguments that a user may declare, annotated, each
           with a line under ``Args:``. Without further arguments it can be left out.
        3. ``parameter_shape`` is the shape of the decoder's output for one datum; override it
           unless that is one number for each dimension of the datum.
        4. ``forward(parameters, x)`` maps ``(*batch, *parameter_shape)`` to a Pyro distribution
           of batch_shape ``batch`` and event_shape ``event_shape``, normalizer included. ``x``
           is the datum, if known, for quantities that the model conditions on: a document's
           length, or an analytic noise scale. Most kinds ignore it.
        5. A likelihood that depends on the data overrides ``initialize``.
        6. ``features`` is what an encoder sees of data; override it, and ``feature_shape``, where
           that is not the data themselves.
        7. ``support`` is the set of values of a datum, and ``remedies`` tells users what to do
           about other values.

    Args:
        event_shape: Shape of one datum.
    """

    support: Constraint
    remedies: ClassVar[str] = "choose a likelihood whose support holds these values"

    def __init__(self, event_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.event_shape = tuple(event_shape)

    def initialize(self, x: Tensor) -> None:
        """Initialize from the training data, ``(N, *event_shape)``.

        ``fit`` calls it before the first step. By default it does nothing. An override must have
        an effect only the first time, so that training can be continued.
        """

    def decoder_condition(self, condition: Condition | None) -> Condition | None:
        """The condition that the decoder sees; None if there is none, or it is an offset.

        Raises:
            IncompatibleComponents: if it is an offset, unless the likelihood is of counts.
        """
        if condition is None or condition.decoded:
            return condition
        raise IncompatibleComponents(
            "condition: expected a likelihood of counts (poisson, negative_binomial) beside "
            f"log_exposure, got {self.kind}; for any other likelihood: vector"
        )

    @property
    def feature_shape(self) -> tuple[int, ...]:
        """Shape of what an encoder sees of one datum."""
        return self.event_shape

    def features(self, x: Tensor) -> Tensor:
        """What an encoder sees of data, ``(N, *event_shape)`` to ``(N, *feature_shape)``.

        Where a value is missing (NaN), NaN.
        """
        return x

    @property
    def data_unit(self) -> Tensor | float:
        """The data's magnitude, by which an encoder divides them; 1 unless it is measured."""
        return 1.0

    @property
    def parameter_shape(self) -> tuple[int, ...]:
        """Shape of the decoder's output for one datum."""
        return self.event_shape

    @abstractmethod
    def forward(self, parameters: Tensor, x: Tensor | None = None) -> TorchDistribution:
        """p(x|z) from the decoder's output, ``(*batch, *parameter_shape)``."""
