"""The base class of likelihoods that work in units of the data's own."""

from __future__ import annotations

import math
import warnings
from typing import ClassVar

import torch
from torch import Tensor

from pyro_vae.core.likelihood import Likelihood
from pyro_vae.core.missing import seen_mean

__all__ = ["OwnUnits"]

FIXED = (0.03, 30.0)
OFFSET, SPREAD, LOST, ROWS = 100.0, 1000.0, 0.5, 1000
REMEDY = (
    "standardize the data, (x - mean) / standard deviation, which adds the sum of the logarithms "
    "of the standard deviations to each log-density"
)


class OwnUnits(Likelihood):
    """A likelihood whose locations and scales are multiples of ``unit``, the data's magnitude.

    ``fit`` measures the unit on the training data before its first step, and the encoder divides
    by it, so that training does not depend on the data's units. Until then it is 1.

    Args:
        event_shape: Shape of one datum.
    """

    unit: Tensor
    measured: Tensor
    power: ClassVar[int] = 2
    """The unit is the root mean square of the data; with 1, where outliers count little, their
    mean absolute value."""

    def __init__(self, event_shape: tuple[int, ...]) -> None:
        super().__init__(event_shape)
        self.register_buffer("unit", torch.ones(()))
        self.register_buffer("measured", torch.zeros((), dtype=torch.bool))

    @property
    def data_unit(self) -> Tensor | float:
        """The unit; 1 where the scale is a given number."""
        return getattr(self, "unit", 1.0)

    @torch.no_grad()
    def initialize(self, x: Tensor) -> None:
        """Measure the unit on the training data, the first time only; warn if it is too little."""
        seen = x
        if x.isnan().any():
            seen, x = x[~x.isnan()], torch.where(x.isnan(), seen_mean(x, 0), x)
        if not seen.any():
            return
        largest = seen.abs().max()
        magnitude = largest * (seen / largest).abs().pow(self.power).mean() ** (1 / self.power)
        free = "unit" in self._buffers
        problem = _of_counts(seen) if self.support.is_discrete else _of_values(x, magnitude, free)
        if problem:
            warnings.warn(problem, stacklevel=2)
        if free and not self.measured:
            self.unit.copy_(magnitude)
            self.measured.fill_(True)


def _of_counts(x: Tensor) -> str:
    """Why log-densities of the counts are inexact, if they are."""
    largest = x.max().item()
    lost = largest * math.log(max(largest, 1.0)) * torch.finfo(x.dtype).eps
    if lost < LOST:
        return ""
    return (
        f"Expected counts that {x.dtype} resolves, got {largest:.3g}: rounding takes about "
        f"{lost:.2g} nats from the log-density of one; model the counts' logarithms, with "
        f"likelihood: gaussian"
    )


def _of_values(x: Tensor, magnitude: Tensor, free: bool) -> str:
    """Why the networks cannot resolve the data, if they cannot."""
    if not free and not FIXED[0] < magnitude < FIXED[1]:
        return (
            f"Expected data of about 1 beside a scale that is a given number, got a magnitude of "
            f"{magnitude.item():.3g}; choose scale: learned, which takes the data's own, or "
            f"{REMEDY}"
        )
    if x.dim() != 2:  # a picture, whose pixels have one unit
        return ""
    x = x[:: len(x) // ROWS + 1]
    deviation, middle = x.std(0, correction=0), x.mean(0).abs()
    varied = deviation > 1e-6 * middle
    ratio = max((middle / deviation)[varied].tolist(), default=0.0)
    if ratio > OFFSET:
        return (
            f"Expected columns about 0, got one whose mean is {ratio:.3g} times its standard "
            f"deviation; {REMEDY}"
        )
    sizes = [size for size in x[:, varied].abs().median(0).values.tolist() if size]
    if sizes and max(sizes) > SPREAD * min(sizes):
        return (
            f"Expected columns in like units, got magnitudes from {min(sizes):.3g} to "
            f"{max(sizes):.3g}; {REMEDY}"
        )
    return ""
