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

from pyro_vae.compiled.backends import Replay, replay_of
from pyro_vae.compiled.capture import Capture, Outputs, Step, capture
from pyro_vae.compiled.parameter_groups import Rates, parameter_groups
from pyro_vae.compiled.private import pytree
from pyro_vae.compiled.signature import Places, Signature, roots_of
from pyro_vae.compiled.update_rules import rule_of
from pyro_vae.core.errors import NonFiniteLoss, NotCapturable

__all__ = ["CompiledSVI"]

MOST_VARIANTS = 8


class CompiledSVI(SVI):
    """``pyro.infer.SVI`` whose step is captured once, compiled and replayed.

    The whole step is captured: the batch's gather, model, guide, loss, gradients, their clipping
    and the optimizer. It makes the same steps as Pyro's from the same seed, to rounding. The
    first step is Pyro's own, the second and third are traced and compared, and from the fourth on
    the compiled graph is replayed, with Inductor on a CPU and as a CUDA graph on a GPU.

    The program must have a static structure: the same operations on the same shapes at every
    step. Tensors that the program holds (parameters, buffers, data, an annealed weight) may be
    changed in place; a Python number that changes leads to another capture. Once captured, the
    program's Python code, hooks included, no longer runs.

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

    Attributes:
        capture_seconds: How long the captures have taken.
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
    ) -> None:
        super().__init__(model, guide, optim, loss, loss_and_grads)
        self.batch = batch
        self.capture_seconds = 0.0
        self.outside: set[str] = set()
        self._loss = loss
        self._signature = Signature(roots_of(model, guide), loss)
        self._variants: dict[Any, _Variant] = {}
        self._step: Step | None = None
        self._trained: set[int] = set()
        self._places = Places([])
        self._rates = Rates([])

    @property
    def compiled(self) -> bool:
        """Whether there is a compiled step yet."""
        return any(variant.replay is not None for variant in self._variants.values())

    def step(self, *args: Any, **kwargs: Any) -> Any:
        """Make one gradient step on the loss.

        Args:
            *args: Arguments of the model and the guide, or of ``batch``.
            **kwargs: Likewise.

        Returns:
            The loss before the step, a tensor that stays on its device: ``float(loss)`` waits
            for it and reads it. A loss of several parts is a tuple of such tensors. After a loss
            that is not finite, compiled steps change nothing: see :meth:`check`.

        Raises:
            NotCapturable: naming the site, if the program has no static graph. This step is then
                not made, and ``pyro.infer.SVI`` can continue with the same optimizer.
        """
        if self._step is None or self._places.have_changed():
            return self._first(args, kwargs)
        as_before = self._rates.are_as_handed()
        if not as_before and self._rates.have_parted():
            self._prepare(self._step.parameters)
        key, given = self._signature(args, kwargs)
        variant = self._variants.get(key)
        if variant is not None and variant.replay is not None:
            if not as_before:
                self._rates.advance()
            assert variant.outputs is not None
            return self._finished(variant.outputs, variant.replay(given, self._loss))
        variant = self._variant(key)
        if self._pays(variant):
            return self._traced(variant, given, args, kwargs)
        return self._plain(variant, args, kwargs)

    def check(self) -> None:
        """Wait for the device, and check that every compiled step's loss was finite.

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
        """Pyro's own step, which creates the parameters and their optimizers."""
        with poutine.trace(param_only=True) as seen:
            loss = super().step(*self._arguments(args), **kwargs)
        sites: list[Any] = list(seen.trace.nodes.values())
        found = [site["value"].unconstrained() for site in sites]
        parameters = list({id(parameter): parameter for parameter in found}.values())
        self._trained = {id(parameter) for parameter in parameters if parameter.grad is not None}
        self._prepare(parameters)
        return pytree.tree_map(torch.as_tensor, loss)

    def _prepare(self, parameters: list[Tensor]) -> None:
        """Find each parameter's update rule, and group those that are updated alike."""
        self._variants.clear()
        optimizers = [self.optim.optim_objs[p] for p in parameters]
        optimizers = [getattr(optimizer, "optimizer", optimizer) for optimizer in optimizers]
        rules = [rule_of(*pair) for pair in zip(parameters, optimizers, strict=True)]
        outside = [position for position, rule in enumerate(rules) if rule is None]
        self.outside = {type(optimizers[position]).__name__ for position in outside}
        clips = [self.optim.grad_clip[p] for p in parameters]
        groups = parameter_groups(parameters, rules, clips, self._trained)
        device = parameters[0].device if parameters else torch.device("cpu")
        good = torch.ones((), dtype=torch.bool, device=device)
        self._places = Places(parameters)
        self._rates = Rates(groups, device)
        self._step = Step(self._loss, parameters, groups, outside, self._rates.numbers, good)

    def _variant(self, key: Any) -> _Variant:
        variant = self._variants.get(key)
        if variant is None:
            if len(self._variants) >= MOST_VARIANTS:
                seen = "; ".join(str(known[0]) for known in [*self._variants][-2:])
                raise NotCapturable(
                    f"Expected arguments of static shapes and values, got {MOST_VARIANTS + 1} "
                    f"combinations so far, among them {seen}; give numbers that change as "
                    f"tensors, and data in batches of one size, or train with Pyro's step"
                )
            variant = self._variants[key] = _Variant(first=not self._variants)
        if variant.refused:
            raise NotCapturable(variant.refused)
        return variant

    def _pays(self, variant: _Variant) -> bool:
        """Whether to capture: the first variant at once, another one when it is frequent.

        Steps of a rarer variant, such as an epoch's last short batch, are Pyro's until they have
        taken as long as a capture does.
        """
        done = sum(other.replay is not None for other in self._variants.values())
        return variant.first or (done > 0 and variant.seconds > self.capture_seconds / done)

    def _plain(self, variant: _Variant, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Pyro's own step."""
        began = time.perf_counter()
        loss = super().step(*self._arguments(args), **kwargs)
        variant.seconds += time.perf_counter() - began
        return pytree.tree_map(torch.as_tensor, loss)

    def _traced(
        self, variant: _Variant, given: list[Tensor], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Make a step while tracing it; the second time, compare the traces and compile."""
        assert self._step is not None

        def loss_and_grads() -> Any:
            return self.loss_and_grads(self.model, self.guide, *self._arguments(args), **kwargs)

        began = time.perf_counter()
        rules = [rule for group in self._step.groups for rule in group.rules]
        before = [rule.plain_state() for rule in rules]
        self._rates.advance()
        try:
            traced = capture(self._step, loss_and_grads, given)
        except NotCapturable:
            for rule, plain in zip(rules, before, strict=True):
                rule.restore(plain)
            raise
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
            self._compile(variant, traced)
        self.capture_seconds += time.perf_counter() - began
        return loss

    def _compile(self, variant: _Variant, traced: Capture) -> None:
        try:
            variant.replay, variant.traced = replay_of(traced), None
        except Exception as error:  # whatever the compiler raises, the step has been made
            first = next(iter(str(error).splitlines()), "")
            variant.refused = (
                f"Expected the captured step to compile, got {type(error).__name__}: {first}; on "
                f"a CPU a C++ compiler and room in the temporary folder are needed; or train with "
                f"Pyro's step"
            )

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
            self.optim(left)
            zero_grads(left)
        return values[0] if outputs.single else outputs.unflatten(values[:count])

    def _arguments(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return args if self.batch is None else self.batch(*args)


@dataclass
class _Variant:
    """Steps of one signature: how they are made so far."""

    first: bool = False
    seconds: float = 0.0
    refused: str = ""
    traced: Capture | None = None
    replay: Replay | None = None
    outputs: Outputs | None = None
