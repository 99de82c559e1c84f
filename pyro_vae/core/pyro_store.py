"""Keeps a module's parameters and Pyro's global parameter store in step.

The store identifies parameters by name alone. Two modules of one name would share its entries, and
only one of them would train; after a parameter is replaced, Pyro would go on training the old one.
Pyro offers no hook for either case, so this file sets ``_pyro_name`` and ``_pyro_context`` and
deletes entries of the store. Nothing else in the package touches them.
"""

from __future__ import annotations

import copy
import itertools
import weakref
from typing import Any, Self

import pyro
from pyro.nn import PyroModule
from pyro.params import param_with_module_name
from torch import nn

__all__ = ["UniqueModule"]

_serial = itertools.count()


class UniqueModule(PyroModule):
    """A ``PyroModule`` that never shares an entry of Pyro's parameter store with another.

    Each instance, copies included, has a name of its own, and its entries leave the store when it
    is deleted.
    """

    def __init__(self) -> None:
        super().__init__()
        _rename(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """A copy with parameters and a name of its own."""
        other = type(self).__new__(type(self))
        memo[id(self)] = other
        other.__dict__.update(copy.deepcopy(self.__dict__, memo))
        _rename(other)
        return other

    def __getattr__(self, name: str) -> Any:
        """A child; within a Pyro program its current parameters are the ones registered."""
        child = self.__dict__.get("_modules", {}).get(name)
        if child is not None and self._pyro_context.active:
            _forget_replaced(f"{self._pyro_name}.{name}", child)
        return super().__getattr__(name)


def _rename(root: PyroModule) -> None:
    """Give a module, its Pyro children included, a new name and a context of its own."""
    name = f"{type(root).__name__.lower()}{next(_serial)}"
    context = PyroModule()._pyro_context
    for path, module in root.named_modules():
        if isinstance(module, PyroModule):
            module._pyro_name = f"{name}.{path}" if path else name
            module._pyro_context = context
    weakref.finalize(root, _forget, name).atexit = False


def _forget(name: str) -> None:
    store = pyro.get_param_store()
    for key in [key for key in store.keys() if key.startswith(f"{name}.")]:  # noqa: SIM118
        del store[key]


def _forget_replaced(name: str, module: nn.Module) -> None:
    """Delete the entries of ``name`` whose parameter the module no longer has.

    ``load_state_dict(assign=True)``, assigning a child, and unpickling a model beside the original
    leave such entries behind.
    """
    stored = pyro.get_param_store()._params
    for path, parameter in module.named_parameters():
        key = param_with_module_name(name, path)
        if stored.get(key, parameter) is not parameter:
            del pyro.get_param_store()[key]
