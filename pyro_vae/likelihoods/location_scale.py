"""The base class of likelihoods with a location and a scale."""

from __future__ import annotations

from typing import Literal

from pydantic import PositiveFloat
from torch import Tensor

from pyro_vae.distributions.bounds import bounded_scale, learned_scale, raw_scale
from pyro_vae.likelihoods.own_units import OwnUnits

__all__ = ["LocationScale"]


class LocationScale(OwnUnits):
    """A likelihood whose location is the decoder's output, with one of these scales.

    - a number: a hyper-parameter, the same for every dimension;
    - ``learned``: one number, learned with the weights; its logarithm has ten times a weight's
      learning rate;
    - ``per_dimension``: one number for each dimension, learned likewise;
    - ``heteroscedastic``: an output of the decoder, for each datum and dimension.

    With any scale but a given number, location and scale are in units of the training data's own
    (:class:`~pyro_vae.likelihoods.own_units.OwnUnits`): a learned scale is 1 unit initially, and
    each is bounded to [1e-3, 1e3] units.

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
        if not isinstance(scale, str):
            del self.unit, self.measured  # a given scale is in the data's units
        if scale in ("learned", "per_dimension"):
            self.raw_scale = raw_scale(self.event_shape if scale == "per_dimension" else ())

    @property
    def parameter_shape(self) -> tuple[int, ...]:
        """Locations; with a heteroscedastic scale, locations and raw scales."""
        return (2, *self.event_shape) if self.scale == "heteroscedastic" else self.event_shape

    def loc_and_scale(self, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """The location ``(*batch, *event_shape)``, and a scale that broadcasts with it."""
        if self.scale == "heteroscedastic":
            loc, raw = parameters.unbind(-len(self.event_shape) - 1)
            return self.unit * loc, self.unit * bounded_scale(raw)
        if isinstance(self.scale, str):
            return self.unit * parameters, self.unit * learned_scale(self.raw_scale)
        return parameters, parameters.new_tensor(self.scale)
