"""Arrays that stay on the device, in three splits, with their identity."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from pyro_vae.core.errors import DataError
from pyro_vae.core.missing import Missing
from pyro_vae.data.binarization import draw
from pyro_vae.data.checks import AnyArray
from pyro_vae.data.identity import Identity
from pyro_vae.data.standardization import Standardization, transformed

__all__ = ["DataSet", "Split"]


@dataclass(frozen=True, eq=False, repr=False)
class Split:
    """Data for one purpose, as tensors.

    Args:
        x: Values, ``(N, *event)`` float32; grey intensities where ``dynamic``.
        labels: One for each datum, or None.
        dynamic: Whether every batch is a fresh Bernoulli draw of ``x``.
        rows: Which rows of the array, as it was read, these are: ``(N,)``, increasing.
        condition: Of each datum, ``(N, *shape)``, for a model that depends on one; or None.
        streams: Whether ``x`` is mapped from a file, and read where it is used.

    Example:
        >>> split = Split(torch.rand(10, 1, 8, 8))
        >>> len(split), split.batch(torch.tensor([7, 3])).shape
        (10, torch.Size([2, 1, 8, 8]))
    """

    x: Tensor
    labels: Tensor | None = None
    dynamic: bool = False
    rows: Tensor | None = None
    condition: Tensor | None = None
    streams: bool = False

    def __len__(self) -> int:
        return len(self.x)

    def __repr__(self) -> str:
        labels = "" if self.labels is None else ", labelled"
        dynamic = ", redrawn for every batch" if self.dynamic else ""
        return f"Split({len(self)} of shape {tuple(self.x.shape[1:])}{labels}{dynamic})"

    def batch(self, index: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """The data at ``index``, drawn afresh where ``dynamic``.

        Args:
            index: Positions within this split, ``(B,)``.
            generator: Where the draws come from, on any device; needed where ``dynamic``.

        Raises:
            DataError: if there are draws to make and no generator to make them with.
        """
        x = self.x[index.to(self.x.device)]
        if not self.dynamic:
            return x
        if generator is None:
            raise DataError(
                "This split is drawn afresh for every batch (binarization dynamic): expected a "
                "torch.Generator to draw with, got None; pass generator=..., or read the grey "
                "intensities from its x"
            )
        return draw(x, generator)

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> Split:
        """The same split on a device, and in a precision.

        Raises:
            DataError: if it streams, and the precision is not float32.
        """
        if self.streams and dtype not in (None, self.x.dtype):
            raise DataError(
                f"Expected a model in {self.x.dtype}, in which data stream, got one in {dtype}; "
                f"convert it (vae.to({self.x.dtype})), or read the data into memory (data.stream)"
            )
        names = ("labels", "rows", "condition")
        held = {name: getattr(self, name) for name in names}
        moved: Any = {name: v if v is None else v.to(device) for name, v in held.items()}
        return replace(self, x=self.x.to(device, dtype), **moved)

    def conditions(self, index: Tensor | slice) -> Tensor | None:
        """The conditions at ``index``, for ``vae.given``; None where there are none."""
        if self.condition is None:
            return None
        return self.condition[
            index.to(self.condition.device) if isinstance(index, Tensor) else index
        ]


@dataclass(frozen=True, eq=False, repr=False)
class DataSet:
    """What a model is trained, tuned and scored on.

    Args:
        train: Data to train on, never empty.
        validation: Data to choose with; may be empty.
        test: Data to score on; may be empty.
        identity: Tells these data from all others.
        standardization: By which the splits are z-scores, if they are.
        columns: Names of the positions of an event, if they have any.

    Example:
        >>> from pyro_vae.data import Digits
        >>> data = Digits().load()
        >>> data.event_shape, len(data.train), len(data.validation), len(data.test)
        ((1, 8, 8), 1258, 180, 359)
        >>> generator = torch.Generator().manual_seed(0)
        >>> [len(x) for x in data.batches(500, generator)]
        [500, 500, 258]
    """

    train: Split
    validation: Split
    test: Split
    identity: Identity
    standardization: Standardization | None = None
    columns: tuple[str, ...] = ()

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one datum."""
        return tuple(self.train.x.shape[1:])

    @property
    def splits(self) -> dict[str, Split]:
        """The three splits, by name."""
        return {"train": self.train, "validation": self.validation, "test": self.test}

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> DataSet:
        """The same data on a device, and in a precision."""
        train, validation, test = (split.to(device, dtype) for split in self.splits.values())
        return replace(self, train=train, validation=validation, test=test)

    def transform(self, x: AnyArray, missing: Missing = "refuse") -> Tensor:
        """Values in the data's units as the splits hold them, ``(N, *event_shape)`` float32.

        Args:
            x: The values.
            missing: Whether NaN is refused or kept.

        Raises:
            DataError: if they are unfit, or of another shape.
        """
        return transformed(x, self.standardization, missing)

    def inverse(self, x: Tensor) -> Tensor:
        """What the splits hold, ``(*batch, *event_shape)``, in the data's units."""
        return x if self.standardization is None else self.standardization.inverse(x)

    def batches(
        self, batch_size: int, generator: torch.Generator, *, drop_last: bool = False
    ) -> Iterator[Tensor]:
        """One pass over the training split, shuffled, gathered on the device where it lives.

        A generator on the CPU gives the same batches on every device.

        Shapes:
            each is ``(batch_size, *event_shape)``; the last may be smaller.

        Args:
            batch_size: How many data a batch holds, at least 1.
            generator: Where the shuffle, and a dynamic split's draws, come from.
            drop_last: Leave out a last batch that is smaller than the others.

        Raises:
            DataError: if the batch size is not a whole number above 0.
        """
        if type(batch_size) is not int or batch_size < 1:
            raise DataError(f"batch_size: expected a whole number > 0, got {batch_size!r}")
        size = len(self.train)
        order = torch.randperm(size, generator=generator, device=generator.device)
        indices = order.to(self.train.x.device).split(batch_size)
        if drop_last and len(indices) > 1 and size % batch_size:
            indices = indices[:-1]
        return (self.train.batch(index, generator) for index in indices)

    def __repr__(self) -> str:
        return f"DataSet({self.identity}, event_shape={self.event_shape})"

    def _repr_html_(self) -> str:
        from pyro_vae.data.shown import as_html

        return as_html(self)
