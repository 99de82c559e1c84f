"""Optimizers that have no rule for the graph: they make their step beside it, as Pyro does."""

from __future__ import annotations

import torch
from pyro.infer.util import zero_grads
from pyro.optim import PyroOptim
from torch import Tensor

from pyro_vae.compiled.capture import Step
from pyro_vae.compiled.finite import all_finite, optimizer_of

__all__ = ["update_outside"]


def update_outside(step: Step, optim: PyroOptim, parameters: list[Tensor]) -> None:
    """Update parameters by their gradients, and undo what is not finite."""
    states = [optimizer_of(optim, parameter).state[parameter] for parameter in parameters]
    values = [*parameters, *(value for state in states for value in state.values())]
    changed = [value.detach() for value in values if isinstance(value, Tensor)]
    before = [tensor.clone() for tensor in changed]
    optim(parameters)
    finite = all_finite(parameters)
    step.made.sub_((step.good & ~finite).long())  # the graph has counted this step
    step.good.logical_and_(finite)
    for tensor, value in zip(changed, before, strict=True):
        tensor.copy_(torch.where(step.good, tensor, value))
    zero_grads(parameters)
