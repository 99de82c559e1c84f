"""Context managers: threads, a model's mode, its precision, an isolated copy, and generators."""

from __future__ import annotations

import copy
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import pyro
import torch
from torch import nn

M = TypeVar("M", bound=nn.Module)

__all__ = ["alone", "device_of", "evaluating", "isolated_copy", "multiplying", "seeded"]

_process = threading.RLock()


def device_of(module: nn.Module) -> torch.device:
    """The device of a model; the CPU for one without any parameter or buffer."""
    return next(iter([*module.parameters(), *module.buffers()]), torch.empty(0)).device


@contextmanager
def alone() -> Iterator[None]:
    """One thread at a time: within the block, or the decorated function, every other one waits.

    Pyro's handlers, parameters and validation, the random generators and a model's mode belong to
    the whole process. Whatever uses them here takes this one lock, which a thread may take again
    within its block. Two trainings in two threads therefore run one after the other, each as if
    alone. A thread's own draws and Pyro programs take it too if they are to be kept apart::

        with alone():
            svi.step(x)
    """
    with _process:
        yield


@contextmanager
def evaluating(root: nn.Module) -> Iterator[None]:
    """Evaluation mode within the block; afterwards each module has its former mode."""
    with alone():
        modes = {module: module.training for module in root.modules()}
        root.eval()
        try:
            yield
        finally:
            for module, mode in modes.items():
                module.training = mode


@contextmanager
def isolated_copy(
    module: M, dtype: torch.dtype, seed: int, *, validate: bool = True
) -> Iterator[M]:
    """A seeded copy of the model in evaluation mode, without gradients.

    The model, the random generators and Pyro's validation are afterwards as they were before.

    Args:
        module: The model.
        dtype: Precision of the copy.
        seed: Seed of the draws within the block.
        validate: Whether Pyro validates what is computed within the block.
    """
    device = device_of(module)
    devices = [device] if device.type == "cuda" else []
    with (
        alone(),
        torch.random.fork_rng(devices=devices),
        pyro.validation_enabled(validate),
        torch.no_grad(),
    ):
        torch.manual_seed(seed)
        yield copy.deepcopy(module).to(dtype).eval()


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed Python's, NumPy's and PyTorch's global generators within the block, and restore them.

    Args:
        seed: From 0 to 2**32 - 1.
        device: The device whose generator is seeded too.
    """
    with alone(), torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        before = pyro.util.get_rng_state()
        pyro.set_rng_seed(seed)
        try:
            yield
            if torch.initial_seed() != seed:
                warnings.warn(
                    f"Expected draws from seed {seed} alone, but PyTorch's generator was seeded "
                    f"again meanwhile, by a callback or another thread, so the result depends on "
                    f"that too; seed within pyro_vae.alone(), or before the threads start",
                    stacklevel=5,
                )
        finally:
            pyro.util.set_rng_state(before)


@contextmanager
def multiplying(*, tf32: bool) -> Iterator[None]:
    """Allow or forbid TF32 (10 bits of mantissa) in an NVIDIA GPU's products and convolutions.

    PyTorch's default forbids it for products and allows it for convolutions. Either of PyTorch's
    two interfaces may have been used before, and finds its settings again.
    """
    backends: Any = torch.backends
    cudnn, cpu = backends.cudnn, backends.mkldnn
    new = [backends.cuda.matmul, cudnn.conv, cudnn.rnn, cpu.matmul, cpu.conv, cpu.rnn]
    with alone():
        kept = [each.fp32_precision for each in new]
        products = convolutions = None
        with suppress(RuntimeError):  # which the old interface raises where the new one was used
            products = torch.get_float32_matmul_precision()
        with suppress(RuntimeError):
            convolutions = cudnn.allow_tf32
        torch.set_float32_matmul_precision("high" if tf32 else "highest")
        cudnn.allow_tf32 = tf32
        for each in new:
            if not tf32 and each.fp32_precision == "tf32":  # from torch.backends.fp32_precision
                each.fp32_precision = "ieee"
        try:
            yield
        finally:
            if products is not None:
                torch.set_float32_matmul_precision(products)
            if convolutions is not None:
                cudnn.allow_tf32 = convolutions
            for each, value in zip(new, kept, strict=True):
                each.fp32_precision = value
