"""Pyro's SVI, its step captured once and replayed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from pyro import poutine
from pyro.infer import SVI
from pyro.infer.elbo import ELBO
from pyro.infer.util import zero_grads
from pyro.optim import PyroOptim
from torch import Tensor
from torch.utils import _pytree as pytree

from pyro_vae.compiled.backends import Replay, replay_of
from pyro_vae.compiled.capture import Capture, Outputs, Step, capture
from pyro_vae.compiled.signature import Places, Signature, roots_of
from pyro_vae.compiled.units import Rates, units_of
from pyro_vae.compiled.update_rules import rule_of
from pyro_vae.core.errors import NonFiniteLoss, NotCapturable

__all__ = ["CompiledSVI"]

KINDS = 8


class CompiledSVI(SVI):
    """``pyro.infer.SVI`` whose step is captured once, compiled and replayed.

    The whole step is captured: the batch's gather, model, guide, loss, gradients, their clipping
    and the optimizer. It makes the same steps as Pyro's from the same seed, to rounding. The
    first step is Pyro's own, the second and third are traced and compared, and from the fourth on
    the compiled graph is replayed, with Inductor on a CPU and as a CUDA graph on a GPU.

    What it needs is a program of static structure: the same operations on the same shapes at
    every step. Tensors that the program holds (parameters, buffers, data, an annealed weight) may
    change where they lie; a Python number that changes gives another capture. Python code in the
    program, hooks included, does not run any more once it is captured.

    The optimizers ``Adam``, ``AdamW``, ``SGD`` and ``ClippedAdam``, with their schedules, are
    part of the graph; any other runs as Pyro runs it, after the captured gradients.

    Args:
        model: As for Pyro.
        guide: As for Pyro.
        optim: As for Pyro.
        loss: As for Pyro: an ELBO, or a function.
        loss_and_grads: As for Pyro.
        batch: Makes the program's arguments, a tuple, of what ``step`` is given: for example
            ``lambda index: (data[index],)``, so that the gather is captured too.

    Attributes:
        capture_seconds: How long the captures have taken.
        outside: The kinds of optimizer that are left outside the graph.

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
    ) -> None:
        super().__init__(model, guide, optim, loss, loss_and_grads)
        self.batch = batch
        self.capture_seconds = 0.0
        self.outside: set[str] = set()
        self._loss = loss
        self._signature = Signature(roots_of(model, guide), loss)
        self._kinds: dict[Any, _Kind] = {}
        self._step: Step | None = None
        self._trained: set[int] = set()
        self._places = Places([])
        self._rates = Rates([])

    @property
    def compiled(self) -> bool:
        """Whether there is a compiled step yet."""
        return any(kind.replay is not None for kind in self._kinds.values())

    def step(self, *args: Any, **kwargs: Any) -> Any:
        """Make one gradient step on the loss.

        Args:
            *args: What the model and the guide are given, or what ``batch`` makes that of.
            **kwargs: Likewise.

        Returns:
            The loss before the step, a tensor that stays on its device: ``float(loss)`` waits
            for it and reads it. A loss of several parts is a tuple of such tensors. From a loss
            that is not finite on, compiled steps change nothing: see :meth:`check`.

        Raises:
            NotCapturable: naming the site, if the program has no static graph. This step has not
                been made then, and ``pyro.infer.SVI`` may go on with the same optimizer.
        """
        if self._step is None or self._places.have_changed():
            return self._first(args, kwargs)
        as_before = self._rates.are_as_handed()
        if not as_before and self._rates.have_parted():
            self._prepare(self._step.parameters)
        key, given = self._signature(args, kwargs)
        kind = self._kinds.get(key)
        if kind is not None and kind.replay is not None:
            if not as_before:
                self._rates.advance()
            assert kind.outputs is not None
            return self._finished(kind.outputs, kind.replay(given, self._loss))
        kind = self._kind(key)
        if self._pays(kind):
            return self._traced(kind, given, args, kwargs)
        return self._plain(kind, args, kwargs)

    def check(self) -> None:
        """Wait for the device, and say whether every compiled step's loss was finite.

        Raises:
            NonFiniteLoss: if one was not; the parameters are those of the last good step.
        """
        if self._step is not None and not self._step.good:
            self._step.good.fill_(True)
            raise NonFiniteLoss(
                "The loss is not finite in a compiled step; the parameters are those of the last "
                "good step. Pyro's own step on the same data names the site"
            )

    def _first(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Pyro's own step, which makes the parameters and their optimizers."""
        with poutine.trace(param_only=True) as seen:
            loss = super().step(*self._arguments(args), **kwargs)
        sites: list[Any] = list(seen.trace.nodes.values())
        found = [site["value"].unconstrained() for site in sites]
        parameters = list({id(parameter): parameter for parameter in found}.values())
        self._trained = {id(parameter) for parameter in parameters if parameter.grad is not None}
        self._prepare(parameters)
        return pytree.tree_map(torch.as_tensor, loss)

    def _prepare(self, parameters: list[Tensor]) -> None:
        """Find what each optimizer does, and which parameters are treated alike."""
        self._kinds.clear()
        optimizers = [self.optim.optim_objs[p] for p in parameters]
        optimizers = [getattr(optimizer, "optimizer", optimizer) for optimizer in optimizers]
        rules = [rule_of(*pair) for pair in zip(parameters, optimizers, strict=True)]
        outside = [position for position, rule in enumerate(rules) if rule is None]
        self.outside = {type(optimizers[position]).__name__ for position in outside}
        clips = [self.optim.grad_clip[p] for p in parameters]
        units = units_of(parameters, rules, clips, self._trained)
        device = parameters[0].device if parameters else torch.device("cpu")
        good = torch.ones((), dtype=torch.bool, device=device)
        self._places = Places(parameters)
        self._rates = Rates(units, device)
        self._step = Step(self._loss, parameters, units, outside, self._rates.numbers, good)

    def _kind(self, key: Any) -> _Kind:
        kind = self._kinds.get(key)
        if kind is None:
            if len(self._kinds) >= KINDS:
                seen = "; ".join(str(known[0]) for known in [*self._kinds][-2:])
                raise NotCapturable(
                    f"Expected arguments of static shapes and values, got {KINDS + 1} kinds so "
                    f"far, among them {seen}; give numbers that change as tensors, and data in "
                    f"batches of one size, or train with Pyro's step"
                )
            kind = self._kinds[key] = _Kind(first=not self._kinds)
        if kind.refused:
            raise NotCapturable(kind.refused)
        return kind

    def _pays(self, kind: _Kind) -> bool:
        """Whether to capture: the first kind of batch at once, another when it is frequent.

        A rarer kind, such as an epoch's last short batch, is made by Pyro until its steps have
        taken as long as a capture does.
        """
        done = sum(other.replay is not None for other in self._kinds.values())
        return kind.first or (done > 0 and kind.seconds > self.capture_seconds / done)

    def _plain(self, kind: _Kind, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Pyro's own step."""
        began = time.perf_counter()
        loss = super().step(*self._arguments(args), **kwargs)
        kind.seconds += time.perf_counter() - began
        return pytree.tree_map(torch.as_tensor, loss)

    def _traced(
        self, kind: _Kind, given: list[Tensor], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Make a step while tracing it; at the second time compare, and compile."""
        assert self._step is not None

        def loss_and_grads() -> Any:
            return self.loss_and_grads(self.model, self.guide, *self._arguments(args), **kwargs)

        began = time.perf_counter()
        rules = [rule for unit in self._step.units for rule in unit.rules]
        before = [rule.plain_state() for rule in rules]
        self._rates.advance()
        try:
            traced = capture(self._step, loss_and_grads, given)
        except NotCapturable:
            for rule, plain in zip(rules, before, strict=True):
                rule.restore(plain)
            raise
        kind.outputs = traced.outputs
        loss = self._finished(traced.outputs, traced.values)
        if kind.traced is None:
            kind.traced = traced
        elif difference := kind.traced.unlike(traced):
            kind.refused = (
                f"Expected a program that does the same at every step, but {difference}; keep "
                f"what changes in tensors, or train with Pyro's step"
            )
        else:
            self._compile(kind, traced)
        self.capture_seconds += time.perf_counter() - began
        return loss

    def _compile(self, kind: _Kind, traced: Capture) -> None:
        try:
            kind.replay, kind.traced = replay_of(traced), None
        except Exception as error:  # whatever the compiler raises, the step has been made
            first = next(iter(str(error).splitlines()), "")
            kind.refused = (
                f"Expected the captured step to compile, got {type(error).__name__}: {first}; on "
                f"a CPU a C++ compiler and room in the temporary folder are needed; or train with "
                f"Pyro's step"
            )

    def _finished(self, outputs: Outputs, values: Any) -> Any:
        """Hand out a graph's outputs, and let the optimizers outside it make their step."""
        assert self._step is not None
        values, count = outputs.unpacked(values), outputs.losses
        for position, name in enumerate(outputs.kept, count):
            setattr(self._loss, name, values[position])
        if outputs.left:
            left = [self._step.parameters[position] for position in outputs.left]
            for position, parameter in enumerate(left, count + len(outputs.kept)):
                parameter.grad = values[position].clone()
            self.optim(left)
            zero_grads(left)
        return values[0] if outputs.single else outputs.unflatten(values[:count])

    def _arguments(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return args if self.batch is None else self.batch(*args)


@dataclass
class _Kind:
    """What is known of steps of one signature."""

    first: bool = False
    seconds: float = 0.0
    refused: str = ""
    traced: Capture | None = None
    replay: Replay | None = None
    outputs: Outputs | None = None
