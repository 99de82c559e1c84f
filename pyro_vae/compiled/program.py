"""Whether what a Pyro program's Python code may read has changed since a capture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from operator import getitem
from types import MethodType
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.utils.hooks import RemovableHandle

from pyro_vae.compiled.private import is_autocast_on
from pyro_vae.compiled.reach import PLAIN, Place, reached

__all__ = ["Program"]

EMPTY: Mapping[str, Tensor] = {}
SINGLE = (True, False, None)
FIXED = (tuple, MethodType, partial)


class Program:
    """Numbers the states that a program's Python code has been in.

    A state is everything that :func:`~pyro_vae.compiled.reach.reached` finds: plain values by
    equality and the rest by identity, and of each tensor its memory and ``requires_grad``; also
    PyTorch's default dtype and autocast. What the program itself changes while it runs, such as a
    counter, is no part of it.

    Args:
        roots: Where the program's code and data are found, by name.
        parameters: The parameters by name, which may be anywhere, such as in Pyro's store.
        also: What :meth:`is_as_before` shall watch too; it is no part of a state.

    Attributes:
        number: That of the present state.
        change: What was new in the last new state, in words.
    """

    def __init__(
        self,
        roots: Mapping[str, Any],
        parameters: Mapping[str, Tensor] = EMPTY,
        also: Sequence[Place] = (),
    ) -> None:
        self.roots, self.also = {**roots, "parameters": dict(parameters)}, also
        self.number, self.change = 0, ""
        self._written: dict[Any, Any] = {}  # with their owners, so that no id is taken again
        self._states = [self._state()]

    @property
    def trained(self) -> frozenset[Any]:
        """The tensors that require a gradient, and where they lie."""
        return self._states[self.number].trained

    def is_as_before(self) -> bool:
        """Whether nothing has changed since the last look, in a few microseconds."""
        return self._states[self.number].holds()

    def look(self) -> None:
        """Find the number of the present state, or give it one."""
        for number, state in enumerate(self._states):
            if state.holds():
                self.number = number
                return
        now = self._state()
        self.change = self._states[self.number].unlike(now)
        alike = [n for n, state in enumerate(self._states) if not state.unlike(now)]
        self.number = alike[0] if alike else len(self._states)
        self._states[self.number : self.number + 1] = [now]

    def ran(self) -> None:
        """Called after the program's code has run: what has changed is its own doing."""
        before = self._states[self.number]
        if before.holds():
            return
        now = self._state()
        found = now.places | before.places
        self._written |= {key: found[key].owner for key in before.changes(now)}
        self._states[self.number] = now
        for state in self._states:
            state.watch()

    def _state(self) -> _State:
        return _State(self.roots, self._written, self.also)


class _State:
    """Everything that a program's code may read, at one moment.

    Args:
        roots: Where to begin.
        written: The keys of the places that do not matter.
        also: Places to watch that are not reached from there.
    """

    def __init__(
        self, roots: Mapping[str, Any], written: Mapping[Any, Any], also: Sequence[Place]
    ) -> None:
        self.places, self.containers = reached(roots)
        self.written, self.also, self.modes = written, also, _modes()
        self.parameters_given = roots["parameters"]
        self.hooks = RemovableHandle.next_id
        self.watch()

    def watch(self) -> None:
        """Prepare :meth:`holds`."""
        kept = {key: place for key, place in self.places.items() if key not in self.written}
        tensors = {id(p.value): p.value for p in kept.values() if _has_memory(p.value)}
        self.tensors = list(tensors.values())
        self.parameters = [t for t in self.tensors if t.requires_grad or isinstance(t, Parameter)]
        self.addresses = [tensor.data_ptr() for tensor in self.tensors]
        flags = [tensor.requires_grad for tensor in self.tensors]
        facts = zip(tensors, self.addresses, flags, strict=True)
        self.facts = {key: (address, flag) for key, address, flag in facts}
        self.trained = frozenset((n, address) for n, (address, flag) in self.facts.items() if flag)
        self.trainable = [parameter.requires_grad for parameter in self.parameters]
        self.empty = [each for each in self.containers if not each]
        ours = self.parameters_given
        places = [
            place for place in kept.values()
            if not isinstance(place.owner, FIXED) and place.owner is not ours
        ]  # fmt: skip
        filled = [each for each in self.containers if each and each is not ours]
        self._same = _conjunction([*self.also, *places], filled)

    def holds(self) -> bool:
        """Whether all of it is as it was."""
        try:
            return (
                self._same()
                and not any(self.empty)
                and [each.requires_grad for each in self.parameters] == self.trainable
                and list(map(Tensor.data_ptr, self.tensors)) == self.addresses
                and RemovableHandle.next_id == self.hooks  # else, a new hook may be anywhere
                and _modes() == self.modes
            )
        except (AttributeError, LookupError, ValueError):  # something is gone
            return False

    def changes(self, other: _State) -> set[Any]:
        """The keys of the places that differ."""
        keys = self.places.keys() | other.places.keys()
        pairs = {key: (self.places.get(key), other.places.get(key)) for key in keys}
        return {
            key for key, (a, b) in pairs.items() if key not in self.written
            if a is None or b is None or not _alike(a.value, b.value)
            or self.facts.get(id(a.value)) != other.facts.get(id(b.value))
        }  # fmt: skip

    def unlike(self, other: _State) -> str:
        """What differs, in words; empty if nothing does."""
        if self.modes != other.modes:
            return f"the default dtype or autocast changed from {self.modes} to {other.modes}"
        found = self.changes(other)
        if not found:
            return ""
        both = self.places | other.places
        key = min(found, key=lambda key: len(both[key].path))
        pair = [places[key].value for places in (self.places, other.places) if key in places]
        how = " from {!r} to {!r}".format(*pair) if all(map(_is_plain, pair)) and pair[1:] else ""
        return f"{both[key].path} changed{how}"


def _conjunction(places: list[Place], containers: list[Any]) -> Callable[[], bool]:
    """Whether every place has its value, and every container its length.

    The code is generated: a loop takes twice as long.
    """
    names: dict[str, Any] = {"len": len}
    terms = ["True"]
    for n, place in enumerate(places):
        owner, key, value = f"o{id(place.owner)}", f"k{n}", f"v{n}"
        names |= {owner: place.owner, key: place.key, value: place.value}
        key = repr(place.key) if type(place.key) in (str, int) else key
        value = repr(place.value) if any(place.value is each for each in SINGLE) else value
        read = f"{owner}[{key}]" if place.read is getitem else f"{owner}.{place.key}"
        terms.append(f"{read} is {value}")
    for n, container in enumerate(containers):
        names[f"c{n}"] = container
        terms.append(f"len(c{n}) == {len(container)}")
    same: Callable[[], bool] = eval(f"lambda: {' and '.join(terms)}", names)
    return same


def _alike(a: Any, b: Any) -> bool:
    return a is b or (type(a) is type(b) and _is_plain(a) and bool(a == b))


def _is_plain(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(map(_is_plain, value))
    return type(value) in PLAIN


def _has_memory(value: Any) -> bool:
    return isinstance(value, Tensor) and value.layout is torch.strided


def _modes() -> tuple[Any, ...]:
    """What a capture fixes of PyTorch's own state."""
    return torch.get_default_dtype(), is_autocast_on()
