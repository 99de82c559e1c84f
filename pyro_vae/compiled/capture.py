"""One SVI step as a static graph: the program, its loss, its gradients and the update."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import torch
from torch import Tensor
from torch.fx import Graph, GraphModule
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.graph import CodeGen

from pyro_vae.compiled.finite import all_finite
from pyro_vae.compiled.parameter_groups import ParameterGroup
from pyro_vae.compiled.private import pytree
from pyro_vae.compiled.watch import ValuesKept, capturing
from pyro_vae.core.errors import NotCapturable

__all__ = ["Capture", "Step", "capture"]


@dataclass
class Step:
    """What one step does, as Python.

    Args:
        loss: The object that computes the loss, whose tensors a step may replace.
        parameters: The parameters, unconstrained.
        groups: Those that are updated in the graph.
        outside: Positions of the parameters whose optimizers run outside the graph.
        rates: The number that each group needs at this step, ``(G,)`` float64.
        good: Whether every step so far was finite, a tensor that the graph changes.
        made: How many good steps there were, likewise.
        buffers: Those that steps change, which a step that is not finite leaves as they were.
        skips: Whether steps after one that is not finite are made; ``good`` is then the last's.
    """

    loss: Any
    parameters: list[Tensor]
    groups: list[ParameterGroup]
    outside: list[int]
    rates: Tensor
    good: Tensor
    made: Tensor
    buffers: list[Tensor]
    skips: bool = False

    @property
    def tensors(self) -> list[Tensor]:
        """Every tensor that the step reads or changes, except the program's own."""
        vectors = [group.whole for group in self.groups if group.is_vector]
        state = [tensor for group in self.groups for tensor in group.state]
        return [*self.parameters, *vectors, *state, self.good, self.made, self.rates]


@dataclass
class Outputs:
    """The order of a step's outputs: the loss, the tensors it keeps, then gradients.

    Args:
        loss: Structure of the loss.
        kept: Names of the loss object's tensors that the step replaces.
        left: Positions of the parameters whose optimizers run outside the graph.
        packed: Whether the loss and the kept tensors, all scalars, form one vector.
    """

    loss: pytree.TreeSpec
    kept: list[str]
    left: list[int]
    packed: bool

    def __post_init__(self) -> None:
        self.losses = self.loss.num_leaves
        self.single = self.loss == pytree.tree_structure(0)

    def unflatten(self, leaves: Sequence[Tensor]) -> Any:
        """The loss, as the program gives it."""
        return pytree.tree_unflatten(list(leaves), self.loss)

    def unpacked(self, values: Sequence[Tensor]) -> Sequence[Tensor]:
        """The outputs one by one."""
        return [*values[0].unbind(), *values[1:]] if self.packed else values


@dataclass
class Capture:
    """A step's graph, with the tensors that it reads and writes.

    Args:
        graph: Maps its inputs to the loss, the tensors that the loss keeps, and the gradients for
            optimizers outside the graph; it changes the state in place.
        inputs: The tensors that the graph was traced with, in order.
        given: Positions of the step's arguments among the inputs.
        remembered: Positions of the tensors that the loss keeps from the step before, with their
            names.
        outputs: The order of the outputs.
        values: The outputs of the traced step, which was a step like any other.
    """

    graph: GraphModule
    inputs: list[Tensor]
    given: range
    remembered: dict[int, str]
    outputs: Outputs
    values: list[Tensor] = field(repr=False)

    def unlike(self, other: Capture) -> str | None:
        """How another trace of the step differs from this one; None if it does not."""
        pairs = zip(_lines(self.graph.graph), _lines(other.graph.graph), strict=False)
        for mine, theirs in pairs:
            if mine != theirs:
                return f"it did {mine!r} in one step and {theirs!r} in the next"
        if len(self.graph.graph.nodes) != len(other.graph.graph.nodes):
            return "it did more in one step than in the next"
        for position, (a, b) in enumerate(zip(self.inputs, other.inputs, strict=True)):
            moving = position in self.given or position in self.remembered
            if not moving and a.data_ptr() != b.data_ptr() and not _equal(a, b):
                return f"it made a new tensor of other values, of shape {tuple(b.shape)}, in each"
        return None


def capture(step: Step, loss_and_grads: Callable[[], Any], given: Sequence[Tensor]) -> Capture:
    """Trace one step, which makes it: the state, the loss and the draws are those of a step.

    Args:
        step: What to update, and how.
        loss_and_grads: Computes the loss, and the gradients in the parameters' ``grad``.
        given: The tensors that differ from step to step.

    Raises:
        NotCapturable: if the program has no static graph; the random generators are then as they
            were, and no parameter has changed.
    """
    fixed = step.tensors
    before = _tensors_of(step.loss)
    layout: list[Outputs] = []
    real: list[Tensor] = []

    def traced(*tensors: Tensor) -> list[Tensor]:
        buffers = [(buffer, buffer.clone()) for buffer in step.buffers]
        if step.skips:
            step.good.fill_(True)
        with ValuesKept():
            loss = loss_and_grads()
        left = _update_all(step, loss)
        for buffer, value in buffers:
            buffer.copy_(torch.where(step.good, buffer, value))
        now = _tensors_of(step.loss).items()
        kept = {name: tensor for name, tensor in now if tensor is not before.get(name)}
        leaves, spec = pytree.tree_flatten(loss)
        values = [torch.as_tensor(leaf) for leaf in (*leaves, *kept.values())]
        packed = len({(value.shape, value.dtype, value.device) for value in values}) == 1
        packed = packed and not values[0].shape and values[0].is_cuda
        layout[:] = [Outputs(spec, list(kept), list(left), packed)]
        values = [*([torch.stack(values)] if packed else values), *left.values()]
        real[:] = [value.detach() for value in values]
        return values

    for parameter in step.parameters:
        parameter.grad = None
    generators = _random_state()
    try:
        with capturing():
            graph = make_fx(traced)(*fixed, *given)
    except NotCapturable:
        _restore(generators)
        raise
    finally:
        for parameter in step.parameters:
            parameter.grad = None
    held = _lift(graph)
    fixed = _merged(graph, step, fixed)
    if step.good.is_cuda:
        guard_factorizations(graph, next(n for n, t in enumerate(fixed) if t is step.good))
    places = range(len(fixed), len(fixed) + len(given))
    remembered = {
        places.stop + position: name
        for position, tensor in enumerate(held)
        for name in layout[0].kept
        if tensor is before.get(name)
    }
    inputs = [tensor.detach() for tensor in (*fixed, *given, *held)]
    return Capture(graph, inputs, places, remembered, layout[0], real)


