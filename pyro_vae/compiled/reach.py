"""Finds the values that a function's code may read: closures, globals, attributes, containers."""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from functools import cache, partial
from operator import getitem
from types import CodeType, FunctionType, MethodType, ModuleType, SimpleNamespace
from typing import Any

from pyro.optim import PyroOptim
from torch import Tensor, nn
from torch.optim import Optimizer

__all__ = ["PLAIN", "Place", "reached"]

PLAIN = frozenset((int, float, complex, str, bytes, bool, type(None)))
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
HELD = ("_parameters", "_buffers", "_modules", *HOOKS)
INTERNAL = frozenset(vars(nn.Module())) - {"training"}
LEAVES = (Tensor, type, ModuleType, Enum, Optimizer, PyroOptim)
LARGE = 256
MOST = 4096
PATHS = tuple(map(sysconfig.get_path, ("stdlib", "platstdlib", "purelib", "platlib")))
OURS = __name__.partition(".")[0]


@dataclass(slots=True)
class Place:
    """Where a value was found: ``read(owner, key)`` reads it again."""

    read: Any
    owner: Any
    key: Any
    value: Any
    path: str

    @classmethod
    def at(cls, read: Any, owner: Any, key: Any, path: str = "") -> Place:
        """The place, with the value that it has now."""
        return cls(read, owner, key, read(owner, key), path)

    @property
    def is_other(self) -> bool:
        """Whether the value was replaced."""
        try:
            return self.read(self.owner, self.key) is not self.value
        except (AttributeError, LookupError):
            return True


def reached(roots: Mapping[str, Any]) -> tuple[dict[Any, Place], list[Any]]:
    """The places that code may read, nearest first, and the containers among them.

    From a function: its closure and defaults. From a method: its object. From a module: its
    attributes, parameters, buffers, children and hooks. From any other object: its attributes.
    From a list, a tuple or a dict of up to 256 entries: these. From the user's own functions and
    classes, also the globals that they name and the class attributes; from objects of installed
    classes, no private attributes.

    Args:
        roots: Where to begin, by name.

    Returns:
        Places by key, 4,096 at most, and what has a length that may change.
    """
    places: dict[Any, Place] = {}
    containers: dict[int, Any] = {}
    waiting = [(value, name) for name, value in roots.items()]
    seen: set[int] = set()
    for value, path in waiting:  # which grows
        if type(value) in PLAIN or id(value) in seen:
            continue
        seen.add(id(value))
        containers |= {id(held): held for held in _containers(value)}
        for read, owner, key in _parts(value):
            if len(places) == MOST:
                return places, list(containers.values())
            with suppress(AttributeError, ValueError):  # a slot or a cell that is empty
                name = key if isinstance(key, str | int) else type(key).__name__
                own = path if name in SILENT else f"{path}.{name}"
                place = places[id(owner), key] = Place.at(read, owner, key, own)
                if not isinstance(place.value, LEAVES):
                    waiting.append((place.value, own))
    return places, list(containers.values())


SILENT = frozenset(("__self__", "__func__", "__wrapped__", "cell_contents", "func"))


def _containers(value: Any) -> Iterator[Any]:
    """What may gain an entry; no empty hooks, since PyTorch counts all that are added."""
    if isinstance(value, nn.Module):
        held = {name: vars(value)[name] for name in HELD if name in vars(value)}
        yield from (each for name, each in held.items() if each or name not in HOOKS)
        yield vars(value)
    elif isinstance(value, list | dict):
        if len(value) <= LARGE:
            yield value
    elif _has_attributes(value):
        yield vars(value)


def _parts(value: Any) -> Iterable[tuple[Any, Any, Any]]:
    """How to read, and from where, each thing that code reads from a value."""
    if isinstance(value, nn.Module):
        held = [vars(value)[name] for name in HELD if name in vars(value)]
        yield from ((getitem, entries, key) for entries in held for key in entries)
        yield from ((getitem, vars(value), key) for key in _own(value) if key not in INTERNAL)
    elif isinstance(value, dict):
        yield from ((getitem, value, key) for key in value if len(value) <= LARGE)
    elif isinstance(value, list | tuple):
        yield from ((getitem, value, index) for index in range(len(value)) if len(value) <= LARGE)
    elif isinstance(value, MethodType):
        yield from ((getattr, value, name) for name in ("__self__", "__func__"))
    elif isinstance(value, partial):
        yield from ((getattr, value, name) for name in ("func", "args", "keywords"))
    elif isinstance(value, FunctionType):
        yield from ((getattr, cell, "cell_contents") for cell in value.__closure__ or ())
        defaults = ("__defaults__", "__kwdefaults__")
        yield from ((getattr, value, name) for name in defaults if getattr(value, name))
        yield from ((getitem, vars(value), key) for key in vars(value))
        if _is_users(value.__module__):
            yield from ((getitem, value.__globals__, name) for name in _globals(value))
        return
    elif _has_attributes(value):
        yield from ((getitem, vars(value), key) for key in _own(value))
    for of in type(value).__mro__:
        slots = vars(of).get("__slots__", ())
        names = [slots] if isinstance(slots, str) else slots
        yield from ((getattr, value, name) for name in names if name[:2] != "__")
        if _is_users(of.__module__):
            yield from ((getattr, of, name) for name in _class_attributes(of))


def _own(value: Any) -> Iterator[str]:
    """An object's attributes, without the private ones of an installed package's class."""
    users = any(_is_users(of.__module__) for of in type(value).__mro__)
    return (key for key in vars(value) if users or key[:1] != "_")


def _class_attributes(of: type) -> Iterator[str]:
    """A class's methods and values, except what is made anew by each reading."""
    for name, value in vars(of).items():
        made = hasattr(type(value), "__get__") and not isinstance(value, FunctionType)
        if (name == "__call__" or name[:1] != "_") and not made:
            yield name


def _has_attributes(value: Any) -> bool:
    """Whether to look into an object: not into the standard library's, such as a logger."""
    if not hasattr(value, "__dict__") or isinstance(value, FunctionType | MethodType | partial):
        return False
    root = type(value).__module__.partition(".")[0]
    return isinstance(value, SimpleNamespace) or root not in sys.stdlib_module_names


def _globals(function: FunctionType) -> Iterator[str]:
    """The globals that a function's code names, except modules."""
    known = function.__globals__
    for name in _names(function.__code__):
        if name in known and not isinstance(known[name], ModuleType):
            yield name


@cache
def _names(code: CodeType) -> frozenset[str]:
    inner = (_names(part) for part in code.co_consts if isinstance(part, CodeType))
    return frozenset(code.co_names).union(*inner)


@cache
def _is_users(module: str | None) -> bool:
    """Whether a module is the user's own, and no package's that is installed."""
    if module is None or module.partition(".")[0] == OURS:
        return False
    file = getattr(sys.modules.get(module), "__file__", None) or ""
    return module not in sys.builtin_module_names and not file.startswith(PATHS)
