"""What makes two steps the same graph: layouts, modes, plain values, and where parameters lie."""

from __future__ import annotations

from collections.abc import Callable
from operator import is_
from typing import Any

import pyro
from torch import Tensor, nn
from torch.utils import _pytree as pytree

__all__ = ["Places", "roots_of", "signature", "tensors_of"]

PLAIN = (int, float, str, bool, type(None))


class Places:
    """Where parameters lie, in Pyro's store and in memory.

    Args:
        parameters: Unconstrained ones of the store.
    """

    def __init__(self, parameters: list[Tensor]) -> None:
        self.parameters = parameters
        self.names = [str(pyro.get_param_store().param_name(p)) for p in parameters]
        self.addresses = list(map(Tensor.data_ptr, parameters))

    def have_changed(self) -> bool:
        """Whether some have been replaced, or have moved."""
        stored = map(pyro.get_param_store()._params.get, self.names)
        if not all(map(is_, stored, self.parameters)):
            return True
        return list(map(Tensor.data_ptr, self.parameters)) != self.addresses


def signature(args: tuple[Any, ...], kwargs: dict[str, Any], roots: list[Any], loss: Any) -> Any:
    """A key: steps of one key have one graph.

    Args:
        args: What the step is given.
        kwargs: Likewise.
        roots: The modules of the program, whose training mode matters.
        loss: The loss, whose plain numbers matter.
    """
    leaves: Any = args
    spec: Any = len(args)
    if kwargs or not all(type(leaf) is Tensor for leaf in args):
        leaves, spec = pytree.tree_flatten((args, kwargs))
    parts = [_layout(leaf) if isinstance(leaf, Tensor) else _plain(leaf) for leaf in leaves]
    modes = [root.training for root in roots]
    numbers = [value for value in vars(loss).values() if type(value) in PLAIN]
    return tuple(parts), spec, tuple(modes), tuple(numbers)


def tensors_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Tensor]:
    """The tensors among a step's arguments, in order."""
    if not kwargs and all(type(leaf) is Tensor for leaf in args):
        return list(args)
    return [leaf for leaf in pytree.tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]


def roots_of(*programs: Callable[..., Any]) -> list[nn.Module]:
    """The modules that programs are, or are methods of."""
    owners = [getattr(program, "__self__", program) for program in programs]
    return [owner for owner in owners if isinstance(owner, nn.Module)]


def _layout(leaf: Tensor) -> Any:
    return leaf.shape, leaf.stride(), leaf.dtype, leaf.device


def _plain(leaf: Any) -> Any:
    return leaf if type(leaf) in PLAIN else (type(leaf), id(leaf))
