"""What an array must be before a model sees it, and where it is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyro_vae.core.errors import DataError
from pyro_vae.data.foreign import NUMERIC, Foreign, as_numpy

__all__ = ["AnyArray", "as_event_rows", "as_labels", "first_where", "locate"]

AnyArray = Tensor | np.ndarray | Foreign

SHOWN_ROWS = 5


def as_event_rows(x: AnyArray, name: str = "x") -> Tensor:
    """An array as float32 rows ``(N, *event)`` on the CPU.

    Args:
        x: Booleans, integers or real numbers, ``(N, *event)``.
        name: What to call it in a message.

    Raises:
        DataError: if it holds no numbers, has no event dimension, or is not finite.

    Example:
        >>> as_event_rows(np.array([[True, False]]))
        tensor([[1., 0.]])
    """
    rows = _on_cpu(x, name).to(torch.float32)
    if rows.dim() < 2 or 0 in rows.shape[1:]:
        remedy = "; for one number a datum give x[:, None]" if rows.dim() == 1 else ""
        raise DataError(
            f"{name}: expected shape (N, *event) with at least one event dimension, each > 0, "
            f"got {tuple(rows.shape)}{remedy}"
        )
    _check_finite(rows, name)
    return rows


def as_labels(labels: AnyArray | None, rows: int, name: str = "labels") -> Tensor | None:
    """Labels as a tensor on the CPU, one for each row; integers become int64.

    Raises:
        DataError: if they are not numbers, or not as many as there are rows.
    """
    if labels is None:
        return None
    tensor = _on_cpu(labels, name, whole=np.int64)
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


def _on_cpu(x: AnyArray, name: str, whole: type[np.number[Any]] = np.float32) -> Tensor:
    """An array's numbers as a tensor without a gradient; NumPy's whole ones become ``whole``."""
    if isinstance(x, Tensor):
        if x.layout is not torch.strided or x.is_complex():
            raise DataError(
                f"{name}: expected a dense tensor of real numbers, got {x.layout} of {x.dtype}"
            )
        return x.detach().cpu()
    x = as_numpy(x, name)
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
    with np.errstate(over="ignore"):  # what overflows becomes infinite, and is reported as such
        return torch.from_numpy(x.astype(np.float32 if x.dtype.kind == "f" else whole))


def _check_finite(rows: Tensor, name: str) -> None:
    bad = (~torch.isfinite(rows)).flatten(1).any(1).nonzero()[:, 0].tolist()
    if bad:
        some = ", ".join(map(str, bad[:SHOWN_ROWS]))
        more = ", ..." if len(bad) > SHOWN_ROWS else ""
        raise DataError(
            f"{name}: expected finite numbers, got NaN or infinity (as float32) in {len(bad)} of "
            f"{len(rows)} rows: {some}{more}; remove these rows, or fill in what is missing"
        )
