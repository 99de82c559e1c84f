"""Pyro's SVI, whose step stops at a loss, a gradient or a weight that is not finite."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pyro
import torch
from pyro import poutine
from pyro.infer import SVI
from pyro.infer.util import torch_item, zero_grads
from pyro.optim import PyroOptim
from torch import Tensor, nn
from torch.linalg import vector_norm

from pyro_vae.compiled.private import pytree
from pyro_vae.core.errors import NonFiniteLoss

__all__ = [
    "FiniteSVI",
    "all_finite",
    "bad_step",
    "buffers_of",
    "optimizer_of",
    "tensors_like",
    "undone_by_an_exception",
]


class FiniteSVI(SVI):
    """``pyro.infer.SVI`` that refuses a step which would spoil the weights.

    Its steps are Pyro's own. Where the loss, a gradient or an updated parameter is NaN or
    infinite, the parameters and the modules' buffers stay those of the step before. A parameter
    that is frozen (``requires_grad``) stays where it is, whatever gradient it had. The arguments
    are those of ``SVI``.

    Attributes:
        skips: Whether training goes on after a step that is not finite, so that the optimizers'
            state stays too, and compiled steps after it are made.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.changed: set[int] = set()  # the ``id`` of each buffer that a step has changed
        self.skips = False

    def step(self, *args: Any, **kwargs: Any) -> Any:
        """Make one gradient step on the loss, as Pyro does.

        Raises:
            NonFiniteLoss: naming the parameters, where the loss itself is finite.
        """
        return self._stepped(args, kwargs)[0]

    def _stepped(self, args: Any, kwargs: Any) -> tuple[Any, list[Tensor]]:
        """The loss, and the parameters that the step saw."""
        changing = buffers_of(self.model, self.guide)
        buffers, kept = list(changing), [buffer.clone() for buffer in changing]
        parameters: list[Tensor] = []
        try:
            with poutine.trace(param_only=True) as seen:
                loss = self.loss_and_grads(self.model, self.guide, *args, **kwargs)
            sites: list[Any] = list(seen.trace.nodes.values())
            found = [site["value"].unconstrained() for site in sites]
            parameters = list({id(parameter): parameter for parameter in found}.values())
            for parameter in parameters:
                if not parameter.requires_grad:
                    parameter.grad = None
            loss = pytree.tree_map(torch_item, loss)
            self._check(loss, parameters)
            kept += [parameter.detach().clone() for parameter in parameters]
            buffers += parameters  # from here on they are restored too
            if self.skips:
                states = _states(self.optim, parameters)
                kept += [value.clone() for value in states]
                buffers += states
            self.optim(parameters)
            _check_each(
                "weight", parameters, lambda parameter: parameter,
                "after the update, though the gradients are finite: lower the learning rate",
            )  # fmt: skip
            self.changed |= {id(b) for b, k in zip(changing, kept, strict=False) if not b.equal(k)}
        except BaseException:  # Pyro's validation and Ctrl-C included
            for tensor, value in zip(buffers, kept, strict=True):
                tensor.detach().copy_(value)
            raise
        finally:
            zero_grads(parameters)
        return loss, parameters

    def _check(self, loss: Any, parameters: list[Tensor]) -> None:
        """Refuse a loss or a gradient that is not finite."""
        if not all(map(math.isfinite, pytree.tree_leaves(loss))):
            raise NonFiniteLoss(
                f"Expected a finite loss, got {loss}; lower the learning rate, or bound the "
                f"parameters of the program's distributions"
            )
        _check_each(
            "gradient", [p for p in parameters if p.grad is not None], lambda p: p.grad,
            "though the loss is finite: keep the arguments of sqrt, log, division and norm away "
            "from 0, or freeze these parameters",
        )  # fmt: skip


def _check_each(
    what: str, parameters: Sequence[Tensor], part: Callable[[Tensor], Any], advice: str
) -> None:
    if all_finite(map(part, parameters)):
        return
    bad = [p for p in parameters if not part(p).isfinite().all()]
    names = [str(pyro.get_param_store().param_name(p)).replace("$$$", ".") for p in bad]
    raise NonFiniteLoss(
        f"The {what}s of {len(bad)} of {len(parameters)} parameters are not finite (first: "
        f"{', '.join(names[:3])}) {advice}; the weights are those of the last good step"
    )


def bad_step(number: int, kept: bool) -> NonFiniteLoss:
    """The error for a compiled step.

    Args:
        number: Of the step, counted from 0.
        kept: Whether the weights are finite.
    """
    weights = "the weights are those of the last good step"
    if not kept:
        weights = "weights are not finite either: go back to a copy"
    return NonFiniteLoss(
        f"The loss, a gradient or an update is not finite in step {number}, counted from 0; "
        f"{weights}. Pyro's own step on the same data names the site or the parameters",
        step=number,
    )


def all_finite(tensors: Iterable[Tensor]) -> Tensor:
    """Whether tensors have only finite values: the largest magnitude shows any NaN, too."""
    largest = [vector_norm(tensor.detach(), math.inf) for tensor in tensors if tensor.numel()]
    found = [value.isfinite() for value in largest]
    return torch.stack(found).all() if found else torch.tensor(True)


def optimizer_of(optim: PyroOptim, parameter: Tensor) -> Any:
    """A parameter's optimizer, or that which its schedule holds."""
    found = optim.optim_objs[parameter]
    return getattr(found, "optimizer", found)


def _states(optim: PyroOptim, parameters: Iterable[Tensor]) -> list[Tensor]:
    """The tensors of the optimizers' state, of the parameters that have any."""
    known = [p for p in parameters if p in optim.optim_objs]
    states = (optimizer_of(optim, p).state[p].values() for p in known)
    return [value for state in states for value in state if isinstance(value, Tensor)]


def tensors_like(loss: Any, parameters: Sequence[Tensor]) -> Any:
    """A loss of numbers as tensors, where the parameters are and as exact."""
    like = parameters[0] if parameters else torch.zeros(())
    return pytree.tree_map(lambda number: like.new_tensor(number, requires_grad=False), loss)


def buffers_of(*programs: Any) -> list[Tensor]:
    """The modules' buffers that a step may spoil, those of floating point."""
    found = {id(b): b for root in roots_of(*programs) for b in root.buffers()}
    return [buffer for buffer in found.values() if buffer.is_floating_point()]


def roots_of(*programs: Callable[..., Any]) -> list[nn.Module]:
    """The modules among the programs, and those whose methods they are."""
    owners = [getattr(program, "__self__", program) for program in programs]
    return [owner for owner in owners if isinstance(owner, nn.Module)]


@contextmanager
def undone_by_an_exception(tensors: Sequence[Tensor], rules: Sequence[Any]) -> Iterator[None]:
    """Give tensors and update rules their former state if the block fails, or at Ctrl-C."""
    before = [rule.plain_state() for rule in rules]
    kept = [tensor.detach().clone() for tensor in tensors]
    try:
        yield
    except BaseException:
        for tensor, value in zip(tensors, kept, strict=True):
            tensor.detach().copy_(value)
        for rule, plain in zip(rules, before, strict=True):
            rule.restore(plain)
        raise
