"""Likelihoods that stand around the decoder's output, with a scale."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import PositiveFloat
from torch import Tensor, nn

from pyro_vae.core.likelihood import Likelihood
from pyro_vae.distributions.bounds import bounded_scale, learned_scale

__all__ = ["LocationScale"]


class LocationScale(Likelihood):
    """What the location-scale likelihoods share: where the scale comes from.

    How to write one: as any :class:`~pyro_vae.core.likelihood.Likelihood`, with a ``forward``
    that begins with ``loc, scale = self.loc_and_scale(parameters)``. Its own constructor is
    needed only for further arguments.

    - a number: a hyper-parameter, the same for every dimension;
    - ``learned``: one number, learned with the weights. It begins at 1, and its logarithm moves
      ten times as fast as a weight does under Adam, since it has far to go;
    - ``per_dimension``: one number for each dimension, learned likewise;
    - ``heteroscedastic``: the decoder puts it out beside the location, for each datum and
      dimension.

    Every scale that is not a number given by you stays within [1e-3, 1e3].

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
        super().__init__()
        self.event_shape, self.scale = tuple(event_shape), scale
        if scale in ("learned", "per_dimension"):
            shape = self.event_shape if scale == "per_dimension" else ()
            self.raw_scale = nn.Parameter(torch.zeros(shape))

    @property
    def parameter_shape(self) -> tuple[int, ...]:
        """Locations; for a heteroscedastic scale, locations and raw scales."""
        return (2, *self.event_shape) if self.scale == "heteroscedastic" else self.event_shape

    def loc_and_scale(self, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Location ``(*batch, *event_shape)``, and a scale that broadcasts with it."""
        if self.scale == "heteroscedastic":
            loc, raw_scale = parameters.unbind(-len(self.event_shape) - 1)
            return loc, bounded_scale(raw_scale)
        if isinstance(self.scale, str):
            return parameters, learned_scale(self.raw_scale)
        return parameters, parameters.new_tensor(self.scale)
