"""Which form of the SVI step a training takes, and why."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Literal

from pyro.optim import PyroOptim
from torch import Tensor

from pyro_vae.compiled import CompiledSVI, FiniteSVI
from pyro_vae.core.errors import NotCapturable
from pyro_vae.data.feed import Resident, Streamed
from pyro_vae.objectives.pyro_elbos import Trace_ELBO
from pyro_vae.vae import VAE

__all__ = ["WORTHWHILE", "StepMethod", "Stepper"]

StepMethod = Literal["auto", "pyro", "compiled"]
WORTHWHILE = 5000
"""Steps from which on a capture, which takes some seconds, is worth its cost: a step of Pyro's
spends two milliseconds or more in Python, which a captured one does not."""


class Stepper:
    """Makes steps on one model, by Pyro's SVI or by the compiled one.

    Args:
        kind: ``pyro``, ``compiled``, or ``auto``: compiled where the run has at least
            ``WORTHWHILE`` steps and the program can be captured.
        steps: How many steps the run has.
        vae: The model.
        data: Where batches come from.
        optimizer: Pyro's optimizer.
        loss: What is minimized.
        say: Told, as a sentence, which form was taken and why.

    Attributes:
        svi: The SVI that makes the steps.
    """

    def __init__(
        self,
        kind: StepMethod,
        steps: int,
        vae: VAE,
        data: Resident | Streamed,
        optimizer: PyroOptim,
        loss: Trace_ELBO,
        say: Callable[[str], None],
    ) -> None:
        self.kind, self.data, self.say = kind, data, say
        self.parts: Any = (vae.model, vae.guide, optimizer, loss)
        self.svi: FiniteSVI
        if kind == "compiled" or (kind == "auto" and steps >= WORTHWHILE):
            self.svi = CompiledSVI(*self.parts, batch=lambda given: (data.batch(given),))
        else:
            self.svi = FiniteSVI(*self.parts)
        why = {
            ("compiled", True): "compiled, as declared",
            ("auto", True): f"compiled, which pays in {steps:,} steps",
            ("pyro", False): "Pyro's own, as declared",
            ("auto", False): f"Pyro's own, since {steps:,} steps are too few for a capture to pay "
            f"(from {WORTHWHILE:,})",
        }
        self.taken = f"Step: {why[kind, isinstance(self.svi, CompiledSVI)]}"
        self.told = False
        say(self.taken)

    def step(self, given: Tensor) -> None:
        """Make one step on what the data give for a batch.

        Raises:
            NotCapturable: if ``compiled`` was declared, and the program has no static graph.
        """
        if not isinstance(self.svi, CompiledSVI):
            self.svi.step(self.data.batch(given))
            return
        try:
            self.svi.step(given)
            if not self.told and self.svi.compiled:
                self.told = True
                self.say(f"{self.taken}; captured in {self.svi.capture_seconds:.1f} s")
        except NotCapturable as error:
            if self.kind == "compiled":
                raise
            self.svi = FiniteSVI(*self.parts)
            self.say(f"Step: Pyro's own, since this one cannot be captured. {error}")
            self.step(given)

    def check(self) -> None:
        """Wait for the device, and say whether every step so far was finite.

        Raises:
            NonFiniteLoss: if one was not; its ``step`` counts all steps of this run from 0.
        """
        if isinstance(self.svi, CompiledSVI):
            self.svi.check()

    def explain(self, given: Tensor) -> None:
        """Repeat a batch by Pyro's own step, which names what is not finite; the model stays.

        Raises:
            NonFiniteLoss: unless this time, with other draws, everything is finite.
        """
        vae, before = self.parts[0].__self__, copy.deepcopy(self.parts[0].__self__.state_dict())
        try:
            FiniteSVI(*self.parts).step(self.data.batch(given))
        finally:
            vae.load_state_dict(before)
