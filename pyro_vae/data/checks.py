"""What an array must be before a model sees it, and where it is not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyro_vae.core.errors import DataError
from pyro_vae.core.messages import shown
from pyro_vae.core.missing import REMEDY, Missing, seen_mean
from pyro_vae.data.foreign import NUMERIC, Foreign, as_numpy
from pyro_vae.data.sparse_rows import SparseRows

__all__ = [
    "TOLERANCE",
    "AnyArray",
    "as_event_rows",
    "as_labels",
    "deviation",
    "event_rows",
    "first_where",
    "fits_float32",
    "gaps_in_words",
    "in_precision",
    "locate",
    "rounded",
]

AnyArray = Tensor | np.ndarray | Foreign

SHOWN_ROWS = 5
WHOLE = 2**53
TOLERANCE = 1e-3  # of a column's standard deviation, for rounding to float32


def as_event_rows(x: AnyArray, name: str = "x", missing: Missing = "refuse") -> Tensor:
    """An array as rows ``(N, *event)`` on the CPU: float32 if that holds every value, or float64.

    Args:
        x: Booleans, integers or real numbers, ``(N, *event)``.
        name: What to call it in a message.
        missing: Whether NaN, or a table's empty cell, is refused or kept as NaN.

    Raises:
        DataError: if it holds no numbers, has no event dimension, or is not finite.

    Example:
        >>> as_event_rows(np.array([[True, False]])), as_event_rows(np.array([[0.1]])).dtype
        (tensor([[1., 0.]]), torch.float64)
    """
    if isinstance(x, SparseRows):
        return x  # which were checked as they were read
    rows = _on_cpu(x, name, missing)
    if rows.dim() < 2 or 0 in rows.shape[1:]:
        remedy = "; for one number a datum give x[:, None]" if rows.dim() == 1 else ""
        raise DataError(
            f"{name}: expected shape (N, *event) with at least one event dimension, each > 0, "
            f"got {tuple(rows.shape)}{remedy}"
        )
    if missing == "refuse" or not rows.is_floating_point():
        _check_finite(rows, name)
    else:
        rows[rows.isnan()] = torch.nan  # one pattern of bits, for the digest
        _check_finite(rows.nan_to_num(0.0, torch.inf, -torch.inf), name)
    small = rows.to(torch.float32)
    if rows.dtype.itemsize <= 2 or rows.dtype == torch.float32:
        return small
    wide = rows.to(torch.float64)
    if not rows.is_floating_point() and wide.numel() and wide.abs().max() >= WHOLE:
        raise DataError(
            f"{name}: expected whole numbers below 2^53, which float64 holds, got up to "
            f"{wide.abs().max():.0f}; take off what they share, or leave them out"
        )
    return small if torch.equal(small.double().nan_to_num(), wide.nan_to_num()) else wide


def event_rows(x: Any, event_shape: tuple[int, ...]) -> Tensor:
    """What is given as data, if it is a tensor ``(N, *event_shape)``.

    Raises:
        DataError: saying what it is.
    """
    event = tuple(x.shape[1:]) if isinstance(x, Tensor) and x.dim() else None
    if event != event_shape:
        got = f"one of shape {tuple(x.shape)}" if isinstance(x, Tensor) else shown(x)
        want = ", ".join(["N", *map(str, event_shape)])
        raise DataError(f"Expected x to be a tensor of shape ({want}), got {got}")
    data: Tensor = x
    return data


def in_precision(x: Tensor, weight: Tensor | None) -> Tensor:
    """Data, if they have the precision of a model's weights.

    Raises:
        DataError: saying how to convert one of them.
    """
    if weight is not None and x.is_floating_point() and x.dtype != weight.dtype:
        raise DataError(
            f"Expected x in the precision of the model's weights, {weight.dtype}, got {x.dtype}; "
            f"convert one of them: x.to({weight.dtype}), or vae.to({x.dtype})"
        )
    return x


def fits_float32(rows: Tensor, name: str, columns: Sequence[str] = ()) -> Tensor:
    """Rows ``(N, *event)`` as float32, if rounding changes little.

    Args:
        rows: As float32 or float64.
        name: What to call them in a message.
        columns: Names of the positions of the event, if they have any.

    Raises:
        DataError: if a value overflows, or if rounding moves a value by more than a thousandth of
            the standard deviation of its column (its position of the event).

    Example:
        >>> fits_float32(torch.tensor([[0.1]], dtype=torch.float64), "x")
        tensor([[0.1000]])
        >>> fits_float32(torch.tensor([[1e9], [1e9 + 1]], dtype=torch.float64), "x")
        Traceback (most recent call last):
        ...
        pyro_vae.core.errors.DataError: x: expected values that float32 can tell apart, ...
    """
    small = rounded(rows, name)
    if small.dtype == rows.dtype or not len(rows):
        return small
    moved = (small.double() - rows).nan_to_num(0.0).abs().amax(0)
    bad = (moved > deviation(rows) * TOLERANCE) & (rows != rows[0]).any(0)
    if bad.any():
        position = tuple(bad.nonzero()[0].tolist())
        values, kept = (r[(slice(None), *position)] for r in (rows, small))
        column = repr(columns[position[0]]) if columns else str(position)
        raise DataError(
            f"{name}: expected values that float32 can tell apart, got "
            f"{len(kept.unique())} left of {len(values.unique())} in column {column}, from "
            f"{values.min():.12g} to {values.max():.12g}; standardize them (standardize=zscore, "
            "which is done in float64), or take off what they share"
        )
    return small


def rounded(rows: Tensor, name: str) -> Tensor:
    """Rows ``(N, *event)`` as float32, if none overflows; :func:`fits_float32` also judges them.

    Raises:
        DataError: if a value overflows.
    """
    small = rows.to(torch.float32)
    if small.dtype != rows.dtype:
        finite = small.nan_to_num(0.0, torch.inf, -torch.inf)
        _check_finite(finite, name, "standardize them (standardize=zscore)")
    return small


def deviation(x: Tensor) -> Tensor:
    """The standard deviation over the rows ``(N, *event)``, in any unit: no square is extreme.

    Example:
        >>> deviation(torch.tensor([[-1e-200], [1e-200]], dtype=torch.float64)).item()
        1e-200
    """
    away = x - seen_mean(x, 0)
    widest = away.nan_to_num(0.0).abs().amax(0).clamp_min(torch.finfo(x.dtype).tiny)
    scaled = away / widest
    if not x.isnan().any():
        return scaled.std(0, correction=0) * widest
    return seen_mean((scaled - seen_mean(scaled, 0)).square(), 0).sqrt() * widest


def as_labels(labels: AnyArray | None, rows: int, name: str = "labels") -> Tensor | None:
    """Labels as a tensor on the CPU, one for each row; integers become int64.

    Texts are numbered in alphabetical order.

    Raises:
        DataError: if they are neither numbers nor texts, or not as many as there are rows.

    Example:
        >>> as_labels(np.array(["b", "a", "b"]), 3)
        tensor([1, 0, 1])
    """
    if labels is None:
        return None
    texts: Any = labels
    if not isinstance(labels, Tensor) and rows and all(isinstance(t, str) for t in texts):
        labels = np.unique(np.asarray(texts, dtype=str), return_inverse=True)[1]
    tensor = _on_cpu(labels, name)
    if tensor.dim() == 0 or len(tensor) != rows:
        raise DataError(
            f"{name}: expected one for each of the {rows} rows, got shape {tuple(tensor.shape)}"
        )
    return tensor if tensor.is_floating_point() else tensor.long()


def first_where(bad: Tensor) -> tuple[int, tuple[int, ...]]:
    """Row and position in the event of the first True of ``bad``, ``(N, *event)``."""
    row, *position = bad.nonzero()[0].tolist()
    return row, tuple(position)


def locate(bad: Tensor, x: Tensor) -> str:
    """In words: how many values of ``x`` are bad, in how many rows, and which is the first.

    Args:
        bad: Where, ``(N, *event)``, or without the dimensions that are judged together.
        x: The values, ``(N, *event)``.

    Example:
        >>> x = torch.tensor([[0.0, 1.0], [0.5, 2.0]])
        >>> locate(x > 0.9, x)
        '2 values in 2 of 2 rows, the first in row 0 at position (1,): 1'
    """
    row, position = first_where(bad)
    count, rows = int(bad.sum()), int(bad.reshape(len(bad), -1).any(1).sum())
    value = x[(row, *position)]
    shown = f"{value.item():g}" if value.dim() == 0 else str(value.tolist())
    return (
        f"{count} value{'s' if count > 1 else ''} in {rows} of {len(x)} rows, "
        f"the first in row {row} at position {position}: {shown}"
    )


def _on_cpu(x: AnyArray, name: str, missing: Missing = "refuse") -> Tensor:
    """An array's numbers as a tensor without a gradient."""
    if isinstance(x, Tensor):
        if x.layout is not torch.strided or x.is_complex():
            raise DataError(
                f"{name}: expected a dense tensor of real numbers, got {x.layout} of {x.dtype}"
            )
        return x.detach().cpu().clone()  # the caller's may change
    x = as_numpy(x, name, missing)
    if not isinstance(x, np.ndarray):
        raise DataError(
            f"{name}: expected a torch.Tensor, a numpy.ndarray, a SciPy sparse matrix or a pandas "
            f"table, got {type(x).__name__}; "
            "convert it with numpy.asarray"
        )
    if x.dtype.kind not in NUMERIC:
        raise DataError(f"{name}: expected booleans, integers or real numbers, got {x.dtype}")
    if isinstance(x, np.ma.MaskedArray):
        x = np.ma.filled(x.astype(np.float64), np.nan)  # masked is missing, and reported so
    native = np.float64 if x.dtype.itemsize > 8 else x.dtype.newbyteorder("=")
    with np.errstate(over="ignore"):  # what overflows becomes infinite, and is reported as such
        return torch.from_numpy(x.astype(native))


def _check_finite(rows: Tensor, name: str, remedy: str = "") -> None:
    bad = (~torch.isfinite(rows)).flatten(1).any(1).nonzero()[:, 0].tolist()
    if bad:
        some = ", ".join(map(str, bad[:SHOWN_ROWS]))
        more = ", ..." if len(bad) > SHOWN_ROWS else ""
        remedy = remedy or f"fill in what is missing ({REMEDY})"
        raise DataError(
            f"{name}: expected finite numbers, got NaN or infinity (as {str(rows.dtype)[6:]}) in "
            f"{len(bad)} of {len(rows)} rows: {some}{more}; remove these rows, or {remedy}"
        )


def gaps_in_words(missing: int, empty: int, rows: int, values: int, binarization: str) -> str:
    """How many values are missing, in words; an error if rows are empty, or it must not be."""
    if not missing:
        return ""
    if binarization != "none":
        raise DataError(
            f"binarization {binarization}: expected no missing values, got {missing:,}; make "
            "the values binary first, and choose binarization none"
        )
    if empty:
        raise DataError(
            f"x: expected a value in each row, got none in {empty} of {rows} rows; remove these "
            "rows"
        )
    return f"{missing:,} of {values:,} values missing"
