"""The contract of a prior, p(z)."""

from __future__ import annotations

from abc import abstractmethod

from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor, nn

from pyro_vae.core.declarable import Declarable

__all__ = ["Prior"]


class Prior(nn.Module, Declarable, home="pyro_vae.priors"):
    """p(z): a module whose ``forward()`` returns the distribution of the latent code.

    How to write one:
        1. One class in one file of ``pyro_vae/priors``, or in a notebook cell. Its name in snake
           case is its ``kind``; a file is named for its kind.
        2. The constructor takes ``latent_dim`` (filled in by the model) and the arguments that a
           user may declare, annotated, each with a line under ``Args:``. That is its schema.
        3. ``forward()`` returns a Pyro distribution with batch_shape ``()`` and event_shape
           ``(latent_dim,)``. What is learned is an ``nn.Parameter``.
        4. A prior that is made of the guide also takes ``event_shape``, ``encoder`` and
           ``posterior``, filled in likewise, and keeps the two outside of its own parameters. One
           that begins at the data overrides ``initialize``.
        5. The docstring gives the density, the shapes, the source, and an example that runs.

    Args:
        latent_dim: Size M of the latent code, at least 1.
    """

    def initialize(self, x: Tensor) -> None:
        """Take from the training data, ``(N, *event_shape)``, what the prior begins with.

        ``fit`` calls it before its first step. Most priors take nothing; one that does takes it
        once, so that a training that goes on does not begin again.
        """

    @property
    def decoded_dim(self) -> int | None:
        """How many of the code's leading dimensions the decoder reads; None for all of them."""
        return None

    @abstractmethod
    def forward(self) -> TorchDistribution:
        """The distribution p(z), of event_shape ``(latent_dim,)``."""
