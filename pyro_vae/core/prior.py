"""The contract of a prior, p(z)."""

from __future__ import annotations

from abc import abstractmethod

from pyro.distributions.torch_distribution import TorchDistribution
from torch import Size, Tensor, nn

from pyro_vae.core.declarable import Declarable

__all__ = ["Prior", "codes_of"]


class Prior(nn.Module, Declarable, home="pyro_vae.priors"):
    """p(z): a module whose ``forward()`` returns the distribution of the latent code.

    How to write one:
        1. One class in one file of ``pyro_vae/priors``, or in a notebook cell. Its name in snake
           case is its ``kind``, and the name of the file.
        2. The constructor takes ``latent_dim`` (filled in by the model) and the arguments that a
           user may declare, annotated, each with a line under ``Args:``. That is its schema.
        3. ``forward()`` returns a Pyro distribution with batch_shape ``()`` and event_shape
           ``(latent_dim,)``. Whatever is learned is an ``nn.Parameter``. A prior that depends
           on the model's condition takes ``embedding`` and has batch_shape ``(N,)``
           (:class:`~pyro_vae.priors.conditional.Conditional`).
        4. A prior built from the guide also takes ``event_shape``, ``encoder`` and ``posterior``,
           filled in likewise, and does not register the two as its children. A prior that depends
           on the data overrides ``initialize``.
        5. The docstring gives the density, the shapes, the source, and a working example.

    Args:
        latent_dim: Size M of the latent code, at least 1.
    """

    def initialize(self, x: Tensor) -> None:
        """Initialize from the training data, ``(N, *event_shape)``.

        ``fit`` calls it before the first step. By default it does nothing. An override must have
        an effect only the first time, so that training can be continued.
        """

    @property
    def decoded_dim(self) -> int | None:
        """Number of leading dimensions of the code that the decoder reads; None for all."""
        return None

    @abstractmethod
    def forward(self) -> TorchDistribution:
        """The distribution p(z), of event_shape ``(latent_dim,)``."""


def codes_of(prior: TorchDistribution, *shape: int) -> Tensor:
    """Draws of p(z), ``(*shape, M)``; of p(z|c) where the last of ``shape`` counts the data."""
    size = Size(shape)
    drawn: Tensor = prior.expand(size).sample() if prior.batch_shape else prior.sample(size)
    return drawn
