"""Pyro's SVI, its step captured once and replayed."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from operator import getitem
from typing import Any

import pyro
import torch
from pyro.infer.elbo import ELBO
from pyro.optim import PyroOptim
from torch import Tensor

from pyro_vae.compiled.capture import Outputs, Step, capture
from pyro_vae.compiled.finite import (
    FiniteSVI,
    all_finite,
    bad_step,
    buffers_of,
    optimizer_of,
    tensors_like,
    undone_by_an_exception,
)
from pyro_vae.compiled.outside import update_outside
from pyro_vae.compiled.parameter_groups import Rates, parameter_groups
from pyro_vae.compiled.program import Program
from pyro_vae.compiled.reach import Place
from pyro_vae.compiled.signature import placed, signature
from pyro_vae.compiled.update_rules import rule_of
from pyro_vae.compiled.variants import RARE, Variant, Variants

__all__ = ["CompiledSVI"]


class CompiledSVI(FiniteSVI):
    """``pyro.infer.SVI`` whose step is captured once, compiled and replayed.

    The whole step is captured: the batch's gather, model, guide, loss, gradients, their clipping
    and the optimizer. It makes the same steps as Pyro's from the same seed, to rounding. The
    first step is Pyro's own, the second and third are traced and compared, and from the fourth on
    the compiled graph is replayed, with Inductor on a CPU and as a CUDA graph on a GPU.

    The program must have a static structure: the same operations on the same shapes. Once
    captured, its Python code and hooks no longer run. What may change:

    - In place, tensors that the program holds: parameters, buffers, data, an annealed weight.
    - With another capture, what the program's code can read: numbers, training modes,
      ``requires_grad``, hooks, modules, parameters, buffers and other objects, from model, guide,
      loss and ``batch`` on, through closures, defaults, the globals that a function names,
      attributes, lists and dicts; also the optimizers' settings and state, and PyTorch's default
      dtype and autocast.
    - Not watched: globals and class attributes of installed packages, objects of the standard
      library, sets, containers of more than 256 entries, the contents of NumPy arrays, files, what
      lies beyond the nearest 4,096 values, and what the program itself changes as it runs.

    The optimizers ``Adam``, ``AdamW``, ``SGD`` and ``ClippedAdam``, with their schedules, are
    part of the graph; any other runs as it does in Pyro, on the captured gradients.

    Args:
        model: As for Pyro.
        guide: As for Pyro.
        optim: As for Pyro.
        loss: As for Pyro: an ELBO, or a function.
        loss_and_grads: As for Pyro.
        batch: Maps the arguments of ``step`` to the program's arguments, a tuple: for example
            ``lambda index: (data[index],)``, which captures the gather too.
        done: How many steps the optimizer has made before, from which on steps are counted.

    Attributes:
        capture_seconds: How long the captures have taken.
        while_capturing: Gives a context for each capture, which takes seconds.
        outside: Names of the optimizers that run outside the graph.

    Example:
        >>> import pyro
        >>> from pyro import distributions as dist
        >>> def model(x):
        ...     loc = pyro.sample("loc", dist.Normal(0.0, 1.0))
        ...     with pyro.plate("data", len(x)):
        ...         pyro.sample("x", dist.Normal(loc, 1.0), obs=x)
        >>> guide = pyro.infer.autoguide.AutoNormal(model)
        >>> optim = pyro.optim.Adam({"lr": 0.01})
        >>> svi = CompiledSVI(model, guide, optim, pyro.infer.Trace_ELBO())
        >>> svi.step(torch.ones(10)).shape
        torch.Size([])
    """

    def __init__(
        self,
        model: Callable[..., Any],
        guide: Callable[..., Any],
        optim: PyroOptim,
        loss: ELBO | Callable[..., Any],
        loss_and_grads: Callable[..., Any] | None = None,
        *,
        batch: Callable[..., tuple[Any, ...]] | None = None,
        done: int = 0,
    ) -> None:
        super().__init__(model, guide, optim, loss, loss_and_grads)
        self.batch = batch
        self.capture_seconds = 0.0
        self.while_capturing: Callable[[], AbstractContextManager[Any]] = nullcontext
        self.outside: set[str] = set()
        self._loss = loss
        self._program = Program({})
        self._fixed: list[Place] = []
        self._variants = Variants()
        self._step: Step | None = None
        self._trained: set[int] = set()
        self._rates = Rates([])
        self._steps = self._checked = done

    @property
    def compiled(self) -> bool:
        """Whether there is a compiled step yet."""
        return self._variants.compiled > 0

    def step(self, *args: Any, **kwargs: Any) -> Any:
        """Make one gradient step on the loss.

        Args:
            *args: Arguments of the model and the guide, or of ``batch``.
            **kwargs: Likewise.

        Returns:
            The loss before the step, a tensor that stays on its device; several parts are a
            tuple. After a loss or a gradient that is not finite, or whose update would overflow,
            compiled steps change nothing: see :meth:`check`.

        Raises:
            NotCapturable: naming the site, if the program has no static graph. The step is then
                not made; ``pyro.infer.SVI`` can go on with the same optimizer.
            NonFiniteLoss: by a step of Pyro's own, or by one that follows compiled steps.
        """
        as_before = self._rates.are_as_handed()
        if self._is_new(as_before):
            self.check()
            return self._first(args, kwargs)
        assert self._step is not None
        if not as_before and self._rates.have_parted():
            self.check()
            self._prepare(self._step.parameters)
        layout, given = signature(args, kwargs)
        key = layout, self._program.number
        variant = self._variants.get(key)
        if variant is not None and variant.replay is not None:
            if not as_before:
                self._rates.advance()
            self._steps += 1
            assert variant.outputs is not None
            return self._finished(variant.outputs, variant.replay(given, self._loss))
        self.check()
        variant = self._variants.find(key, self._program.change)
        try:
            if self._pays(variant):
                with self.while_capturing():
                    return self._traced(variant, given, args, kwargs)
            return self._plain(variant, args, kwargs)
        finally:
            self._program.ran()

    def check(self) -> None:
        """Wait for the device, and check that every compiled step was finite.

        Raises:
            NonFiniteLoss: if a loss or a gradient was not, or its update would have overflowed.
                The error's ``step`` is the number of the first such step, and the parameters are
                those before it. Also if a weight is not finite all the same.
        """
        if self._step is None:
            return
        made, good = int(self._step.made), bool(self._step.good)
        number, self._checked = self._checked + made, self._steps
        self._step.made.zero_()
        self._step.good.fill_(True)
        if self.skips:
            return
        kept = all_finite(self._step.parameters)
        if not (good and kept):
            raise bad_step(number, bool(kept))

    def _is_new(self, as_handed: bool) -> bool:
        """Whether what is trained, or by what, is no longer what was prepared."""
        if self._step is None or (not as_handed and self._rates.have_changed()):
            return True
        if self._program.is_as_before():
            return False
        if any(place.is_other for place in self._fixed) or self._rates.have_changed():
            return True
        before = self._program.trained
        self._program.look()
        return self._program.trained != before

    def _first(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Pyro's own step, which creates the parameters and their optimizers."""
        loss, parameters = self._stepped(self._arguments(args), kwargs)
        self._steps += 1
        self._trained = {id(parameter) for parameter in parameters if parameter.grad is not None}
        self._prepare(parameters)
        return tensors_like(loss, parameters)

    def _prepare(self, parameters: list[Tensor]) -> None:
        """Find each parameter's update rule, and group those that are updated alike."""
        self._variants.clear()
        optimizers = [optimizer_of(self.optim, parameter) for parameter in parameters]
        rules = [rule_of(*pair) for pair in zip(parameters, optimizers, strict=True)]
        outside = [position for position, rule in enumerate(rules) if rule is None]
        self.outside = {type(optimizers[position]).__name__ for position in outside}
        clips = [self.optim.grad_clip[p] for p in parameters]
        groups = parameter_groups(parameters, rules, clips, self._trained)
        device = parameters[0].device if parameters else torch.device("cpu")
        self._rates = Rates(groups, device, self.optim.optim_objs)
        self._step = Step(
            self._loss, parameters, groups, outside, self._rates.numbers,
            good=torch.ones((), dtype=torch.bool, device=device),
            made=torch.zeros((), dtype=torch.int64, device=device),
            buffers=[], skips=self.skips,
        )  # fmt: skip
        self._checked = self._steps
        roots = {"model": self.model, "guide": self.guide, "loss": self.loss_and_grads,
                 "batch": self.batch}  # fmt: skip
        store = pyro.get_param_store()
        named = {str(store.param_name(parameter)): parameter for parameter in parameters}
        own = ("model", "guide", "loss_and_grads", "batch", "optim")
        self._fixed = [
            *(Place.at(getattr, self, name) for name in own),
            Place.at(getattr, self.optim, "optim_objs"),
            Place.at(getattr, store, "_params"),
            *(Place.at(getitem, store._params, name) for name in named),
            *self._rates.places,
        ]
        self._program = Program(roots, named, self._fixed)

    def _pays(self, variant: Variant) -> bool:
        """Whether to capture: the first variant at once, another one when it is frequent.

        The first steps of a rarer variant, such as an epoch's last short batch, are Pyro's. They
        are counted and not timed, so that two runs from one seed are the same to the bit.
        """
        return variant.first or (self._variants.compiled > 0 and variant.made >= RARE)

    def _plain(self, variant: Variant, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Pyro's own step."""
        loss, parameters = self._stepped(self._arguments(args), kwargs)
        self._checked = self._steps = self._steps + 1
        variant.made += 1
        return tensors_like(loss, parameters)

    def _traced(
        self, variant: Variant, given: list[Tensor], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Make a step while tracing it; the second time, compare the traces and compile."""
        assert self._step is not None

        args, kwargs, given = placed((args, kwargs, given), self._step.good.device)

        def loss_and_grads() -> Any:
            return self.loss_and_grads(self.model, self.guide, *self._arguments(args), **kwargs)

        buffers = buffers_of(self.model, self.guide)
        self._step.buffers = [buffer for buffer in buffers if id(buffer) in self.changed]
        began = time.perf_counter()
        rules = [rule for group in self._step.groups for rule in group.rules]
        with undone_by_an_exception([*self._step.tensors, *self._step.buffers], rules):
            self._rates.advance()
            traced = capture(self._step, loss_and_grads, given)
        self._steps += 1
        variant.outputs = traced.outputs
        loss = self._finished(traced.outputs, traced.values)
        if variant.traced is None:
            variant.traced = traced
        elif difference := variant.traced.unlike(traced):
            variant.refused = (
                f"Expected a program that does the same at every step, but {difference}; keep "
                f"what changes in tensors, or train with Pyro's step"
            )
        else:
            variant.compile(traced)
        self.capture_seconds += time.perf_counter() - began
        return loss

    def _finished(self, outputs: Outputs, values: Any) -> Any:
        """Return the loss, and let the optimizers outside the graph make their step."""
        assert self._step is not None
        values, count = outputs.unpacked(values), outputs.losses
        for position, name in enumerate(outputs.kept, count):
            setattr(self._loss, name, values[position])
        if outputs.left:
            left = [self._step.parameters[position] for position in outputs.left]
            for position, parameter in enumerate(left, count + len(outputs.kept)):
                parameter.grad = values[position].clone()
            update_outside(self._step, self.optim, left)
        return values[0] if outputs.single else outputs.unflatten(values[:count])

    def _arguments(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return args if self.batch is None else self.batch(*args)
