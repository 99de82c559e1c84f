"""The contract of a condition c, and the modules that depend on one: p(x|z, c), q(z|x, c)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar, Self, TypeVar

import numpy as np
import torch
from pyro.infer.util import is_validation_enabled
from torch import Tensor, nn

from pyro_vae.core.declarable import Declarable
from pyro_vae.core.errors import DataError
from pyro_vae.core.messages import shown
from pyro_vae.core.pyro_store import UniqueModule

__all__ = ["MISSING", "Condition", "ConditionalModule", "Conditioned", "bound"]

M = TypeVar("M", bound=nn.Module)
MISSING = -1  # a class that is not known, as in scikit-learn
NONE = (
    "Expected a condition for each datum, since this model is of p(x|z, c), got none; give "
    "condition=..., or vae.given(condition) in place of the model"
)


class Condition(nn.Module, Declarable, home="pyro_vae.conditions"):
    """c: a module whose ``forward(c)`` is the embedding that the networks see beside their input.

    Each network of a model has an embedding of its own, which shares no weights with the others.

    How to write one:
        1. One class in one file of ``pyro_vae/conditions``, or in a notebook cell. Its name in
           snake case is its ``kind``, and the name of the file.
        2. The constructor takes the arguments that a user may declare, annotated, each with a
           line under ``Args:``. It sets ``shape``, the shape of one datum's condition, and
           ``size``, the size of its embedding.
        3. ``forward(c)`` maps ``(N, *shape)`` to ``(N, size)``. What is learned is an
           ``nn.Parameter``.
        4. ``problem(c)`` says in words which conditions are not valid; all zeros must be.

    Attributes:
        shape: Shape of the condition of one datum.
        size: Size of its embedding, at least 1.
    """

    shape: tuple[int, ...]
    size: int
    decoded: ClassVar[bool] = True
    """Whether the decoder sees it; otherwise it is an offset that the likelihood takes."""
    latent: ClassVar[bool] = False
    """Whether it may be missing, and is then summed out (``semi_supervised``)."""

    @abstractmethod
    def forward(self, c: Tensor) -> Tensor:
        """The embedding ``(N, size)`` of conditions ``(N, *shape)``."""

    def problem(self, c: Tensor) -> str:
        """What was expected of conditions ``(N, *shape)``, if these are not so; else empty."""
        return "" if bool(c.isfinite().all()) else "finite numbers"

    def rows(self, given: Any, size: int | None = None, name: str = "condition") -> Tensor:
        """Conditions as a tensor, ``(N, *shape)``, once they are checked.

        Args:
            given: One for each datum; or, where ``size`` is known, a single one for all.
            size: Number of data.
            name: What to call them in a message.

        Raises:
            DataError: saying what was expected.
        """
        try:
            c = torch.as_tensor(given if isinstance(given, Tensor) else np.array(given))
        except (TypeError, ValueError, RuntimeError):
            raise DataError(f"{name}: expected numbers, got {shown(given)}") from None
        if size is not None and tuple(c.shape) == self.shape:
            if expected := self.problem(c.unsqueeze(0)):
                raise DataError(f"{name}: expected {expected}, got {shown(c.tolist())}")
            return c.expand(size, *self.shape)
        if tuple(c.shape[1:]) != self.shape or c.dim() == 0 or len(c) != (size or len(c)):
            want = ", ".join(map(str, (size or "N", *self.shape))) + "," * (not self.shape)
            single = "" if size is None else f", or a single one of shape {self.shape} for all"
            raise DataError(
                f"{name}: expected one for each datum, of shape ({want}){single}, got shape "
                f"{tuple(c.shape)}"
            )
        if expected := self.problem(c):
            bad = [row for row in range(len(c)) if self.problem(c[row : row + 1])]
            raise DataError(
                f"{name}: expected {expected}, got others in {len(bad)} of {len(c)} rows, the "
                f"first in row {bad[0]}: {shown(c[bad[0]].tolist())}"
            )
        return c


class Conditioned(nn.Module):
    """Base of a module that depends on a condition.

    Attributes:
        given: The data's conditions, ``(N, *shape)``; None until :meth:`ConditionalModule.given`.
    """

    given: Tensor | None = None

    def known(self, like: Tensor | None = None) -> Tensor:
        """The conditions, on the device of a tensor.

        Raises:
            DataError: if there are none.
        """
        if self.given is None:
            raise DataError(NONE)
        return self.given if like is None else self.given.to(like.device)


def bound(module: M, c: Tensor | None) -> M:
    """The module given conditions; it shares its weights, and all within it that takes none."""
    if not any(isinstance(part, Conditioned) for part in module.modules()):
        return module
    other = object.__new__(type(module))  # Pyro's state for copy.copy drops what its store needs
    children = {name: child and bound(child, c) for name, child in module._modules.items()}
    other.__dict__.update(module.__dict__, _modules=children)
    if isinstance(other, Conditioned):
        other.__dict__["given"] = c
    return other


class ConditionalModule(UniqueModule):
    """A model that may depend on a condition c, which every datum then needs.

    Attributes:
        condition: The condition's kind; None for a model without.
    """

    condition: Condition | None
    _conditions: Tensor | None = None

    def given(self, condition: Any, size: int | None = None) -> Self:
        """This model given the conditions of some data: p(x, z | c), q(z | x, c).

        It is a view that shares this model's weights. Whatever takes a model and data takes it
        for a model of those data: ``audit_elbo(vae.given(c), x)``.

        Args:
            condition: One for each datum, ``(N, *shape)``; None leaves the model as it is.
            size: Number of data, if a single condition is meant for all.

        Raises:
            DataError: if the model takes no condition, or none such.
        """
        if condition is None:
            return self
        if self.condition is None:
            raise DataError(
                "condition: expected none, since the model was declared without, got "
                f"{shown(condition)}; leave it out, or declare condition (model.condition)"
            )
        return self._given(self.condition.rows(condition, size))

    def _given(self, c: Tensor) -> Self:
        return self._bound(c)

    @property
    def conditions(self) -> Tensor:
        """What it is given, ``(N, *shape)``.

        Raises:
            DataError: if nothing is given.
        """
        if self._conditions is None:
            raise DataError(NONE)
        return self._conditions

    @property
    def batch(self) -> tuple[int, ...]:
        """``(N,)``, given N conditions; ``()`` for a model without a condition."""
        return () if self.condition is None else (len(self.conditions),)

    def example(self, size: int) -> Self:
        """Given conditions of zeros, to look at shapes and supports."""
        c = self.condition
        return self if c is None else self._bound(torch.zeros(size, *c.shape))

    def at(self, index: Any) -> Self:
        """Given the conditions at these of its data; without a condition, the model itself."""
        return self if self._conditions is None else self._bound(self._conditions[index])

    def cycled(self, count: int) -> Self:
        """Given its data's conditions in turn, as those of ``count`` data."""
        return self.at(torch.arange(count) % self.batch[0]) if self.batch else self

    def check_count(self, count: int) -> None:
        """Refuse so many data, unless the model is given as many conditions, or takes none.

        Raises:
            DataError: with both numbers.
        """
        if self.batch not in ((), (count,)):
            raise DataError(
                f"condition: expected one for each of {count} data, got {self.batch[0]}"
            )

    def split(self, x: Tensor, size: int) -> Iterator[tuple[Self, Tensor]]:
        """``x.split(size)``, each part with the model given its conditions."""
        self.check_count(len(x))
        start = 0
        for part in x.split(size):
            yield self.at(slice(start, start + len(part))), part
            start += len(part)

    def _in_program(
        self, condition: Tensor | None, x: Tensor | None = None, *, guide: bool = False
    ) -> Self:
        """The model within its Pyro programs, where data are checked only on demand."""
        if condition is None:
            return self
        checked = self.condition is None or is_validation_enabled()
        return self.given(condition) if checked else self._bound(condition)

    def _bound(self, c: Tensor) -> Self:
        view = bound(self, c)
        view.__dict__["_conditions"] = c
        return view
