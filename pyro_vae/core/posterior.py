"""The contract of a posterior, q(z|x): what the guide samples from."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor, nn

from pyro_vae.core.declarable import Declarable
from pyro_vae.core.prior import Prior

__all__ = ["Posterior"]


class Posterior(nn.Module, Declarable, home="pyro_vae.posteriors"):
    """q(z|x): a module whose ``forward(encoder(x))`` returns the approximate posterior.

    How to write one:
        1. One class in one file of ``pyro_vae/posteriors``, or in a notebook cell. Its name in
           snake case is its ``kind``, and the name of the file.
        2. The constructor takes ``latent_dim`` (filled in by the model) and the arguments that a
           user may declare, annotated, each with a line under ``Args:``.
        3. ``parameter_shape`` is the shape of the encoder's output for one datum.
        4. ``forward(parameters)`` maps ``(*batch, *parameter_shape)`` to a Pyro distribution of
           batch_shape ``batch`` and event_shape ``(latent_dim,)``, with ``rsample``.
        5. Positive parameters are kept away from 0 and infinity
           (:func:`pyro_vae.distributions.bounds.bounded_scale`).
        6. If the distribution has no known mean, or its mean is not a valid code, override
           ``point_estimate``.
        7. With ``amortized = False`` each training datum has free parameters instead of an
           encoder's output (:class:`~pyro_vae.networks.lookup.Lookup`).

    Args:
        latent_dim: Size M of the latent code, at least 1.
    """

    amortized: ClassVar[bool] = True

    def share(self, prior: Prior) -> None:
        """Take what belongs to the prior too; a model calls it once, when both are built.

        By default a posterior takes nothing.
        """

    @property
    @abstractmethod
    def parameter_shape(self) -> tuple[int, ...]:
        """Shape of the encoder's output for one datum."""

    @abstractmethod
    def forward(self, parameters: Tensor) -> TorchDistribution:
        """q(z|x) from the encoder's output, ``(*batch, *parameter_shape)``."""

    def point_estimate(self, q: TorchDistribution) -> Tensor:
        """A single code that represents q, ``(*batch, latent_dim)``; by default its mean."""
        mean: Tensor = q.mean
        return mean
