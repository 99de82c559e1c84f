"""Turns a captured step into something quick to call: Inductor on a CPU, a CUDA graph on a GPU."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from operator import getitem, is_
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.fx import Graph, Node

from pyro_vae.compiled.capture import Capture
from pyro_vae.compiled.convolutions import quicken_convolutions
from pyro_vae.compiled.products import quicken

__all__ = ["Replay", "replay_of"]

# Random draws come from PyTorch's own generators, in the program's order, so that a compiled step
# draws what Pyro's would.
INDUCTOR = {"fallback_random": True}
WARM_UP = 3
LARGEST = 2**25
"""Bytes of the largest block that glibc's ``malloc`` lets change what it keeps."""


class Replay(Protocol):
    """A compiled step."""

    def __call__(self, given: Sequence[Tensor], loss: Any) -> Sequence[Tensor]:
        """Make a step; the graph's outputs, which the next step leaves alone."""
        ...


def replay_of(capture: Capture) -> Replay:
    """Compile a capture for the device that its state is on."""
    device = capture.inputs[0].device.type
    return _CUDAGraph(capture) if device == "cuda" else _Inductor(capture)


def _compiled(capture: Capture, options: dict[str, Any]) -> Any:
    with torch.no_grad(), warnings.catch_warnings(), _quiet("torch.utils.cpp_extension"):
        warnings.simplefilter("ignore")  # about the compiler's own code
        return torch._inductor.compile(capture.graph, list(capture.inputs), options=options)


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Leave out what a logger warns of; this one's is that a machine has CUDA but no GPU."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


class _Inductor:
    """The graph as one compiled function."""

    def __init__(self, capture: Capture) -> None:
        self.inputs = list(capture.inputs)
        self.given, self.remembered = capture.given, capture.remembered
        with _quiet("torch.utils.cpp_extension"):
            quicken(capture.graph, capture.layouts, capture.binary())
            quicken_convolutions(capture.graph, capture.layouts)
        _keep_freed_memory()
        self.changed = [self.inputs[position] for position in _changed(capture.graph.graph)]
        self.run: Callable[[list[Tensor]], Sequence[Tensor]]
        self.run = partial(self._first, _compiled(capture, {"cpp_wrapper": True} | INDUCTOR))

    def __call__(self, given: Sequence[Tensor], loss: Any) -> Sequence[Tensor]:
        self.inputs[self.given.start : self.given.stop] = given
        for position, name in self.remembered.items():
            self.inputs[position] = getattr(loss, name)
        torch.autograd.graph.increment_version(self.changed)
        return self.run([*self.inputs])

    def _first(self, wrapped: Callable[..., Any], inputs: list[Tensor]) -> Sequence[Tensor]:
        """The first call, which finds out how the others are made."""
        outputs, inner = _called(wrapped, inputs)
        self.run = inner or (lambda inputs: wrapped(*inputs))
        return outputs


def _called(
    call: Callable[..., Sequence[Tensor]], inputs: Sequence[Tensor]
) -> tuple[Sequence[Tensor], Callable[[list[Tensor]], Sequence[Tensor]] | None]:
    """The outputs of a compiled function, and what lies within its wrappers in Python, if found.

    The wrappers (for autograd, caches and profilers) take up to a tenth of a small step. Where
    one call shows that they hand on what they are given, and give back what they get, later calls
    can do without them.
    """
    from torch._inductor.output_code import CompiledFxGraph  # takes a second to import

    seen: list[tuple[Any, list[Tensor], Sequence[Tensor]]] = []
    wrapped = CompiledFxGraph.__call__

    def noted(self: CompiledFxGraph, given: Sequence[Any]) -> Any:
        handed = list(given)
        seen.append((self.current_callable, handed, outputs := wrapped(self, given)))
        return outputs

    CompiledFxGraph.__call__ = noted  # type: ignore[method-assign, assignment]
    try:
        outputs = call(*inputs)
    finally:
        CompiledFxGraph.__call__ = wrapped  # type: ignore[method-assign]
    same = len(seen) == 1 and _are_same(seen[0][1], inputs) and _are_same(seen[0][2], outputs)
    return outputs, seen[0][0] if same else None


def _are_same(some: Sequence[Any], others: Sequence[Any]) -> bool:
    return len(some) == len(others) and all(map(is_, some, others))


def _keep_freed_memory() -> None:
    """Let glibc keep up to 64 MiB that a step frees, for the next step.

    Otherwise it may hand them back to the system each time, which then clears every page anew: up
    to a third of a convolutional net's step. It raises its limits by itself, to twice the largest
    block that was ever freed, and looks at none above 32 MiB; so it is shown one of these, of
    which no page is touched. On other systems this does nothing.

    References:
        | M_MMAP_THRESHOLD in mallopt(3), on the dynamic threshold
        | https://man7.org/linux/man-pages/man3/mallopt.3.html
    """
    torch.empty(LARGEST - 2**15, dtype=torch.uint8)


class _CUDAGraph:
    """The compiled graph recorded once on the GPU, its inputs at fixed addresses."""

    def __init__(self, capture: Capture) -> None:
        self.inputs = list(capture.inputs)
        self.given, self.remembered = capture.given, capture.remembered
        for position in (*self.given, *self.remembered):
            self.inputs[position] = self.inputs[position].clone()
        call = _compiled(capture, INDUCTOR)
        self.graph = torch.cuda.CUDAGraph()
        changed = [self.inputs[position] for position in sorted(_changed(capture.graph.graph))]
        before = [tensor.clone() for tensor in changed]
        generator = torch.cuda.get_rng_state()
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                call(*self.inputs)
        torch.cuda.current_stream().wait_stream(stream)
        torch.cuda.set_rng_state(generator)
        for tensor, value in zip(changed, before, strict=True):
            tensor.copy_(value)
        with torch.cuda.graph(self.graph):
            self.outputs: Sequence[Tensor] = call(*self.inputs)

    def __call__(self, given: Sequence[Tensor], loss: Any) -> Sequence[Tensor]:
        for position, tensor in zip(self.given, given, strict=True):
            self.inputs[position].copy_(tensor, non_blocking=True)
        for position, name in self.remembered.items():
            self.inputs[position].copy_(getattr(loss, name), non_blocking=True)
        self.graph.replay()
        return [output.clone() for output in self.outputs]


def _changed(graph: Graph) -> set[int]:
    """The positions of the inputs that a graph changes where they lie."""
    inputs = [node for node in graph.nodes if node.op == "placeholder"]
    found: set[Node] = set()
    for node in graph.nodes:
        if isinstance(node.target, torch._ops.OpOverload) and node.target._schema.is_mutable:
            parts = zip(node.target._schema.arguments, node.args, strict=False)
            for argument, given in parts:
                if argument.alias_info is not None and argument.alias_info.is_write:
                    several = given if isinstance(given, list | tuple) else [given]
                    found.update(map(_viewed, several))
    return {position for position, node in enumerate(inputs) if node in found}


def _viewed(node: Any) -> Any:
    """What a node is a view of, or itself."""
    while node.op == "call_function":
        if isinstance(node.target, torch._ops.OpOverload):
            if node.target._schema.returns[0].alias_info is None:
                break
        elif node.target is not getitem:  # of several views
            break
        node = node.args[0]
    return node