def _update_all(step: Step, loss: Any) -> dict[int, Tensor]:
    """Update the parameters that have a rule; return the gradients of the rest, by position."""
    of_outside = {position: step.parameters[position].grad for position in step.outside}
    left = {position: found for position, found in of_outside.items() if found is not None}
    with torch.no_grad():
        leaves = [x for x in pytree.tree_leaves(loss) if isinstance(x, Tensor)]
        rates = step.rates.unbind()
        gradients = [group.gradient() for group in step.groups]
        triples = list(zip(step.groups, gradients, rates, strict=True))
        magnitudes = [group.magnitude(gradient, rate) for group, gradient, rate in triples]
        step.good.logical_and_(all_finite([*leaves, *left.values(), *magnitudes]))
        step.made.add_(step.good)
        updates = (group.update(gradient, rate) for group, gradient, rate in triples)
        for tensor, value in chain.from_iterable(updates):
            tensor.copy_(torch.where(step.good, value, tensor))
    return left


def _merged(graph: GraphModule, step: Step, inputs: list[Tensor]) -> list[Tensor]:
    """Replace each parameter that is part of a vector by a view of the vector's input."""
    nodes = [node for node in graph.graph.nodes if node.op == "placeholder"]
    wholes = {id(tensor): node for tensor, node in zip(inputs, nodes, strict=False)}
    vectors = {
        id(p): group.whole for group in step.groups for p in group.parameters if group.is_vector
    }
    first = next(node for node in graph.graph.nodes if node.op != "placeholder")
    kept = []
    for tensor, node in zip(inputs, nodes, strict=False):
        whole = vectors.get(id(tensor))
        if whole is None:
            kept.append(tensor)
            continue
        shape = (list(tensor.shape), list(tensor.stride()), tensor.storage_offset())
        with graph.graph.inserting_before(first):
            view = graph.graph.call_function(
                torch.ops.aten.as_strided.default, (wholes[id(whole)], *shape)
            )
        node.replace_all_uses_with(view)
        graph.graph.erase_node(node)
    graph.recompile()
    return kept


def guard_factorizations(graph: GraphModule, good: int) -> None:
    """Let a matrix that cannot be factorized end the training, without a look at the CPU.

    ``torch.linalg`` reads its error codes there, which no CUDA graph can.

    Args:
        graph: The graph, changed in place.
        good: The position of the step's ``good`` among its inputs.
    """
    aten = torch.ops.aten
    flag = [node for node in graph.graph.nodes if node.op == "placeholder"][good]
    for node in list(graph.graph.nodes):
        if node.target is aten._linalg_check_errors.default:
            with graph.graph.inserting_before(node):
                each = graph.graph.call_function(aten.eq.Scalar, (node.args[0], 0))
                fine = graph.graph.call_function(aten.all.default, (each,))
                graph.graph.call_function(aten.logical_and_.default, (flag, fine))
            graph.graph.erase_node(node)
    graph.recompile()


def _lift(graph: GraphModule) -> list[Tensor]:
    """Turn the tensors that the program holds into inputs, so that the graph sees changes."""
    lifted: dict[str, tuple[Any, Tensor]] = {}
    last = [node for node in graph.graph.nodes if node.op == "placeholder"][-1]
    for node in list(graph.graph.nodes):
        node.meta.clear()
        if node.op != "get_attr":
            continue
        name = str(node.target)
        if name not in lifted:
            with graph.graph.inserting_after(last):
                last = graph.graph.placeholder(f"held_{len(lifted)}")
            lifted[name] = (last, getattr(graph, name))
        node.replace_all_uses_with(lifted[name][0])
        graph.graph.erase_node(node)
    for name in lifted:
        delattr(graph, name)  # or the compiler would take it for an input too
    graph.graph.set_codegen(CodeGen())
    graph.recompile()
    return [tensor for _, tensor in lifted.values()]


def _lines(graph: Graph) -> list[str]:
    return [node.format_node() or "" for node in graph.nodes]


def _equal(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and bool((a == b).all())


def _tensors_of(loss: Any) -> dict[str, Tensor]:
    return {name: value for name, value in vars(loss).items() if isinstance(value, Tensor)}


def _random_state() -> list[Tensor]:
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    return [torch.get_rng_state(), *cuda]


def _restore(state: list[Tensor]) -> None:
    torch.set_rng_state(state[0])
    if len(state) > 1:
        torch.cuda.set_rng_state_all(state[1:])
