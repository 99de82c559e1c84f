"""Where data are looked for, and where what is unpacked from them is kept."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator

__all__ = ["FilePath", "cache_folder", "data_folder"]


def _as_text(value: object) -> object:
    return os.fspath(value) if isinstance(value, os.PathLike) else value


FilePath = Annotated[str, BeforeValidator(_as_text)]
"""A path in a declaration: text, or a ``pathlib.Path``."""


def data_folder(root: str | None) -> Path:
    """``root``, else the environment's ``PYRO_VAE_DATA``, else ``data`` in the current folder.

    Example:
        >>> data_folder("/srv/data").as_posix()
        '/srv/data'
    """
    return Path(root or os.environ.get("PYRO_VAE_DATA") or "data").expanduser()


def cache_folder() -> Path:
    """``PYRO_VAE_CACHE``, else ``pyro_vae`` in the user's cache (``XDG_CACHE_HOME``)."""
    own = os.environ.get("PYRO_VAE_CACHE")
    shared = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return (Path(own) if own else Path(shared) / "pyro_vae").expanduser()
