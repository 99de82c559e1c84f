"""Ranges of numbers in declarations: what PyTorch can represent, and what can be meant."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

__all__ = ["LARGEST_SEED", "LARGEST_SIZE", "Layers", "Particles", "Seed", "Size", "in_range"]

LARGEST_SEED = 2**32 - 1  # of NumPy's generator
LARGEST_SIZE = 2**31 - 1
LARGEST, SMALLEST = 1e38, 1e-38  # of a float32 in full precision

Seed = Annotated[int, Field(ge=0, le=LARGEST_SEED)]
Size = Annotated[int, Field(gt=0, le=LARGEST_SIZE)]
Particles = Annotated[int, Field(gt=0, le=10**6)]
Layers = Annotated[int, Field(gt=0, le=1000)]
"""Modules that are made one by one."""


def in_range(value: object) -> object:
    """A value of a setting, whose numbers, in a list too, float32 and int64 can represent.

    Raises:
        ValueError: saying the range.

    Example:
        >>> in_range([1, 2.5])
        [1, 2.5]
        >>> in_range(1e-50)
        Traceback (most recent call last):
        ValueError: 0, or between 1e-38 and 1e+38 in size
    """
    for number in value if isinstance(value, list | tuple) else (value,):
        if isinstance(number, int) and abs(number) > LARGEST_SEED:
            raise ValueError(f"at most {LARGEST_SEED:,} in size")
        if isinstance(number, float) and number and not SMALLEST <= abs(number) <= LARGEST:
            raise ValueError(f"0, or between {SMALLEST:g} and {LARGEST:g} in size")
    return value
