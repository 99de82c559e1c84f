"""Keeps a module's parameters and Pyro's global parameter store in step.

The store goes by name. Two modules of one name would share its entries, and only one of them would
train; an entry whose parameter has been replaced would train in the parameter's place.
"""

from __future__ import annotations

import itertools
import weakref

import pyro
from pyro.nn import PyroModule
from pyro.params import param_with_module_name
from torch import nn

__all__ = ["forget_replaced", "forget_with", "rename", "unique_name"]

_serial = itertools.count()


def unique_name(stem: str) -> str:
    """A root name that no other module of this process has."""
    return f"{stem}{next(_serial)}"


def rename(root: PyroModule, name: str) -> None:
    """Give a module that was copied a name and a context of its own, its children's included."""
    context = PyroModule()._pyro_context
    for path, module in root.named_modules():
        if isinstance(module, PyroModule):
            module._pyro_name = f"{name}.{path}" if path else name
            module._pyro_context = context


def forget_with(module: PyroModule) -> None:
    """Let the entries of a module leave the store when it dies."""
    weakref.finalize(module, _forget, module._pyro_name).atexit = False


def _forget(name: str) -> None:
    store = pyro.get_param_store()
    for key in [key for key in store.keys() if key.startswith(f"{name}.")]:  # noqa: SIM118
        del store[key]


def forget_replaced(name: str, module: nn.Module) -> None:
    """Drop the entries of a module, registered under ``name``, that are no longer its own.

    A parameter is replaced when a part of the model is, by ``load_state_dict(assign=True)``, or
    where two copies of one name take turns.
    """
    stored = pyro.get_param_store()._params
    for path, parameter in module.named_parameters():
        key = param_with_module_name(name, path)
        if stored.get(key, parameter) is not parameter:
            del pyro.get_param_store()[key]
