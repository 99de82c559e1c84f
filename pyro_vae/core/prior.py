"""The contract of a prior, p(z)."""

from __future__ import annotations

from abc import abstractmethod

from pyro.distributions.torch_distribution import TorchDistribution
from torch import nn

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
        4. The docstring gives the density, the shapes, the source, and an example that runs.

    Args:
        latent_dim: Size M of the latent code, at least 1.
    """

    @abstractmethod
    def forward(self) -> TorchDistribution:
        """The distribution p(z), of event_shape ``(latent_dim,)``."""
