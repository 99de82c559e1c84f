"""What two steps of one graph have in common: layouts, modes, plain values and parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import compress
from operator import is_
from typing import Any

import pyro
from torch import Tensor, nn

from pyro_vae.compiled.private import pytree

__all__ = ["Places", "Signature", "roots_of"]

PLAIN = frozenset((int, float, str, bool, type(None)))
ONLY_TENSORS = frozenset((Tensor,))


class Places:
    """The parameters' names in Pyro's store, and their addresses in memory.

    Args:
        parameters: The store's unconstrained parameters.
    """

    def __init__(self, parameters: list[Tensor]) -> None:
        self.parameters = parameters
        self.names = [str(pyro.get_param_store().param_name(p)) for p in parameters]
        self.addresses = list(map(Tensor.data_ptr, parameters))

    def have_changed(self) -> bool:
        """Whether a parameter was replaced or moved."""
        stored = map(pyro.get_param_store()._params.get, self.names)
        if not all(map(is_, stored, self.parameters)):
            return True
        return list(map(Tensor.data_ptr, self.parameters)) != self.addresses


class Signature:
    """Keys of steps: steps with equal keys share a graph.

    Args:
        roots: The modules of the program, whose training mode matters.
        loss: The loss, whose plain numbers matter.
    """

    def __init__(self, roots: list[nn.Module], loss: Any) -> None:
        self.roots, self.attributes = roots, vars(loss)
        self.names: list[str] = []
        self.types: list[type] = []
        self.are_plain: list[bool] = []

    def __call__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, list[Tensor]]:
        """The key of a step, and the tensors among its arguments, in order."""
        modes = [root.training for root in self.roots]
        if not kwargs and ONLY_TENSORS.issuperset(map(type, args)):
            layouts = [(leaf.shape, leaf.stride(), leaf.dtype, leaf.device) for leaf in args]
            return (*layouts, *modes, *self._numbers()), list(args)
        leaves, spec = pytree.tree_flatten((args, kwargs))
        parts = [_layout(leaf) if isinstance(leaf, Tensor) else _plain(leaf) for leaf in leaves]
        given = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        return (spec, *parts, *modes, *self._numbers()), given

    def _numbers(self) -> Iterator[Any]:
        """The loss's plain numbers."""
        values = self.attributes.values()
        names, types = list(self.attributes), list(map(type, values))
        if types != self.types or names != self.names:
            self.names, self.types = names, types
            self.are_plain = [each in PLAIN for each in types]
        return compress(values, self.are_plain)


def roots_of(*programs: Callable[..., Any]) -> list[nn.Module]:
    """The modules among the programs, and those whose methods they are."""
    owners = [getattr(program, "__self__", program) for program in programs]
    return [owner for owner in owners if isinstance(owner, nn.Module)]


def _layout(leaf: Tensor) -> Any:
    return leaf.shape, leaf.stride(), leaf.dtype, leaf.device


def _plain(leaf: Any) -> Any:
    return leaf if type(leaf) in PLAIN else (type(leaf), id(leaf))
