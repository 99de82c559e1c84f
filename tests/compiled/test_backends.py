"""What a compiled step asks of the system's memory, and of the compiler's wrappers."""

import os
import platform
import subprocess
import sys

import pytest
import torch

from pyro_vae.compiled import backends
from tests.compiled.common import same
from tests.compiled.programs import regression

COUNTS = """
import resource
import torch
from pyro_vae.compiled.backends import _keep_freed_memory

def faults():
    began = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        held = [torch.empty(5 * 2**20).fill_(1.0) for _ in range(3)]
        del held
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - began

before = faults()
_keep_freed_memory()
faults()
print(before, faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of glibc's malloc")
def test_memory_that_a_step_frees_is_kept_for_the_next():
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC", "GLIBC"))}
    process = subprocess.run(
        [sys.executable, "-c", COUNTS], env=environment, capture_output=True, text=True, check=True
    )
    before, after = map(int, process.stdout.split())
    assert before > 10_000  # pages of 4 KiB, of which each round touches 15,360
    assert after < before / 10


def test_a_compiled_step_does_without_the_wrappers_in_python():
    svi = same(regression, steps=30)
    (kind,) = svi._kinds.values()
    assert kind.replay.run.__module__ not in {backends.__name__, "functools"}
    before = [tensor._version for tensor in kind.replay.changed]
    assert svi.step(*regression().arguments).isfinite()
    after = [tensor._version for tensor in kind.replay.changed]
    assert after == [version + 1 for version in before]  # as autograd must know
    assert len(after) > 3  # parameters, Adam's moments and its count


def test_wrappers_that_do_more_than_hand_on_are_kept(monkeypatch):
    from torch._inductor.output_code import CompiledFxGraph

    monkeypatch.setattr(CompiledFxGraph, "__del__", lambda self: None, raising=False)
    graph = CompiledFxGraph.__new__(CompiledFxGraph)
    graph.current_callable = lambda given: [given[0] + 1]
    monkeypatch.setattr(
        CompiledFxGraph, "__call__", lambda self, given: self.current_callable(given)
    )
    one, other = torch.ones(()), torch.zeros(())

    def inner_of(call, *inputs):
        outputs, inner = backends._called(call, inputs)
        assert outputs[0] == 2
        return inner

    assert inner_of(lambda *given: graph([*given]), one, other) is graph.current_callable
    assert inner_of(lambda *given: graph([given[0], one]), one, other) is None
    assert inner_of(lambda *given: graph([given[0]]), one, other) is None
    assert inner_of(lambda *given: [graph([*given])[0] * 1], one, other) is None
    assert inner_of(lambda *given: [graph([*given]), graph([*given])][1], one, other) is None
    assert inner_of(lambda *given: [given[0] + 1], one, other) is None
