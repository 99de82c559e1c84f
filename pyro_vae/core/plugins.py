"""Finds the kinds of a folder, so that a new component is a new file and nothing else."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterable

from pyro_vae.core.declarable import Declarable

__all__ = ["kinds_in"]


def kinds_in(package: str, path: Iterable[str]) -> dict[str, type[Declarable]]:
    """Import every module of a package, and return the kinds defined there by class name."""
    found: dict[str, type[Declarable]] = {}
    for module in pkgutil.iter_modules(path, prefix=f"{package}."):
        members = vars(importlib.import_module(module.name)).values()
        for cls in members:
            if inspect.isclass(cls) and issubclass(cls, Declarable) and "kind" in vars(cls):
                found[cls.__name__] = cls
    return found
