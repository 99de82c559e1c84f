"""The memory that a compiled step keeps, and compiling without private names."""

import os
import platform
import subprocess
import sys

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from pyro_vae.compiled import backends, private
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


def test_autograd_sees_what_a_compiled_step_changes():
    svi = same(regression, steps=30)
    (variant,) = svi._variants.values()
    before = [tensor._version for tensor in variant.replay.changed]
    assert svi.step(*regression().arguments).isfinite()
    after = [tensor._version for tensor in variant.replay.changed]
    assert all(new > old for new, old in zip(after, before, strict=True))
    assert len(after) > 3  # parameters, Adam's moments and its count


def test_without_the_private_compiler_the_public_one_is_taken(monkeypatch):
    monkeypatch.delattr(torch._inductor, "compile")
    same(regression, steps=30)


def test_of_an_operator_without_a_schema_every_argument_may_have_changed(monkeypatch):
    graph = make_fx(lambda x, y: x.clone().add_(y))(torch.ones(2), torch.ones(2)).graph
    assert backends._changed(graph) == set()
    monkeypatch.setattr(private, "_schema_of", lambda node: None)
    assert backends._changed(graph) == {0, 1}
