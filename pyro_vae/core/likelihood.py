"""The contract of a likelihood, p(x|z)."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor, nn
from torch.distributions.constraints import Constraint

from pyro_vae.core.declarable import Declarable

__all__ = ["Likelihood"]


class Likelihood(nn.Module, Declarable, home="pyro_vae.likelihoods"):
    """p(x|z): a module whose ``forward(decoder(z))`` returns the distribution of a datum.

    How to write one:
        1. One class in one file of ``pyro_vae/likelihoods``, or in a notebook cell. Its name in
           snake case is its ``kind``; a file is named for its kind.
        2. The constructor takes ``event_shape`` (filled in by the model) and the arguments that a
           user may declare, annotated, each with a line under ``Args:``.
        3. ``parameter_shape`` is the shape, for one datum, of what the decoder has to put out.
        4. ``forward(parameters, x)`` maps ``(*batch, *parameter_shape)`` to a Pyro distribution
           of batch_shape ``batch`` and event_shape ``event_shape``, normalizer included. ``x``
           is the datum where it is known, for what the model conditions on and does not explain:
           a document's length, or an analytic noise scale. Most kinds ignore it.
        5. One that begins at the data overrides ``initialize``.
        6. ``support`` says which values a datum may have, and ``remedies`` what to do with
           data that has others.

    Args:
        event_shape: Shape of one datum.
    """

    support: Constraint
    remedies: ClassVar[str] = "choose a likelihood whose support holds these values"

    def initialize(self, x: Tensor) -> None:
        """Take from the training data, ``(N, *event_shape)``, what the likelihood begins with.

        ``fit`` calls it before its first step. Most likelihoods take nothing; one that does takes
        it once, so that a training that goes on does not begin again.
        """

    @property
    @abstractmethod
    def parameter_shape(self) -> tuple[int, ...]:
        """Shape, for one datum, of what the decoder puts out."""

    @abstractmethod
    def forward(self, parameters: Tensor, x: Tensor | None = None) -> TorchDistribution:
        """p(x|z) from the decoder's output, ``(*batch, *parameter_shape)``."""
