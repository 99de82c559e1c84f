"""Parameters that are updated together: one vector, of which each is a view."""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter
from typing import Any

import torch
from torch import Tensor

from pyro_vae.compiled.update_rules import Rule

__all__ = ["Rates", "Unit", "units_of"]

SMALL = 2**16
"""Numbers in a parameter up to which it becomes part of a vector. With small ones the time goes
into handing tensors over, of which that leaves few; with large ones, into copying gradients."""


class Unit:
    """One parameter, or several that their optimizers treat alike, as one vector.

    The parameters, and the tensors of their optimizers, become views of the vectors; their values
    stay, and so does everything that others do with them.

    Args:
        parameters: What is updated, of one type and device.
        rules: The rule of each.
        clips: The gradient clipping of each, or None.
    """

    def __init__(
        self,
        parameters: list[Tensor],
        rules: list[Rule],
        clips: list[Callable[[Tensor], None] | None],
    ) -> None:
        self.parameters, self.rules, self.clips = parameters, rules, clips
        self.is_vector = len(parameters) > 1
        self.whole = self._joined(parameters) if self.is_vector else parameters[0]
        self.state = list(rules[0].state)
        if self.is_vector:
            parts = [list(part) for part in zip(*(rule.state for rule in rules), strict=True)]
            self.state = [self._joined(part) for part in parts]

    def advance(self) -> float | None:
        """The number that the next step needs; None if the parameters' rules part."""
        numbers = {rule.advance() for rule in self.rules}
        return numbers.pop() if len(numbers) == 1 else None

    def update(self, rate: Tensor, good: Tensor) -> None:
        """Write the new parameters and state where they lie, unless a loss was not finite."""
        for parameter, clip in zip(self.parameters, self.clips, strict=True):
            if clip is not None:
                clip(parameter)
        gradients: list[Any] = [parameter.grad for parameter in self.parameters]
        gradient = gradients[0]
        if self.is_vector:
            gradient = torch.cat([part.reshape(-1) for part in gradients])
        new, state = self.rules[0].updated(self.whole.detach(), gradient, self.state, rate)
        self.whole.copy_(torch.where(good, new, self.whole))
        for tensor, value in zip(self.state, state, strict=True):
            tensor.copy_(torch.where(good, value, tensor))

    def _joined(self, tensors: list[Tensor]) -> Tensor:
        """The values of some tensors one after another, which become views of them."""
        whole = torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
        parts = whole.split([tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.data = part.view(tensor.shape)
        return whole


class Rates:
    """The number that each unit needs at a step, handed to the device when it has changed.

    Args:
        units: What is updated.
        device: Where the numbers are needed.

    Attributes:
        numbers: One for each unit, ``(U,)`` float64.
    """

    def __init__(self, units: list[Unit], device: torch.device | None = None) -> None:
        self.units = units
        self.numbers = torch.zeros(len(units), dtype=torch.float64, device=device)
        self._handed: list[float | None] = [0.0] * len(units)
        self._seen: list[Any] = []
        rules = [rule for unit in units for rule in unit.rules]
        self._groups = [rule.group for rule in rules]
        self._only_read = all(rule.may_join for rule in rules)

    def are_as_handed(self) -> bool:
        """Whether all is as it was when numbers were last handed over, as in most steps."""
        return self._only_read and bool(self._seen) and self._settings() == self._seen

    def have_parted(self) -> bool:
        """Whether parameters of one unit no longer have the same number."""
        return any(unit.is_vector and unit.advance() is None for unit in self.units)

    def advance(self) -> None:
        """Let the optimizers go on by a step, and hand over what has changed by it."""
        seen = self._settings()
        rates = [unit.advance() for unit in self.units]
        if rates != self._handed:
            self.numbers.copy_(torch.tensor(rates, dtype=torch.float64))
            self._handed = rates
        self._seen = seen

    def _settings(self) -> list[Any]:
        """All learning rates; what is a tensor, by its value."""
        rates = list(map(itemgetter("lr"), self._groups))
        if Tensor in map(type, rates):
            return [float(rate) for rate in rates]
        return rates


def units_of(
    parameters: list[Tensor],
    rules: list[Rule | None],
    clips: list[Callable[[Tensor], None] | None],
    trained: set[int],
) -> list[Unit]:
    """The parameters that have a rule and a gradient; small ones together if treated alike.

    Args:
        parameters: All of them.
        rules: The rule of each, or None.
        clips: The gradient clipping of each, or None.
        trained: The ``id`` of those that the loss has a gradient for.
    """
    alike: dict[Any, list[tuple[Tensor, Rule, Any]]] = {}
    for parameter, rule, clip in zip(parameters, rules, clips, strict=True):
        if rule is not None and id(parameter) in trained:
            key = (parameter.dtype, parameter.device, rule.settings())
            small = parameter.numel() <= SMALL and parameter.is_contiguous()
            group = key if small and rule.may_join else id(parameter)
            alike.setdefault(group, []).append((parameter, rule, clip))
    groups = [[list(part) for part in zip(*group, strict=True)] for group in alike.values()]
    return [Unit(*group) for group in groups]
