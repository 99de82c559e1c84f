"""Which form of the SVI step a training takes, and why."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from statistics import median
from typing import Any, Literal

import torch
from pyro.optim import PyroOptim
from torch import Tensor

from pyro_vae.compiled import CompiledSVI, FiniteSVI
from pyro_vae.compiled.recall import recall
from pyro_vae.core.errors import NotCapturable
from pyro_vae.core.processes import Processes
from pyro_vae.data.feed import Resident, Streamed
from pyro_vae.objectives.pyro_elbos import Trace_ELBO
from pyro_vae.training.shared_step import SharedSVI
from pyro_vae.vae import VAE

__all__ = ["StepMethod", "Stepper"]

StepMethod = Literal["auto", "pyro", "compiled"]
# By these, ``auto`` decides. A captured step saved 94% of a small MLP's 10 ms on a CPU, 72% of a
# large one's 60 ms, and 54% of a convolutional one's 130 ms.
TIMED = slice(2, 8)  # steps; the first two create the optimizers' state and warm up
SAVED = 0.5  # of a step
CAPTURE = 10.0  # seconds


class Stepper:
    """Makes steps on one model, by Pyro's SVI or by the compiled one.

    Args:
        kind: ``pyro``, ``compiled``, or ``auto``: the first steps are Pyro's and timed, and the
            rest compiled where that saves more time than the capture takes.
        steps: How many steps the run has.
        vae: The model.
        data: Where batches come from.
        optimizer: Pyro's optimizer.
        loss: What is minimized.
        say: Told, as a sentence, which form was taken and why.
        waiting: Gives a context that tells the user what takes long.
        processes: Those that share each batch; several take Pyro's step.
        skips: Whether training goes on after a step that is not finite.

    Attributes:
        svi: The SVI that makes the steps.
        settled: Whether the form is chosen, and what it captures captured.
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
        waiting: Callable[[str], AbstractContextManager[None]],
        processes: Processes,
        skips: bool = False,
    ) -> None:
        self.processes = processes
        self.kind, self.steps, self.data, self.say, self.waiting = kind, steps, data, say, waiting
        self.parts: Any = (vae.model, vae.guide, optimizer, loss)
        self.seconds: list[float] = []  # of each step that is timed
        self.made: dict[int, int] = {}  # compiled steps by the size of their batch, but the first
        self.settled = self.started = False
        self.skips = skips
        self.svi = self._pyros()

    def _pyros(self) -> FiniteSVI:
        if self.processes.size > 1:
            model, guide, optimizer, loss = self.parts
            return SharedSVI(model, guide, optimizer, loss, self.processes)
        svi = FiniteSVI(*self.parts)
        svi.skips = self.skips
        return svi

    def begin(self) -> None:
        """Settle on a form that needs no timing."""
        kind, steps = self.kind, self.steps
        if self.processes.size > 1:
            self._settle(f"Pyro's own, since {self.processes.size} processes share each batch")
        elif kind == "compiled":
            self._capture("as declared")
        elif kind == "pyro":
            self._settle("Pyro's own, as declared")
        elif steps <= TIMED.stop:
            self._settle(f"Pyro's own, since a run of {steps} steps is too short for a capture")
        else:
            self.say(f"Step: Pyro's own for {TIMED.stop} steps, which are timed")

    def _settle(self, choice: str) -> None:
        self.settled = True
        self.say(f"Step: {choice}")

    def _capture(self, why: str) -> CompiledSVI:
        """Go on with the compiled step, and the same optimizer."""
        data, done = self.data, len(self.seconds)  # the program is watched: it names no ``self``
        svi = CompiledSVI(*self.parts, batch=data.arguments, done=done)
        svi.while_capturing = lambda: self.waiting("compiling the step")
        svi.skips = self.skips
        self.svi, self.taken = svi, f"compiled, {why}"
        self.say(f"Step: {self.taken}; the capture takes some seconds")
        return svi

    def _decide(self) -> None:
        """Compare what the steps left would save with what a capture costs."""
        each, left = median(self.seconds[TIMED]), self.steps - len(self.seconds)
        saved = SAVED * each * left
        why = (
            f"since Pyro's takes {each * 1e3:.1f} ms and {left:,} are left: a capture saves about "
            f"{saved:.0f} s and costs about {CAPTURE:.0f} s"
        )
        if saved > CAPTURE:
            self._capture(why)
        else:
            self._settle(f"Pyro's own, {why}")

    def facts(self) -> dict[str, Any]:
        """What :meth:`resume` goes on from, as JSON."""
        form = "compiled" if isinstance(self.svi, CompiledSVI) else "pyro"
        return {
            "form": form if self.settled or form == "compiled" else "timed",
            "seconds": self.seconds, "started": self.started, "made": list(self.made.items()),
        }  # fmt: skip

    def resume(self, facts: Mapping[str, Any], done: int, example: Mapping[int, Tensor]) -> None:
        """Go on in the form that was chosen; what that captures, the caller undoes.

        Args:
            facts: Those of the stepper whose run is resumed.
            done: How many steps that one had made.
            example: What the data give for a batch of each size.
        """
        self.seconds, self.started = list(facts["seconds"]), facts["started"]
        if self.processes.size > 1:
            self.begin()
            return
        if facts["form"] == "timed":
            return
        if facts["form"] == "pyro":
            self._settle("Pyro's own, as before")
            return
        svi = self._capture("as before")
        if not self.started:
            return
        self.made = dict(facts["made"])
        seen = [((example[size],), made) for size, made in self.made.items()]
        try:
            recall(svi, seen or [((next(iter(example.values())),), 0)], done)
        except NotCapturable as error:
            self._give_up(error)
        if self.svi is svi and svi.compiled:
            self._settle(f"{self.taken}; captured in {self.svi.capture_seconds:.1f} s")

    def _give_up(self, error: NotCapturable) -> None:
        """Go on with Pyro's step, unless the compiled one was declared."""
        if self.kind == "compiled":
            raise error
        self.svi = self._pyros()
        self._settle(f"Pyro's own, since this one cannot be captured. {error}")

    def step(self, given: Tensor) -> None:
        """Make one step on what the data give for a batch.

        Raises:
            NotCapturable: if ``compiled`` was declared, and the program has no static graph.
        """
        if not isinstance(self.svi, CompiledSVI):
            began = time.perf_counter()
            self.svi.step(*self.data.arguments(given))
            if not self.settled:
                self.seconds.append(time.perf_counter() - began)
                if len(self.seconds) == TIMED.stop:
                    self._decide()
            return
        try:
            self.svi.step(given)
            if self.started:
                self.made[len(given)] = self.made.get(len(given), 0) + 1
            self.started = True
            if not self.settled and self.svi.compiled:
                self._settle(f"{self.taken}; captured in {self.svi.capture_seconds:.1f} s")
        except NotCapturable as error:
            self._give_up(error)
            self.step(given)

    def check(self) -> None:
        """Wait for the device, and say whether every step so far was finite.

        Raises:
            NonFiniteLoss: if one was not; its ``step`` counts all steps of this run from 0.
        """
        if isinstance(self.svi, CompiledSVI):
            self.svi.check()

    @property
    def good(self) -> Tensor | None:
        """Whether the last step was made, which the next one changes; None without ``skips``."""
        if not self.skips:
            return None
        step = self.svi._step if isinstance(self.svi, CompiledSVI) else None
        return torch.tensor(True) if step is None else step.good

    def rewind(self, done: int) -> None:
        """Count steps from an earlier one on, whose state the caller has restored."""
        if isinstance(self.svi, CompiledSVI):
            self.svi._steps = self.svi._checked = done

    def explain(self, given: Tensor) -> None:
        """Repeat a batch by Pyro's own step, which names what is not finite; the model stays.

        Raises:
            NonFiniteLoss: unless this time, with other draws, everything is finite.
        """
        vae, before = self.parts[0].__self__, copy.deepcopy(self.parts[0].__self__.state_dict())
        try:
            FiniteSVI(*self.parts).step(*self.data.arguments(given))
        finally:
            vae.load_state_dict(before)
