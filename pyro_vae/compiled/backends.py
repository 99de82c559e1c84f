"""Compiles a captured step: with Inductor on a CPU, and as a CUDA graph on a GPU."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from operator import getitem
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.fx import Graph

from pyro_vae.compiled.capture import Capture
from pyro_vae.compiled.private import compile_graph, is_view, written_arguments

__all__ = ["Replay", "replay_of"]

# Random draws come from PyTorch's own generators, in the program's order, so that a compiled step
# draws what Pyro's would.
INDUCTOR = {"fallback_random": True}
LARGEST = 2**25
"""Bytes of the largest block that changes how much memory glibc's ``malloc`` keeps."""


class Replay(Protocol):
    """A compiled step."""

    def __call__(self, given: Sequence[Tensor], loss: Any) -> Sequence[Tensor]:
        """Make a step, and return the graph's outputs, which later steps do not overwrite."""
        ...


def replay_of(capture: Capture) -> Replay:
    """Compile a capture for the device that its state is on."""
    device = capture.inputs[0].device.type
    return _CUDAGraph(capture) if device == "cuda" else _Inductor(capture)


def _compiled(capture: Capture, options: dict[str, Any]) -> Any:
    with torch.no_grad(), warnings.catch_warnings(), _quiet("torch.utils.cpp_extension"):
        warnings.simplefilter("ignore")  # about the compiler's own code
        return compile_graph(capture.graph, capture.inputs, options)


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Silence a logger's warnings: this one warns where CUDA is installed and there is no GPU."""
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
        _keep_freed_memory()
        self.changed = [self.inputs[position] for position in _changed(capture.graph.graph)]
        self.run = _compiled(capture, {"cpp_wrapper": True} | INDUCTOR)

    def __call__(self, given: Sequence[Tensor], loss: Any) -> Sequence[Tensor]:
        self.inputs[self.given.start : self.given.stop] = given
        for position, name in self.remembered.items():
            self.inputs[position] = getattr(loss, name)
        torch.autograd.graph.increment_version(self.changed)
        outputs: Sequence[Tensor] = self.run(*self.inputs)
        return outputs


def _keep_freed_memory() -> None:
    """Let glibc keep up to 64 MiB that a step frees, for the next step.

    Otherwise it may return the memory to the system after each step, which then clears every page
    again: up to a third of a convolutional net's step. Its limit is twice the largest block freed
    so far, up to 32 MiB, so one such block is allocated and freed here, and none of its pages is
    touched. On other systems this does nothing.

    References:
        | M_MMAP_THRESHOLD in mallopt(3), on the dynamic threshold
        | https://man7.org/linux/man-pages/man3/mallopt.3.html
    """
    torch.empty(LARGEST - 2**15, dtype=torch.uint8)


class _CUDAGraph:
    """The compiled graph, recorded once as a CUDA graph with its inputs at fixed addresses.

    The state, the random generator and the current stream are as before, whatever fails.
    """

    def __init__(self, capture: Capture) -> None:
        self.inputs = list(capture.inputs)
        self.given, self.remembered = capture.given, capture.remembered
        self.device = self.inputs[0].device
        with torch.cuda.device(self.device):
            self.stream = torch.cuda.Stream()  # one, since cuBLAS has a workspace for each
            for position in (*self.given, *self.remembered):
                self.inputs[position] = self.inputs[position].clone()
            changed = [self.inputs[position] for position in sorted(_changed(capture.graph.graph))]
            with _as_before(changed, self.device):
                self.run = self._warm(capture)
            self._record()

    def _warm(self, capture: Capture) -> Any:
        """The function to record, after a few calls, of which the last may not wait."""
        try:
            run = _compiled(capture, INDUCTOR)
            self._call(run)
        except Exception as error:  # without gcc or Python.h, Triton cannot compile
            first = next(iter(str(error).splitlines()), "")
            warnings.warn(
                f"Expected Inductor to compile the step, got {type(error).__name__}: {first}; the "
                f"CUDA graph has PyTorch's own kernels, which are more and slower. Triton needs "
                f"gcc and Python's headers (python3-dev)",
                stacklevel=2,
            )
            run = capture.graph
            self._call(run)
        self._call(run)
        before = torch.cuda.get_sync_debug_mode()
        torch.cuda.set_sync_debug_mode("error")  # before a capture, which such a call would spoil
        try:
            self._call(run)
        finally:
            torch.cuda.set_sync_debug_mode(before)
        return run

    def _call(self, run: Any) -> None:
        current = torch.cuda.current_stream()
        self.stream.wait_stream(current)
        with torch.cuda.stream(self.stream), torch.no_grad():
            run(*self.inputs)
        current.wait_stream(self.stream)

    def _record(self) -> None:
        self.graph, current = torch.cuda.CUDAGraph(), torch.cuda.current_stream()
        try:
            with torch.cuda.graph(self.graph, stream=self.stream), torch.no_grad():
                self.outputs: Sequence[Tensor] = self.run(*self.inputs)
        except BaseException:
            torch.cuda.set_stream(current)  # a failed capture leaves its own
            raise

    def __call__(self, given: Sequence[Tensor], loss: Any) -> Sequence[Tensor]:
        for position, tensor in zip(self.given, given, strict=True):
            self.inputs[position].copy_(tensor, non_blocking=True)
        for position, name in self.remembered.items():
            self.inputs[position].copy_(getattr(loss, name), non_blocking=True)
        with torch.cuda.device(self.device):
            self.graph.replay()
        return [output.clone() for output in self.outputs]


@contextmanager
def _as_before(tensors: Sequence[Tensor], device: torch.device) -> Iterator[None]:
    """Give tensors and a GPU's random generator their state back after the block."""
    before = [tensor.clone() for tensor in tensors]
    generator = torch.cuda.get_rng_state(device)
    try:
        yield
    finally:
        torch.cuda.set_rng_state(generator, device)
        for tensor, value in zip(tensors, before, strict=True):
            tensor.copy_(value)


def _changed(graph: Graph) -> set[int]:
    """The positions of the inputs that a graph changes in place."""
    inputs = [node for node in graph.nodes if node.op == "placeholder"]
    found = {_viewed(part) for node in graph.nodes for part in written_arguments(node)}
    return {position for position, node in enumerate(inputs) if node in found}


def _viewed(node: Any) -> Any:
    """What a node is a view of, or itself."""
    while node.op == "call_function" and (node.target is getitem or is_view(node)):
        node = node.args[0]
    return node
