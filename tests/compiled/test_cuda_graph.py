"""What surrounds a CUDA graph, on any machine: a graph that is recorded, and replayed by hand.

Whether CUDA itself does so is for test_cuda.py, where there is a GPU.
"""

import contextlib

import pyro
import pytest
import torch
from pyro import distributions as dist
from pyro.infer import Trace_ELBO
from torch.fx.experimental.proxy_tensor import make_fx

from pyro_vae.compiled import CompiledSVI, backends, variants
from pyro_vae.compiled.capture import guard_factorizations
from pyro_vae.compiled.signature import placed
from pyro_vae.core.errors import NotCapturable
from tests.compiled.common import adam, same
from tests.compiled.programs import deep_markov, regression
from tests.compiled.test_svi import OPTIMIZERS, Carrying, normal_mean, with_loss


class Recorded:
    """A graph that does nothing while it is recorded, and the same again at each replay."""

    recording = None

    def __init__(self):
        self.call = None

    def replay(self):
        function, inputs, outputs = self.call
        for output, value in zip(outputs, function(*inputs), strict=True):
            output.copy_(value)


def compiled(capture, options):
    assert "cpp_wrapper" not in options

    def call(*inputs):
        if Recorded.recording is None:
            return capture.graph(*inputs)
        before = [tensor.clone() for tensor in inputs]
        generator = torch.get_rng_state()
        outputs = [output.clone() for output in capture.graph(*inputs)]
        for tensor, value in zip(inputs, before, strict=True):
            tensor.copy_(value)
        torch.set_rng_state(generator)
        Recorded.recording.call = capture.graph, inputs, outputs
        return outputs

    return call


@contextlib.contextmanager
def recording(graph, stream):
    Recorded.recording = graph
    streams.append(stream)
    yield
    Recorded.recording = None


entered, left, waits, streams = [], [], [], []  # what was called with what


class Stream:
    def wait_stream(self, other):
        pass


@pytest.fixture(autouse=True)
def as_on_a_gpu(monkeypatch):
    for calls in (entered, left, waits, streams):
        calls.clear()
    monkeypatch.setattr("pyro_vae.compiled.variants.replay_of", backends._CUDAGraph)
    monkeypatch.setattr(backends, "_compiled", compiled)
    fakes = {
        "CUDAGraph": Recorded,
        "graph": recording,
        "Stream": Stream,
        "current_stream": Stream,
        "stream": lambda stream: streams.append(stream) or contextlib.nullcontext(),
        "device": lambda device: entered.append(device) or contextlib.nullcontext(),
        "set_stream": left.append,
        "get_rng_state": lambda device: torch.get_rng_state(),
        "set_rng_state": lambda state, device: torch.set_rng_state(state),
        "get_sync_debug_mode": lambda: 0,
        "set_sync_debug_mode": waits.append,
    }
    for name, fake in fakes.items():
        monkeypatch.setattr(torch.cuda, name, fake)


@pytest.mark.parametrize("make", [regression, deep_markov, with_loss(Carrying)])
def test_warming_up_changes_nothing_and_replays_make_the_steps(make):
    svi = same(make)
    assert all(isinstance(v.replay, backends._CUDAGraph) for v in svi._variants.values())


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_with_every_optimizer(name):
    same(regression, optimizer=OPTIMIZERS[name], steps=20)


def test_what_a_step_is_given_is_copied_where_the_graph_reads_it():
    program = normal_mean()
    x = torch.randn(50)
    svi = CompiledSVI(program.model, program.guide, adam(), program.loss,
                      batch=lambda index: (x[index],))  # fmt: skip
    kept = [svi.step(index) for index in torch.randperm(50).split(10) for _ in range(3)]
    assert len({loss.item() for loss in kept}) == len(kept)  # none is overwritten by a later step
    (variant,) = svi._variants.values()
    given = torch.arange(10)
    svi.step(given)
    mine = variant.replay.inputs[variant.replay.given.start]
    assert torch.equal(mine, given)
    assert mine is not given
    assert pyro.param("middle").item() != 0


