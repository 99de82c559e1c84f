"""What surrounds a CUDA graph, on any machine: a graph that is recorded, and replayed by hand.

Whether CUDA itself does so is for test_cuda.py, where there is a GPU.
"""

import contextlib

import pyro
import pytest
import torch

from pyro_vae.compiled import CompiledSVI, backends
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
def recording(graph):
    Recorded.recording = graph
    yield
    Recorded.recording = None


class Stream:
    def wait_stream(self, other):
        pass


@pytest.fixture(autouse=True)
def as_on_a_gpu(monkeypatch):
    monkeypatch.setattr("pyro_vae.compiled.variants.replay_of", backends._CUDAGraph)
    monkeypatch.setattr(backends, "_compiled", compiled)
    fakes = {
        "CUDAGraph": Recorded,
        "graph": recording,
        "Stream": Stream,
        "current_stream": Stream,
        "stream": lambda stream: contextlib.nullcontext(),
        "get_rng_state": torch.get_rng_state,
        "set_rng_state": torch.set_rng_state,
    }
    for name, fake in fakes.items():
        monkeypatch.setattr(torch.cuda, name, fake)


@pytest.mark.parametrize("make", [regression, deep_markov, with_loss(Carrying)])
def test_warming_up_changes_nothing_and_replays_make_the_steps(make):
    svi = same(make)
    assert all(isinstance(v.replay, backends._CUDAGraph) for v in svi._variants.values())


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_with_every_optimizer(name):
    same(regression, optimizer=OPTIMIZERS[name])


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
