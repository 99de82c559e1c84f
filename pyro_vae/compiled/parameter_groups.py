"""Parameters that are updated together, as views of one vector."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from operator import is_, itemgetter
from typing import Any

import torch
from torch import Tensor
from torch.linalg import vector_norm

from pyro_vae.compiled.reach import Place
from pyro_vae.compiled.update_rules import Rule

__all__ = ["ParameterGroup", "Rates", "parameter_groups"]

SMALL = 2**16
"""Size up to which a parameter becomes part of a vector. For small parameters most of the time
goes into passing tensors, of which this leaves few; for large ones, into copying gradients."""


class ParameterGroup:
    """One parameter, or several that their optimizers treat alike, as one vector.

    The parameters, and the tensors of their optimizers, become views of vectors. Their values
    stay the same, and other code can use them as before.

    Args:
        parameters: The parameters, of one dtype and device.
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
        """The rate of the next step; None if the parameters' rates differ."""
        numbers = {rule.advance() for rule in self.rules}
        return numbers.pop() if len(numbers) == 1 else None

    def gradient(self) -> Tensor:
        """The parameters' gradients as one tensor."""
        found: list[Any] = [parameter.grad for parameter in self.parameters]
        return torch.cat([part.reshape(-1) for part in found]) if self.is_vector else found[0]

    def magnitude(self, gradient: Tensor, rate: Tensor) -> Tensor:
        """A number that is not finite if the gradient is not, or if the update may overflow."""
        return self.rules[0].magnitude(vector_norm(gradient, math.inf), rate.to(gradient.dtype))

    def update(self, gradient: Tensor, rate: Tensor) -> list[tuple[Tensor, Tensor]]:
        """The parameters as one tensor, and the optimizer's state, each with its new value."""
        for parameter, clip in zip(self.parameters, self.clips, strict=True):
            if clip is not None:
                clip(parameter)
        if any(self.clips):
            gradient = self.gradient()
        new, state = self.rules[0].updated(self.whole.detach(), gradient, self.state, rate)
        return [(self.whole, new), *zip(self.state, state, strict=True)]

    def _joined(self, tensors: list[Tensor]) -> Tensor:
        """Concatenate tensors, and turn each into a view of the result."""
        whole = torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
        parts = whole.split([tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.data = part.view(tensor.shape)
        return whole


class Rates:
    """The rate of each group, copied to the device when it changes.

    Args:
        groups: The groups.
        device: Their device.
        optimizers: Pyro's optimizers by parameter, which must stay as they are but for rates.

    Attributes:
        numbers: One for each group, ``(G,)`` float64.
    """

    def __init__(
        self,
        groups: list[ParameterGroup],
        device: torch.device | None = None,
        optimizers: Mapping[Tensor, Any] | None = None,
    ) -> None:
        self.groups, self.optimizers = groups, optimizers or {}
        self._objects = list(self.optimizers.values())
        self.numbers = torch.zeros(len(groups), dtype=torch.float64, device=device)
        self._handed: list[float | None] = [0.0] * len(groups)
        self._seen: list[Any] = []
        rules = [rule for group in groups for rule in group.rules]
        self._rules, self._groups = rules, [rule.group for rule in rules]
        self._only_read = all(rule.may_join for rule in rules)
        self._values = [group.values() for group in self._groups]
        self._readers = [itemgetter(*(group.keys() - {"lr", "params"})) for group in self._groups]
        self._fixed = self._fixed_settings()

    def are_as_handed(self) -> bool:
        """Whether every setting is what the graph and the device have, as in most steps."""
        return (
            self._only_read
            and bool(self._seen)
            and len(self.optimizers) == len(self._objects)
            and list(map(list, self._values)) == self._seen
        )

    def have_changed(self) -> bool:
        """Whether an optimizer was replaced, or a setting changed that is no rate."""
        there = self.optimizers.values()
        replaced = len(there) != len(self._objects) or not all(map(is_, there, self._objects))
        of_rules = (rule.optimizer.param_groups[0] for rule in self._rules)
        loaded = not all(map(is_, of_rules, self._groups))
        return replaced or loaded or self._fixed_settings() != self._fixed

    @property
    def places(self) -> list[Place]:
        """What changes when an optimizer's state is loaded."""
        owners = [rule.optimizer for rule in self._rules]
        return [Place.at(getattr, each, "param_groups") for each in owners]

    def have_parted(self) -> bool:
        """Whether parameters of one group no longer have the same rate."""
        return any(group.is_vector and group.advance() is None for group in self.groups)

    def advance(self) -> None:
        """Advance the optimizers by a step, and copy the rates that this changes."""
        rates = [group.advance() for group in self.groups]
        if rates != self._handed:
            pinned = self.numbers.is_cuda  # or the copy would wait for the GPU
            new = torch.tensor(rates, dtype=torch.float64, pin_memory=pinned)
            self.numbers.copy_(new, non_blocking=True)
            self._handed = rates
        tensors = any(isinstance(group["lr"], Tensor) for group in self._groups)
        self._seen = [] if tensors else list(map(list, self._values))

    def _fixed_settings(self) -> list[Any]:
        return [read(group) for read, group in zip(self._readers, self._groups, strict=True)]


def parameter_groups(
    parameters: list[Tensor],
    rules: list[Rule | None],
    clips: list[Callable[[Tensor], None] | None],
    trained: set[int],
) -> list[ParameterGroup]:
    """Group the parameters that have a rule and a gradient: small ones that are updated alike.

    Args:
        parameters: All of them.
        rules: The rule of each, or None.
        clips: The gradient clipping of each, or None.
        trained: The ``id`` of each parameter that has a gradient.
    """
    alike: dict[Any, list[tuple[Tensor, Rule, Any]]] = {}
    for parameter, rule, clip in zip(parameters, rules, clips, strict=True):
        if rule is not None and id(parameter) in trained:
            key = (parameter.dtype, parameter.device, rule.settings())
            small = parameter.numel() <= SMALL and parameter.is_contiguous()
            group = key if small and rule.may_join else id(parameter)
            alike.setdefault(group, []).append((parameter, rule, clip))
    groups = [[list(part) for part in zip(*group, strict=True)] for group in alike.values()]
    return [ParameterGroup(*group) for group in groups]
