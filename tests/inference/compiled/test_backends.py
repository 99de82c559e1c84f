"""What a compiled step asks of the system's memory."""

import os
import platform
import subprocess
import sys

import pytest

COUNTS = """
import resource
import torch
from pyro_vae.inference.compiled.backends import _keep_freed_memory

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