def test_the_last_warm_up_may_not_wait_and_the_devices_own_index_is_entered():
    svi = same(regression)
    (variant,) = svi._variants.values()
    assert waits[:2] == ["error", 0]
    assert entered
    assert set(entered) == {variant.replay.device}
    assert len(streams) == 4  # three warm-ups, and the recording
    assert set(streams) == {variant.replay.stream}


def broken(monkeypatch, where):
    """Spoil the warm-up that may not wait, or the recording."""

    def at(mode):
        if mode == "error" and where == "warm-up":
            raise RuntimeError("called a synchronizing CUDA operation")

    @contextlib.contextmanager
    def failing(graph, stream):
        with recording(graph, stream):
            yield
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", at)
    if where == "recording":
        monkeypatch.setattr(torch.cuda, "graph", failing)


def after_the_second_trace():
    """The step, and what it learned and would draw next."""
    pyro.clear_param_store()
    pyro.set_rng_seed(0)
    program = normal_mean()
    svi = CompiledSVI(program.model, program.guide, adam(), program.loss)
    for _ in range(3):
        svi.step(*program.arguments)
    return svi, program.arguments, pyro.param("middle").item(), torch.rand(()).item()


@pytest.mark.parametrize("where", ["warm-up", "recording"])
def test_a_capture_that_fails_leaves_the_state_the_draws_and_the_stream(monkeypatch, where):
    with monkeypatch.context() as patch:
        patch.setattr(variants.Variant, "compile", lambda variant, traced: None)
        _, _, *expected = after_the_second_trace()
    broken(monkeypatch, where)
    svi, args, *found = after_the_second_trace()
    assert found == expected
    assert len(left) == (where == "recording")
    with pytest.raises(NotCapturable, match="got RuntimeError: "):
        svi.step(*args)


def test_where_triton_cannot_compile_pytorchs_own_kernels_are_captured(monkeypatch):
    def without_gcc(capture, options):
        raise RuntimeError("Failed to find C compiler")

    monkeypatch.setattr(backends, "_compiled", without_gcc)
    monkeypatch.setattr(backends._CUDAGraph, "_record", lambda replay: None)
    with pytest.warns(UserWarning, match="PyTorch's own kernels.*Triton needs gcc"):
        svi, *_ = after_the_second_trace()
    (variant,) = svi._variants.values()
    assert isinstance(variant.replay.run, torch.fx.GraphModule)


def test_arguments_on_the_cpu_are_copied_to_the_gpu_before_the_trace():
    gpu = torch.device("meta")
    index, scale = placed((torch.arange(3), 2.0), gpu)
    assert index.device == gpu
    assert scale == 2.0
    assert placed([index], torch.device("cpu"))[0] is index


def test_running_statistics_count_as_changed():
    x, mean, variance = torch.randn(4, 2), torch.zeros(2), torch.ones(2)

    def norm(x, mean, variance):
        return torch.ops.aten.native_batch_norm(x, None, None, mean, variance, True, 0.1, 1e-5)[0]

    graph = make_fx(norm)(x, mean, variance).graph
    assert backends._changed(graph) == {1, 2}


@pytest.mark.parametrize("bad", [True, False])
def test_a_factorization_that_fails_ends_the_training_and_raises_nothing(bad):
    def step(matrix, good):
        factor = torch.linalg.cholesky(matrix)
        good.logical_and_(factor.isfinite().all() | True)
        return factor

    matrix = torch.eye(2) * (-1.0 if bad else 1.0)
    graph = make_fx(step)(torch.eye(2), torch.tensor(True))
    guard_factorizations(graph, good=1)
    good = torch.tensor(True)
    graph(matrix, good)
    assert good.item() != bad


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_loss_is_as_exact_as_the_parameters(dtype):
    def model(x):
        with pyro.plate("data", len(x)):
            pyro.sample("x", dist.Normal(pyro.param("middle", x[0].clone()), 1.0), obs=x)

    svi = CompiledSVI(model, lambda x: None, adam(), Trace_ELBO())
    assert {svi.step(torch.ones(3, dtype=dtype)).dtype for _ in range(5)} == {dtype}
