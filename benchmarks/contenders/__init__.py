"""The contenders: each trains the same model, and is built by a module of this package."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CONTENDERS", "EPOCHS", "REFERENCE", "Contender"]


@dataclass(frozen=True)
class Contender:
    """One row of the tables.

    Args:
        name: Its name in the tables.
        group: The module that builds it. Contenders of one group share a process.
        variant: Its name in that module.
        package: A package of the ``bench`` extra that it needs.
        slow_to_start: Whether a quick run skips it because it takes long to compile.
    """

    name: str
    group: str
    variant: str
    package: str = ""
    slow_to_start: bool = False


REFERENCE = Contender("Pyro, SVI.step", "pyro_svi", "Trace_ELBO")

CONTENDERS = (
    Contender("pyro_vae, SVI.step", "ours", "pyro"),
    Contender("pyro_vae, CompiledSVI, sampled KL", "ours", "compiled"),
    Contender("pyro_vae, CompiledSVI, exact KL", "ours", "compiled exact"),
    REFERENCE,
    Contender("PyTorch by hand, eager, fused Adam", "by_hand", "fused"),
    Contender("PyTorch by hand, torch.compile, fused Adam", "by_hand", "compile"),
    Contender("PyTorch by hand, torch.compile (max-autotune), fused Adam", "by_hand", "autotune",
              slow_to_start=True),
    Contender("NumPyro, jit", "numpyro_svi", "jit", "numpyro"),
    Contender("NumPyro, lax.scan over a chunk", "numpyro_svi", "scan", "numpyro"),
    Contender("pythae, BaseTrainer", "pythae_trainer", "train_step", "pythae"),
)  # fmt: skip

EPOCHS = (
    Contender("tutorial: torchvision, DataLoader (1 worker), SVI.step", "tutorial",
              "pyro, 1 worker"),
    Contender("tutorial: torchvision, DataLoader, SVI.step", "tutorial", "pyro"),
    Contender("tutorial: torchvision, DataLoader, PyTorch by hand", "tutorial", "by hand"),
    Contender("pyro_vae.fit, compiled", "ours", "fit"),
    *(c for c in CONTENDERS if c.variant in {"compiled exact", "compile", "scan", "train_step"}),
)  # fmt: skip
