"""ArviZ, where it is installed."""

from __future__ import annotations

import importlib
from typing import Any

from pyro_vae.core.errors import DataError

__all__ = ["arviz"]


def arviz(name: str) -> Any:
    """A module of ArviZ's packages.

    Raises:
        DataError: naming the extra that brings it, where it is missing.

    Example:
        >>> arviz("arviz_stats").__name__
        'arviz_stats'
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise DataError(
            f"Expected ArviZ's {name.partition('.')[0]}, got none that can be imported ({error}); "
            "install it: pip install 'pyro-vae[arviz]'"
        ) from None
