"""Watches a Pyro program while it is captured: where it is, and what no graph can hold."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyro
import torch
from pyro.poutine.messenger import Messenger
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from pyro_vae.core.errors import NotCapturable

__all__ = ["Watch", "values_kept_as_tensors"]

aten = torch.ops.aten
LIBRARIES = ("torch.", "pyro.", "pyro_vae.training.")
READERS = ("pyro.infer.", "pyro.util", "pyro_vae.objectives.")


class Watch(TorchDispatchMode):
    """Refuses what a static graph cannot hold, naming the site where it happened.

    Refused are operations whose output's shape depends on values (a mask as an index,
    ``nonzero``), and reading a computed value into Python (``if z > 0``, ``z.item()``).

    Raises:
        NotCapturable: naming the site and the line of the program.
    """

    def __init__(self) -> None:
        super().__init__()
        self._site = _Site()

    def __enter__(self) -> Watch:
        self._site.__enter__()
        super().__enter__()
        return self

    def __exit__(self, *exc: Any) -> Any:
        self._site.__exit__(*exc)
        return super().__exit__(*exc)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Let an operation pass, or refuse it."""
        if _has_dynamic_shape(func, args):
            raise NotCapturable(
                f"{self._where()}: the shape of the result of {func} depends on values, so the "
                f"step has no static graph; write it with torch.where, or train with Pyro's step"
            )
        try:
            return func(*args, **(kwargs or {}))
        except RuntimeError as error:
            if func is not aten._local_scalar_dense.default:
                raise
            raise NotCapturable(
                f"{self._where()}: the program reads the value of a tensor into Python, so "
                f"what it does next may differ from step to step; keep the value in a tensor "
                f"(torch.where in place of if), or train with Pyro's step"
            ) from error

    def _where(self) -> str:
        line = _line_of_program()
        return f"{self._site}{f' ({line})' if line else ''}"


class _Site(Messenger):
    """The sample site that a program has reached."""

    def __init__(self) -> None:
        super().__init__()
        self.reached: str | None = None
        self.inside = False

    def _pyro_sample(self, msg: Any) -> None:
        self.reached, self.inside = msg["name"], True

    def _pyro_post_sample(self, msg: Any) -> None:
        self.reached, self.inside = msg["name"], False

    def __str__(self) -> str:
        if self.reached is None:
            return "Before the first site"
        return f"{'At' if self.inside else 'After'} site {self.reached!r}"


def _has_dynamic_shape(func: Any, args: tuple[Any, ...]) -> bool:
    if torch.Tag.dynamic_output_shape not in func.tags:
        return False
    if func is not aten.index.Tensor:
        return True
    masks = (torch.bool, torch.uint8)
    return any(isinstance(index, Tensor) and index.dtype in masks for index in args[1])


def _line_of_program() -> str:
    """The innermost line that is not a library's, as ``file:line``."""
    for frame, line in traceback.walk_stack(None):
        module = frame.f_globals.get("__name__", "")
        if not f"{module}.".startswith(LIBRARIES) and frame.f_code.co_filename[0] != "<":
            return f"{frame.f_code.co_filename}:{line}"
    return ""


@contextmanager
def values_kept_as_tensors() -> Iterator[None]:
    """Let Pyro's losses, and ours, keep as tensors the values that they would read into Python.

    Within the block, for callers in Pyro or among our objectives and nowhere else:
    ``Tensor.item`` gives the tensor itself, detached; ``masked_select``, which Pyro's enumeration
    uses under a sum, gives zeros in place of what is not selected; ``y[mask] = x[mask]``, which
    Pyro's splines say, is ``torch.where``; and Pyro is told that it is being traced, on which it
    chooses operations without a look at values. Its validation and its search for NaN, which read
    values too, are off.
    """
    item, select, tracing = Tensor.item, Tensor.masked_select, torch._C._get_tracing_state
    get, put = Tensor.__getitem__, Tensor.__setitem__

    def kept(self: Tensor) -> Any:
        return self.detach() if _caller().startswith(READERS) else item(self)

    def selected(self: Tensor, mask: Tensor) -> Tensor:
        if _caller() != "pyro.infer.util":
            return select(self, mask)
        return torch.where(mask, self, torch.zeros_like(self))

    def got(self: Tensor, index: Any) -> Any:
        return _Masked(self) if _is_splines(index) else get(self, index)

    def assigned(self: Tensor, index: Any, value: Any) -> None:
        if isinstance(value, _Masked):
            self.copy_(torch.where(index, value.whole, self))
        else:
            put(self, index, value)

    def told() -> Any:
        return _caller().startswith("pyro.") or tracing()

    patches: list[tuple[Any, str, Any]] = [
        (Tensor, "item", kept),
        (Tensor, "masked_select", selected),
        (Tensor, "__getitem__", got),
        (Tensor, "__setitem__", assigned),
        (torch._C, "_get_tracing_state", told),
    ]
    for name, module in list(sys.modules.items()):
        if name.startswith("pyro."):
            patches += [(module, check, _unread) for check in CHECKS if check in vars(module)]
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in patches]
    for owner, name, new in patches:
        setattr(owner, name, new)
    try:
        with pyro.validation_enabled(False):
            yield
    finally:
        for owner, name, old in before:
            setattr(owner, name, old)


CHECKS = ("warn_if_nan", "warn_if_inf")


@dataclass
class _Masked:
    """``x[mask]`` before it is known what it is wanted for."""

    whole: Tensor


def _is_splines(index: Any) -> bool:
    """Whether Pyro's splines ask for what a mask selects."""
    masks = isinstance(index, Tensor) and index.dtype == torch.bool
    return masks and _caller(3) == "pyro.distributions.transforms.spline"


def _caller(depth: int = 2) -> str:
    """The module that called the function that asks."""
    return str(sys._getframe(depth).f_globals.get("__name__", ""))


def _unread(value: Any, *args: Any, **kwargs: Any) -> Any:
    return value
