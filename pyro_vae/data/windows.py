"""Windows of a series: data of several successive rows."""

from __future__ import annotations

from dataclasses import replace

import torch

from pyro_vae.core.errors import DataError
from pyro_vae.data.dataset import Split

__all__ = ["check_windows", "windows"]


def windows(split: Split, length: int, name: str, step: int = 1) -> Split:
    """Each window of successive rows, time last: ``(N, channels)`` to ``(W, channels, length)``.

    Rows at the end that fill no window are left out. Nothing is copied.

    Args:
        split: Rows in the order of time.
        length: Number of rows of a window.
        name: What to call the split in a message.
        step: From the first row of a window to that of the next.

    Raises:
        DataError: if there are rows, but too few of them.

    Example:
        >>> windows(Split(torch.arange(10.0).reshape(5, 2)), 3, "x").x[0]
        tensor([[0., 2., 4.],
                [1., 3., 5.]])
    """
    if not len(split):
        return replace(split, x=split.x.new_zeros(0, *split.x.shape[1:], length))
    if len(split) < length:
        raise DataError(
            f"window: expected at least {length} rows in the {name} split, got {len(split)}; take "
            f"a shorter window, or a larger split"
        )
    rows = torch.arange(0, len(split) - length + 1, step)
    known = None if split.rows is None else split.rows[rows]
    return replace(split, x=split.x.unfold(0, length, step), rows=known)


def check_windows(split: Split, split_by: str, standardize: str) -> None:
    """Refuse windows of what is no series of vectors.

    Raises:
        DataError: with everything that is wrong.
    """
    wrong = [
        text
        for text, bad in (
            (f"split blocks, got {split_by}", split_by != "blocks"),
            (f"standardize none, got {standardize}", standardize != "none"),
            ("no labels, since a window has many rows, got labels", split.labels is not None),
            ("no condition, got one", split.condition is not None),
            (f"rows (channels,), got {tuple(split.x.shape[1:])}", split.x.dim() != 2),
        )
        if bad
    ]
    if wrong:
        raise DataError(f"window: expected {'; '.join(wrong)}")
