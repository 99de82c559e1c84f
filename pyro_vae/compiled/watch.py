"""Watches a Pyro program while it is captured: where it is, and what no graph can hold."""

from __future__ import annotations

import math
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyro
import torch
from pyro.poutine.messenger import Messenger
from torch import Tensor
from torch.overrides import TorchFunctionMode

from pyro_vae.compiled.private import TorchDispatchMode
from pyro_vae.core.errors import NotCapturable

__all__ = ["ValuesKept", "capturing"]

aten = torch.ops.aten
LIBRARIES = ("torch.", "pyro.", f"{__package__}.")


@contextmanager
def capturing() -> Iterator[None]:
    """Refuse what no static graph can hold, in what this thread runs within the block.

    Other threads do not notice it, except that Pyro's validation, which is one switch for a whole
    process, is off within the block.

    Raises:
        NotCapturable: naming the site and the line of the program.
    """
    site = _Site()
    with pyro.validation_enabled(False), site, _Watch(site):
        yield


class ValuesKept(TorchFunctionMode):
    """Lets Pyro keep as tensors the values that it would read into Python, in this thread alone.

    It answers what Pyro asks of a tensor's values, and nothing that the user's program asks. It
    must be the innermost mode, since it looks at who calls:

    - ``Tensor.item`` in a loss gives the tensor itself, detached;
    - whether something is NaN or infinite: no. A compiled step checks its loss by itself;
    - ``masked_select``, which enumeration uses under a sum, gives zeros for what is not selected;
    - ``y[mask] = x[mask]``, which splines use, is ``torch.where``.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Answer in place of a tensor, or let the call pass."""
        answer = ANSWERS.get(func)
        caller = str(sys._getframe(1).f_globals.get("__name__", "")) if answer else ""
        if answer is None or not caller.startswith("pyro."):
            return func(*args, **(kwargs or {}))
        result = answer(caller, *args, **(kwargs or {}))
        return func(*args, **(kwargs or {})) if result is NotImplemented else result


@dataclass
class _Masked:
    """``x[mask]``, until it is known where the values go."""

    whole: Tensor


def _item(caller: str, x: Tensor) -> Any:
    if caller == "pyro.distributions.util":  # is it exactly 0, or 1? A tensor may be either
        return math.nan
    return x.detach() if caller.startswith(("pyro.infer.", "pyro.util")) else NotImplemented


def _bool(caller: str, x: Tensor) -> Any:
    if caller in {"pyro.util", "pyro.infer.util"}:  # is it NaN? Does the mask hold everywhere?
        return False
    # is alpha near 1, so that the formula for every alpha is needed?
    return True if caller == "pyro.distributions.stable" else NotImplemented


def _masked_select(caller: str, x: Tensor, mask: Tensor) -> Any:
    if caller != "pyro.infer.util":
        return NotImplemented
    return torch.where(mask, x, torch.zeros_like(x))


def _getitem(caller: str, x: Tensor, index: Any) -> Any:
    masks = isinstance(index, Tensor) and index.dtype == torch.bool
    return _Masked(x) if masks and caller == SPLINE else NotImplemented


def _setitem(caller: str, x: Tensor, index: Any, value: Any) -> Any:
    if not isinstance(value, _Masked):
        return NotImplemented
    return x.copy_(torch.where(index, value.whole, x))


SPLINE = "pyro.distributions.transforms.spline"
ANSWERS: dict[Any, Any] = {
    Tensor.item: _item,
    Tensor.__bool__: _bool,
    Tensor.masked_select: _masked_select,
    Tensor.__getitem__: _getitem,
    Tensor.__setitem__: _setitem,
}


class _Watch(TorchDispatchMode):
    """Refuses what a static graph cannot hold, naming the site where it happened.

    Refused are operations whose output's shape depends on values (a mask as an index,
    ``nonzero``), and reading a computed value into Python (``if z > 0``, ``z.item()``).
    """

    def __init__(self, site: _Site) -> None:
        super().__init__()
        self._site = site

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
    """The sample site that this thread's program has reached."""

    def __init__(self) -> None:
        super().__init__()
        self.thread = threading.get_ident()
        self.reached: str | None = None
        self.inside = False

    def _pyro_sample(self, msg: Any) -> None:
        if threading.get_ident() == self.thread:
            self.reached, self.inside = msg["name"], True

    def _pyro_post_sample(self, msg: Any) -> None:
        if threading.get_ident() == self.thread:
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
