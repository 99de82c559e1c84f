"""Whether arrays fit into memory, before they are made."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from math import prod
from pathlib import Path

from pyro_vae.core.errors import DataError

__all__ = ["BYTES", "available_memory", "check_room"]

BYTES = 4  # of a float32
COPIES = 2  # the array as it was read, and its splits
CONTROL_GROUP = Path("/sys/fs/cgroup")
MEMORY_INFO = Path("/proc/meminfo")


def available_memory() -> int | None:
    """Bytes that can still be had, as far as Linux and its control group say; else None."""
    found = []
    with suppress(OSError, ValueError, StopIteration):
        lines = MEMORY_INFO.read_text().splitlines()
        line = next(line for line in lines if line.startswith("MemAvailable:"))
        found.append(int(line.split()[1]) * 1024)
    with suppress(OSError, ValueError):  # the limit is "max" where there is none
        limit, used = (
            int((CONTROL_GROUP / f"memory.{what}").read_text()) for what in ("max", "current")
        )
        found.append(max(0, limit - used))
    return min(found, default=None)


def check_room(shape: Sequence[int], name: str, remedy: str) -> None:
    """Refuse an array that would not fit as float32, beside its splits.

    Args:
        shape: Of the array.
        name: What to call it in a message.
        remedy: What to do instead.

    Raises:
        DataError: if more memory is needed than there is.

    Example:
        >>> check_room((10, 3), "x", "bring less")
        >>> check_room((10**9, 10**6), "x", "bring less")
        Traceback (most recent call last):
        ...
        pyro_vae.core.errors.DataError: x: expected an array that fits into ... bring less
    """
    needed, available = BYTES * COPIES * prod(shape), available_memory()
    if available is not None and needed > available:
        raise DataError(
            f"{name}: expected an array that fits into the {available / 1e9:.1f} GB of memory "
            f"that are free, got shape {tuple(shape)}, which needs {needed / 1e9:.1f} GB as "
            f"float32 with its splits; {remedy}"
        )
