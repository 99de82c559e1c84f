"""The base class of likelihoods with a location and a scale."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import PositiveFloat
from torch import Tensor, nn

from pyro_vae.core.likelihood import Likelihood
from pyro_vae.distributions.bounds import bounded_scale, learned_scale

__all__ = ["LocationScale"]


class LocationScale(Likelihood):
    """A likelihood whose location is the decoder's output, with one of these scales.

    - a number: a hyper-parameter, the same for every dimension;
    - ``learned``: one number, learned with the weights. It is 1 initially, and its logarithm has
      ten times a weight's learning rate;
    - ``per_dimension``: one number for each dimension, learned likewise;
    - ``heteroscedastic``: an output of the decoder, for each datum and dimension.

    Every scale but a given number is bounded to [1e-3, 1e3].

    How to write one: as any :class:`~pyro_vae.core.likelihood.Likelihood`, with a ``forward``
    that starts with ``loc, scale = self.loc_and_scale(parameters)``.

    Args:
        event_shape: Shape of one datum.
        scale: A number above 0, learned, per_dimension or heteroscedastic.
    """

    scale: float | str

    def __init__(
        self,
        event_shape: tuple[int, ...],
        scale: PositiveFloat | Literal["learned", "per_dimension", "heteroscedastic"] = "learned",
    ) -> None:
        super().__init__(event_shape)
        self.scale = scale
        if scale in ("learned", "per_dimension"):
            shape = self.event_shape if scale == "per_dimension" else ()
            self.raw_scale = nn.Parameter(torch.zeros(shape))

    @property
    def parameter_shape(self) -> tuple[int, ...]:
        """Locations; with a heteroscedastic scale, locations and raw scales."""
        return (2, *self.event_shape) if self.scale == "heteroscedastic" else self.event_shape

    def loc_and_scale(self, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """The location ``(*batch, *event_shape)``, and a scale that broadcasts with it."""
        if self.scale == "heteroscedastic":
            loc, raw_scale = parameters.unbind(-len(self.event_shape) - 1)
            return loc, bounded_scale(raw_scale)
        if isinstance(self.scale, str):
            return parameters, learned_scale(self.raw_scale)
        return parameters, parameters.new_tensor(self.scale)
