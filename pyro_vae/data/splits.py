"""Which rows train, validate and test."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import BeforeValidator
from torch import Tensor

from pyro_vae.core.errors import DataError
from pyro_vae.data.streams import stream

__all__ = ["Share", "SplitBy", "share_of", "split_rows"]


def _is_share(value: object) -> object:
    whole = type(value) is int and value >= 0
    fraction = isinstance(value, float) and 0 <= value < 1
    if not (whole or fraction):
        raise ValueError("a fraction in [0, 1) or a whole number of data")
    return value


Share = Annotated[int | float, BeforeValidator(_is_share)]
"""A fraction of the data, in [0, 1), or a whole number of them."""

SplitBy = Literal["shuffled", "blocks"]
"""At random, or in the order of the rows: the first train, the next validate, the last test."""


def share_of(share: int | float, size: int) -> int:
    """How many of ``size`` data a share is; a fraction above 0 is at least one.

    Example:
        >>> share_of(0.1, 1797), share_of(0.1, 3), share_of(0, 1797), share_of(25, 1797)
        (180, 1, 0, 25)
    """
    if isinstance(share, int):
        return share
    return max(1, round(share * size)) if share > 0 else 0


def split_rows(
    size: int,
    validation: int | float,
    test: int | float,
    seed: int,
    split: SplitBy = "shuffled",
) -> tuple[Tensor, Tensor, Tensor]:
    """Rows of the training, validation and test splits: disjoint, together all, each in order.

    Args:
        size: How many rows there are.
        validation: Share of them to validate on.
        test: Share of them to test on.
        seed: The same seed gives the same rows.
        split: ``shuffled``, or ``blocks`` in the order of the rows, which need no seed.

    Raises:
        DataError: if nothing is left to train on.

    Example:
        >>> train, validation, test = split_rows(10, validation=0.1, test=2, seed=0)
        >>> len(train), len(validation), len(test)
        (7, 1, 2)
        >>> split_rows(5, validation=1, test=2, seed=0, split="blocks")
        (tensor([0, 1]), tensor([2]), tensor([3, 4]))
    """
    sizes = share_of(validation, size), share_of(test, size)
    if sum(sizes) >= size:
        raise DataError(
            f"expected more than {sum(sizes)} rows (validation {sizes[0]}, test {sizes[1]}, and "
            f"at least 1 to train on), got {size}; bring more data, or smaller splits"
        )
    if split == "blocks":
        first, second, third = torch.arange(size).split([size - sum(sizes), *sizes])
        return first, second, third
    order = torch.randperm(size, generator=stream(seed, "split"))
    held_out, kept = order[: sum(sizes)], order[sum(sizes) :]
    first, second = held_out.split(sizes)
    return kept.sort().values, first.sort().values, second.sort().values
