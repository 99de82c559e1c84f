"""What the arguments of two steps of one graph have in common: layouts and plain values."""

from __future__ import annotations

from operator import getitem, is_
from typing import Any

import pyro
from torch import Tensor

from pyro_vae.compiled.private import pytree
from pyro_vae.compiled.reach import PLAIN, Place

__all__ = ["Stored", "signature"]

ONLY_TENSORS = frozenset((Tensor,))


class Stored:
    """The parameters in Pyro's store.

    Args:
        parameters: The store's unconstrained parameters.
    """

    def __init__(self, parameters: list[Tensor]) -> None:
        self.parameters = parameters
        self.names = [str(pyro.get_param_store().param_name(p)) for p in parameters]

    @property
    def places(self) -> list[Place]:
        """Where the store holds them."""
        store = pyro.get_param_store()
        held = zip(self.names, self.parameters, strict=True)
        found = [Place(getitem, store._params, name, value, name) for name, value in held]
        return [Place(getattr, store, "_params", store._params, ""), *found]

    def have_changed(self) -> bool:
        """Whether a parameter was replaced."""
        stored = map(pyro.get_param_store()._params.get, self.names)
        return not all(map(is_, stored, self.parameters))


def signature(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, list[Tensor]]:
    """A key that steps of one graph share, and the tensors among the arguments, in order."""
    if not kwargs and ONLY_TENSORS.issuperset(map(type, args)):
        return tuple(_layout(leaf) for leaf in args), list(args)
    leaves, spec = pytree.tree_flatten((args, kwargs))
    parts = [_layout(leaf) if isinstance(leaf, Tensor) else _plain(leaf) for leaf in leaves]
    return (spec, *parts), [leaf for leaf in leaves if isinstance(leaf, Tensor)]


def _layout(leaf: Tensor) -> Any:
    return leaf.shape, leaf.stride(), leaf.dtype, leaf.device


def _plain(leaf: Any) -> Any:
    return leaf if type(leaf) in PLAIN else (type(leaf), id(leaf))
