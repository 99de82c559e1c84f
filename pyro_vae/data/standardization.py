"""Values shifted and scaled by the statistics of what is trained on, in float64."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Self

import torch
from torch import Tensor

from pyro_vae.core.errors import DataError
from pyro_vae.core.missing import Missing, seen_mean
from pyro_vae.data.checks import AnyArray, as_event_rows, deviation, fits_float32
from pyro_vae.data.table_format import TableFormat

__all__ = [
    "ZSCORES",
    "Standardization",
    "Standardize",
    "check_standardize",
    "log_scale",
    "own",
    "transformed",
]

ZSCORES = "z-scores by the training data"
Standardize = Literal["none", "zscore"]
"""``zscore``: each position of the event minus its mean, over its standard deviation (both of the
training split, which divides by N); where the training data do not vary, the mean is taken off
and nothing is divided."""


@dataclass(frozen=True, eq=False)
class Standardization:
    """The z-score of each position of an event: ``(x - mean) / scale``.

    Args:
        mean: Of the training data, ``(*event)`` float64.
        scale: Their standard deviation, ``(*event)`` float64; 1 where they do not vary.
        table: The columns, if the data are a table of several kinds; the mean of a column that
            is not scaled is 0, and its scale 1.

    Example:
        >>> days = Standardization.of(torch.tensor([[1.0], [3.0]], dtype=torch.float64))
        >>> days.transform(torch.tensor([[4.0]])), days.inverse(torch.tensor([[2.0]]))
        (tensor([[2.]]), tensor([[4.]], dtype=torch.float64))
    """

    mean: Tensor
    scale: Tensor
    table: TableFormat | None = None

    @classmethod
    def of_table(cls, table: TableFormat) -> Self:
        """That of data of these columns, before :meth:`of` has seen any."""
        unknown = torch.full((len(table.columns),), torch.nan, dtype=torch.float64)
        return cls(unknown, unknown, table)

    @property
    def is_fitted(self) -> bool:
        """Whether the means and scales are known."""
        return not bool(self.mean.isnan().any())

    @classmethod
    def of(cls, x: Tensor, table: TableFormat | None = None) -> Self:
        """That of training data, ``(N, *event)``, without those that are missing (NaN).

        Raises:
            DataError: if a position has no value.
        """
        x = x.double()
        unknown = x.isnan().all(0)
        if unknown.any():
            raise DataError(
                f"x: expected a value of each position in the training data, got none at "
                f"{tuple(unknown.nonzero()[0].tolist())}; leave it out, or bring more data"
            )
        spread, mean = deviation(x), seen_mean(x, 0)
        first = torch.where(x.isnan(), -torch.inf, x).amax(0)
        varies = ((x != first) & ~x.isnan()).any(0)
        if table is not None:
            varies &= torch.tensor([column.scaled for column in table.columns])
            mean = torch.where(torch.tensor([c.scaled for c in table.columns]), mean, 0.0)
        return cls(mean, torch.where(varies, spread, torch.ones_like(spread)), table)

    def transform(self, x: AnyArray, missing: Missing = "refuse") -> Tensor:
        """Values in the data's units as z-scores, ``(N, *event)`` float32 on the CPU.

        Args:
            x: The values.
            missing: Whether NaN is refused or kept.

        Raises:
            DataError: if they are unfit, or of another shape.
        """
        if not self.is_fitted:
            raise DataError("x: expected a model that was fitted, whose columns have scales")
        rows = as_event_rows(self.encode(x), missing=missing)
        if rows.shape[1:] != self.mean.shape:
            raise DataError(
                f"x: expected shape (N, {', '.join(map(str, self.mean.shape))}), as standardized, "
                f"got {tuple(rows.shape)}"
            )
        return fits_float32((rows.double() - self.mean) / self.scale, "x, as z-scores,")

    def encode(self, x: AnyArray) -> AnyArray:
        """A table of several kinds as numbers; anything else as it is."""
        return x if self.table is None or not hasattr(x, "columns") else self.table.encode(x)

    def state(self) -> dict[str, Tensor]:
        """As tensors; :meth:`from_state` is the inverse."""
        table = b"" if self.table is None else self.table.to_json().encode()
        text = {"table": torch.tensor(list(table), dtype=torch.uint8)} if table else {}
        return {"mean": self.mean.contiguous(), "scale": self.scale.contiguous(), **text}

    @classmethod
    def from_state(cls, mean: Tensor, scale: Tensor, table: Tensor | None = None) -> Self:
        """From what :meth:`state` gave."""
        text = None if table is None else bytes(table.tolist()).decode()
        return cls(mean, scale, None if text is None else TableFormat.from_json(text))

    def inverse(self, x: Tensor) -> Tensor:
        """Z-scores ``(*batch, *event)`` in the data's units, as float64."""
        return x.double() * self.scale.to(x.device) + self.mean.to(x.device)

    def __eq__(self, other: Any) -> bool:
        return (
            isinstance(other, Standardization)
            and self.table == other.table
            and all(
                torch.equal(mine, its)
                for mine, its in ((self.mean, other.mean), (self.scale, other.scale))
            )
        )

    __hash__ = None  # type: ignore[assignment]


def own(x: Tensor, how: Standardization | None, like: Any = None) -> Any:
    """What a model sees, ``(N, *event)``, as the data came: in their units, or as a table.

    Args:
        x: As the model sees it.
        how: The data's standardization.
        like: What has the table's index, if there is such.
    """
    if how is None or how.table is None:
        return x if how is None else how.inverse(x)
    return how.table.decode(how.inverse(x).cpu().numpy(), getattr(like, "index", None))


def transformed(x: AnyArray, how: Standardization | None, missing: Missing = "refuse") -> Tensor:
    """Values in the data's units on the scale of the splits, ``(N, *event)`` float32 on the CPU.

    Raises:
        DataError: if they are unfit, or of another shape.
    """
    if how is not None:
        return how.transform(x, missing)
    return fits_float32(as_event_rows(x, missing=missing), "x")


def log_scale(how: Standardization | None, x: Tensor) -> Tensor:
    """What the log-density of each of these z-scores loses for data in their own units, in nats.

    Args:
        how: The data's standardization.
        x: Z-scores ``(N, *event)``; a value that is missing (NaN) has no part in it.

    Returns:
        ``(N,)``, float64, on the CPU.

    Example:
        >>> how = Standardization(torch.zeros(2), torch.tensor([1.0, 2.0]))
        >>> log_scale(how, torch.tensor([[0.0, 0.0], [0.0, torch.nan]]))
        tensor([0.6931, 0.0000], dtype=torch.float64)
    """
    if how is None:
        return torch.zeros(len(x), dtype=torch.float64)
    logs = how.scale.double().log().cpu()
    return logs.sum() - torch.where(x.isnan().cpu(), logs, 0.0).flatten(1).sum(1)


def check_standardize(standardize: Standardize, binarization: str) -> None:
    """Refuse data that shall be both standardized and made binary."""
    if standardize != "none" and binarization != "none":
        raise DataError(
            f"standardize {standardize}: expected binarization none, got {binarization}; "
            "data are standardized or made binary, not both"
        )
