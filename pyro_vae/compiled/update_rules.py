"""The update of each optimizer, with nothing read into Python, so that a graph can hold it.

``torch.optim``'s functional forms are not used: none can be captured on a CPU at this speed
(torch 2.14.1). ``adam(capturable=True)`` is refused there, ``adam(differentiable=True)`` took 7
times as long for 330,000 weights (it computes the bias corrections again for each), and ``sgd``
reads a tensor's learning rate into Python.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import pyro.optim.clipped_adam
import torch
from torch import Tensor

__all__ = ["Rule", "rule_of"]


class Rule(ABC):
    """The update of one parameter by one optimizer, with nothing read into Python.

    How to write one:
        1. ``state`` lists the optimizer's own tensors. They are updated in place, so that the
           optimizer can be saved and loaded as usual.
        2. ``advance()`` returns the one number that may change between steps, such as the learning
           rate, and advances whatever state is not a tensor. It is called once a step.
        3. ``updated(...)`` returns the new parameter and the new state; it is traced once. If it
           is elementwise and ``advance`` changes nothing, ``may_join = True`` lets it update
           several parameters as one vector.

    Args:
        parameter: The parameter.
        optimizer: Its optimizer, which has made at least one step.
    """

    may_join: ClassVar[bool] = False

    def __init__(self, parameter: Tensor, optimizer: torch.optim.Optimizer) -> None:
        self.parameter, self.optimizer = parameter, optimizer
        self.group: dict[str, Any] = optimizer.param_groups[0]
        self.memory: dict[str, Any] = optimizer.state[parameter]
        self.state = [self.memory[name] for name in self.names()]

    @abstractmethod
    def names(self) -> list[str]:
        """The names of the tensors of the optimizer's state."""

    def advance(self) -> float:
        """The rate of the next step."""
        return float(self.group["lr"])

    def settings(self) -> tuple[Any, ...]:
        """What two rules must have in common to update one vector."""
        plain = (int, float, bool, tuple, type(None))
        found = (value for name, value in self.group.items() if name != "params")
        made = float(self.memory.get("step") or 0)  # fewer for a parameter that was frozen
        values = (v if isinstance(v, plain) else id(v) for v in found)
        return (type(self.optimizer), made, *values)

    def plain_state(self) -> tuple[Any, Any]:
        """What ``advance`` changes."""
        return self.group["lr"], self.memory.get("step")

    def restore(self, plain: tuple[Any, Any]) -> None:
        """Undo ``advance``."""
        self.group["lr"] = plain[0]
        if plain[1] is not None:
            self.memory["step"] = plain[1]

    def magnitude(self, largest: Tensor, rate: Tensor) -> Tensor:
        """Not finite if the update may overflow: here, where the squared gradient does.

        Args:
            largest: The largest magnitude in the gradient, NaN if that has any.
            rate: The rate, in the parameter's dtype.
        """
        return largest.square() + rate

    @abstractmethod
    def updated(
        self, parameter: Tensor, gradient: Tensor, state: list[Tensor], rate: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """The parameter and the state after a step."""


class _Adam(Rule):
    """``torch.optim.Adam`` and ``AdamW``, whose count of steps is a tensor."""

    may_join = True

    def __init__(self, parameter: Tensor, optimizer: torch.optim.Optimizer) -> None:
        memory = optimizer.state[parameter]
        if parameter.is_cuda:  # so that nothing waits for the GPU; Adam calls it capturable
            memory["step"] = memory["step"].to(parameter.device)
            optimizer.param_groups[0]["capturable"] = True
        super().__init__(parameter, optimizer)

    def names(self) -> list[str]:
        return ["exp_avg", "exp_avg_sq", "step"] + ["max_exp_avg_sq"] * self.group["amsgrad"]

    def updated(
        self, parameter: Tensor, gradient: Tensor, state: list[Tensor], rate: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        first, second, step, *largest = state
        beta1, beta2 = self.group["betas"]
        decay = self.group["weight_decay"]
        if decay and _is_decoupled(self.optimizer):
            parameter = parameter * (1 - rate * decay)
        elif decay:
            gradient = gradient + decay * parameter
        step = step + 1
        first = _flushed(first.lerp(gradient, 1 - beta1))
        second = _flushed((second * beta2).addcmul(gradient, gradient, value=1 - beta2))
        largest = [torch.maximum(seen, second) for seen in largest]
        count = step.reshape(-1)[0].double()  # one for each parameter, all alike
        correction = (1 - beta2**count).sqrt()
        numbers = torch.stack([rate * correction / (1 - beta1**count),
                               self.group["eps"] * correction])  # fmt: skip
        size, least = _once(numbers.to(parameter.dtype)).unbind()
        root = (largest[0] if largest else second).sqrt()
        return parameter - size * (first / (root + least)), [first, second, step, *largest]


class _ClippedAdam(Rule):
    """``pyro.optim.ClippedAdam``: its rate and its count of steps are Python's."""

    def names(self) -> list[str]:
        return ["exp_avg", "exp_avg_sq"]

    def advance(self) -> float:
        self.group["lr"] *= self.group["lrd"]
        self.memory["step"] += 1
        beta1, beta2 = self.group["betas"]
        second = math.sqrt(1 - beta2 ** self.memory["step"])
        return float(self.group["lr"] * second / (1 - beta1 ** self.memory["step"]))

    def updated(
        self, parameter: Tensor, gradient: Tensor, state: list[Tensor], rate: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        first, second = state
        beta1, beta2 = self.group["betas"]
        gradient = gradient.clamp(-self.group["clip_norm"], self.group["clip_norm"])
        if self.group["weight_decay"]:
            gradient = gradient + self.group["weight_decay"] * parameter
        first = _flushed(first * beta1 + gradient * (1 - beta1))
        spread = gradient - first if self.group["centered_variance"] else gradient
        second = _flushed((second * beta2).addcmul(spread, spread, value=1 - beta2))
        size = _once(rate.to(parameter.dtype))
        return parameter - size * (first / (second.sqrt() + self.group["eps"])), [first, second]


class _SGD(Rule):
    """``torch.optim.SGD``."""

    may_join = True

    def names(self) -> list[str]:
        return ["momentum_buffer"] * bool(self.group["momentum"])

    def magnitude(self, largest: Tensor, rate: Tensor) -> Tensor:
        return largest * (1 + rate.abs())

    def updated(
        self, parameter: Tensor, gradient: Tensor, state: list[Tensor], rate: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        lr = _once(rate.to(parameter.dtype))
        if self.group["weight_decay"]:
            gradient = gradient + self.group["weight_decay"] * parameter
        if not state:
            return parameter - lr * gradient, []
        momentum = self.group["momentum"]
        kept = _flushed(momentum * state[0] + (1 - self.group["dampening"]) * gradient)
        step = gradient + momentum * kept if self.group["nesterov"] else kept
        return parameter - lr * step, [kept]


RULES: dict[type[torch.optim.Optimizer], Callable[..., Rule]] = {
    torch.optim.Adam: _Adam,
    torch.optim.AdamW: _Adam,
    torch.optim.SGD: _SGD,
    pyro.optim.clipped_adam.ClippedAdam: _ClippedAdam,
}


def rule_of(parameter: Tensor, optimizer: torch.optim.Optimizer) -> Rule | None:
    """The rule for an optimizer; None if there is none, and its own ``step`` must be called.

    Args:
        parameter: Its parameter, after the first step.
        optimizer: An optimizer of one parameter, as Pyro makes them.
    """
    make = RULES.get(type(optimizer))
    strange = any(optimizer.param_groups[0].get(name) for name in ("maximize", "differentiable"))
    strange = strange or optimizer.param_groups[0].get("eps") == 0  # 0 / 0 without a gradient
    if make is None or strange or (not optimizer.state[parameter] and make is not _SGD):
        return None
    return make(parameter, optimizer)


def _is_decoupled(optimizer: torch.optim.Optimizer) -> bool:
    group = optimizer.param_groups[0]
    return isinstance(optimizer, torch.optim.AdamW) or bool(group.get("decoupled_weight_decay"))


def _flushed(moment: Tensor) -> Tensor:
    """Zeros in place of denormal numbers, which are tens of times as slow to compute with.

    The moments of a weight that no longer gets a gradient decay into them, and stay there.
    """
    tiny = torch.finfo(moment.dtype).tiny
    return torch.where(moment.abs() < tiny, torch.zeros_like(moment), moment)


def _once(numbers: Tensor) -> Tensor:
    """The same numbers, computed once and not in the loop over all weights.

    Inductor fuses scalars into that loop, but not the results of a reduction; here, the maximum of
    equal numbers. Even a conversion in the loop would take a fifth of Adam's time.
    """
    return numbers.expand(16, *numbers.shape).amax(0)
