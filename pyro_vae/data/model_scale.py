"""Data in their own units as a model sees them, and back."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from pyro_vae.core.missing import Gaps, Missing
from pyro_vae.core.modes import device_of
from pyro_vae.data.checks import AnyArray, event_rows, in_precision
from pyro_vae.data.standardization import Standardization, transformed

__all__ = ["ModelScale"]


class ModelScale(nn.Module):
    """A model that knows how its data were standardized, and of which shape and precision."""

    event_shape: tuple[int, ...]
    missing: Gaps
    standardization: Standardization | None = None
    """By which the data that it was trained on became z-scores; ``fit`` sets it."""

    def transform(self, x: AnyArray) -> Tensor:
        """Values in the data's own units as the model sees them, ``(N, *event_shape)``."""
        weight = next(self.parameters(), torch.empty(0))
        rows = transformed(x, self.standardization, self.on_missing)
        return rows.to(device_of(self), weight.dtype)

    def inverse(self, x: Tensor) -> Tensor:
        """What the model sees, ``(*batch, *event_shape)``, in the data's own units."""
        return x if self.standardization is None else self.standardization.inverse(x)

    @property
    def on_missing(self) -> Missing:
        """What reading data for it does with NaN: ``refuse`` or ``keep``."""
        return "refuse" if self.missing == "none" else "keep"

    def rows(self, x: Any) -> Tensor:
        """Data as a tensor ``(N, *event_shape)``, of any precision."""
        if not isinstance(x, Tensor) and hasattr(x, "shape"):
            x = self.transform(x)
        return event_rows(x, self.event_shape)

    def _data(self, x: Any) -> Tensor:
        return in_precision(self.rows(x), next(self.parameters(), None))
