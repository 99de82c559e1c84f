"""Who is timed: each trains the same model, and is built by a module of this package."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CONTENDERS", "EPOCHS", "FLOORS", "GROUPS", "GROWING", "REFERENCE", "Contender"]


@dataclass(frozen=True)
class Contender:
    """One row of the tables.

    Args:
        name: What the tables call it.
        group: The module that builds it, and the process that it shares.
        variant: What that module calls it.
        package: The distribution that it needs beside this package's own requirements.
        slow_to_start: Left out of a quick run, for the time that it takes to compile.
    """

    name: str
    group: str
    variant: str
    package: str = ""
    slow_to_start: bool = False


REFERENCE = "Pyro, SVI.step"

CONTENDERS = (
    Contender("pyro_vae, step: pyro", "ours", "pyro"),
    Contender("pyro_vae, step: compiled", "ours", "compiled"),
    Contender("pyro_vae, step: compiled, kl: exact", "ours", "compiled exact"),
    Contender(REFERENCE, "pyro_svi", "Trace_ELBO"),
    Contender("PyTorch by hand, eager", "by_hand", "eager"),
    Contender("PyTorch by hand, eager, fused Adam", "by_hand", "fused"),
    Contender("PyTorch by hand, torch.compile, fused Adam", "by_hand", "compile"),
    Contender("PyTorch by hand, torch.compile (max-autotune), fused Adam", "by_hand", "autotune",
              slow_to_start=True),
    Contender("NumPyro, jit", "numpyro_svi", "jit", "numpyro"),
    Contender("NumPyro, lax.scan over a chunk", "numpyro_svi", "scan", "numpyro"),
    Contender("pythae, BaseTrainer", "pythae_trainer", "train_step", "pythae"),
)  # fmt: skip

FLOORS = (
    Contender("floor: the matrix products alone", "floor", "products"),
    Contender("floor: as many operations in one square product", "floor", "square"),
    Contender("floor: Adam's bytes alone", "floor", "bytes"),
)

_GROW = ("pyro", "compiled exact", "Trace_ELBO", "compile", "scan")
GROWING = (*(c for c in CONTENDERS if c.variant in _GROW), *FLOORS)

EPOCHS = (
    Contender("tutorial: torchvision, ToTensor, DataLoader (1 worker), SVI.step", "tutorial",
              "pyro, 1 worker"),
    Contender("tutorial: torchvision, ToTensor, DataLoader, SVI.step", "tutorial", "pyro"),
    Contender("tutorial: torchvision, ToTensor, DataLoader, PyTorch by hand, eager", "tutorial",
              "by hand"),
    Contender("pyro_vae.fit, step: compiled", "ours", "fit"),
    *(c for c in CONTENDERS if c.variant in {"pyro", "compiled exact", "compile", "scan",
                                             "train_step"}),
)  # fmt: skip

GROUPS = tuple(dict.fromkeys(c.group for c in (*CONTENDERS, *EPOCHS)))
