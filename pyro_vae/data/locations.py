"""Where data are looked for."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator

from pyro_vae.core.errors import DataError

__all__ = ["FilePath", "data_folder", "expanded", "missing_files"]


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
    return expanded(root or os.environ.get("PYRO_VAE_DATA") or "data")


def expanded(path: str) -> Path:
    """A path whose ``~`` or ``~name`` is the home folder.

    Raises:
        DataError: if it is not a path, or nobody has this name here.
    """
    if not path or "\0" in path:
        raise DataError(f"Expected a path, got {path!r}")
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise DataError(
            f"{path}: expected a home folder, got a name that nobody has on this machine; write "
            f"the whole path"
        ) from None


def missing_files(kind: str, wanted: Sequence[str], where: Path) -> DataError:
    """The error that names what is not there, and what to do.

    Example:
        >>> print(missing_files("my_kind", ["train.npz"], Path("data")))
        my_kind: expected train.npz in data, got no such file; put it there, or name the folder \
that holds it (data.root=..., or PYRO_VAE_DATA)
    """
    them, s = ("them", "s") if len(wanted) > 1 else ("it", "")
    return DataError(
        f"{kind}: expected {', '.join(wanted)} in {where}, got no such file{s}; put {them} there, "
        f"or name the folder that holds {them} (data.root=..., or PYRO_VAE_DATA)"
    )
