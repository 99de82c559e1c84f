"""The contract of a posterior, q(z|x): what the guide samples from."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor, nn

from pyro_vae.core.declarable import Declarable

__all__ = ["Posterior"]


class Posterior(nn.Module, Declarable, home="pyro_vae.posteriors"):
    """q(z|x): a module whose ``forward(encoder(x))`` returns the approximate posterior.

    How to write one:
        1. One class in one file of ``pyro_vae/posteriors``, or in a notebook cell. Its name in
           snake case is its ``kind``; a file is named for its kind.
        2. The constructor takes ``latent_dim`` (filled in by the model) and the arguments that a
           user may declare, annotated, each with a line under ``Args:``.
        3. ``parameter_shape`` is the shape, for one datum, of what the encoder has to put out.
        4. ``forward(parameters)`` maps ``(*batch, *parameter_shape)`` to a Pyro distribution of
           batch_shape ``batch`` and event_shape ``(latent_dim,)``, with ``rsample``.
        5. Whatever is unbounded and must be positive is bounded away from 0 and infinity
           (:func:`pyro_vae.distributions.bounds.bounded_scale`).
        6. Where the distribution has no known mean, or its mean is not a valid code,
           ``point_estimate`` returns the code to use in its place.
        7. With ``amortized = False`` each training datum has free parameters of its own, in place
           of an encoder's output (:class:`~pyro_vae.networks.lookup.Lookup`).

    Args:
        latent_dim: Size M of the latent code, at least 1.
    """

    amortized: ClassVar[bool] = True

    @property
    @abstractmethod
    def parameter_shape(self) -> tuple[int, ...]:
        """Shape, for one datum, of what the encoder puts out."""

    @abstractmethod
    def forward(self, parameters: Tensor) -> TorchDistribution:
        """q(z|x) from the encoder's output, ``(*batch, *parameter_shape)``."""

    def point_estimate(self, q: TorchDistribution) -> Tensor:
        """The one code that stands for q where a single one is wanted, ``(*batch, latent_dim)``.

        It is the mean of q, unless the kind says otherwise.
        """
        mean: Tensor = q.mean
        return mean
