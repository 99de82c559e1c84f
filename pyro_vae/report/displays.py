"""What a progress display shows, and the displays that need nothing but text."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Literal, TextIO

from pyro_vae.report.numbers import duration, number

__all__ = ["Display", "Lines", "Silent", "State", "Status"]

Status = Literal["running", "done", "stopped"]


@dataclass(frozen=True)
class State:
    """A moment of a loop.

    Args:
        what: What the loop does.
        done: Steps done.
        total: Steps in all.
        status: ``running``, ``done``, or ``stopped`` by an error or Ctrl-C.
        fields: Numbers to show, by name.
        rate: ``unit`` a second; None where nothing has been measured.
        unit: What the rate counts.
        elapsed: Seconds since the start.
        left: Seconds to the end at that rate; None where there is no telling.
    """

    what: str
    done: int
    total: int
    status: Status = "running"
    fields: dict[str, float] = field(default_factory=dict)
    rate: float | None = None
    unit: str = "steps"
    elapsed: float = 0.0
    left: float | None = None

    @property
    def fraction(self) -> float:
        """Between 0 and 1; an empty loop is complete."""
        return min(self.done / self.total, 1.0) if self.total else 1.0

    @property
    def count(self) -> str:
        """How far, in steps and percent."""
        return f"{self.done:,}/{self.total:,} ({int(100 * self.fraction)} %)"

    @property
    def numbers(self) -> list[str]:
        """The fields, each with its name."""
        return [f"{name} {number(value)}" for name, value in self.fields.items()]

    @property
    def speed(self) -> str:
        """The rate with its unit, or nothing."""
        return "" if self.rate is None else f"{number(self.rate)} {self.unit}/s"

    @property
    def rest(self) -> str:
        """The time left, or that the loop was stopped, or nothing."""
        running = f"{duration(self.left)} left"
        return {"running": running, "stopped": "stopped", "done": ""}[self.status]

    @property
    def times(self) -> list[str]:
        """Rate, time elapsed, and time left or that the loop was stopped."""
        said = [self.speed, f"{duration(self.elapsed)} elapsed", self.rest]
        return [text for text in said if text]

    def __str__(self) -> str:
        return "  ".join([f"{self.what}: {self.count}", *self.numbers, *self.times])


class Display(ABC):
    """Draws the states of one loop.

    How to write one:
        1. ``due`` says whether to draw again; ``advance`` asks it at every step, so it is cheap.
        2. ``start``, ``update`` and ``finish`` draw a state. ``finish`` is always called, also
           after an error, and gives back whatever ``start`` took.
        3. ``note`` shows a line that stays.
    """

    @abstractmethod
    def due(self, seconds: float, fraction: float) -> bool:
        """Whether to draw, so long after the last time and so much further on."""

    @abstractmethod
    def start(self, state: State) -> None:
        """Begin."""

    @abstractmethod
    def update(self, state: State) -> None:
        """Draw the state."""

    @abstractmethod
    def note(self, text: str) -> None:
        """Show a line that stays."""

    @abstractmethod
    def finish(self, state: State) -> None:
        """Draw the last state, and end."""


class Silent(Display):
    """Draws nothing."""

    def due(self, seconds: float, fraction: float) -> bool:
        """Never."""
        return False

    def start(self, state: State) -> None:
        """Nothing."""

    def update(self, state: State) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""

    def finish(self, state: State) -> None:
        """Nothing."""


class Lines(Display):
    """A line now and then, for logs: at each tenth of the way, each minute, and the end."""

    def __init__(self, file: TextIO | None = None) -> None:
        self._file = file

    def due(self, seconds: float, fraction: float) -> bool:
        """After a tenth of the way, or a minute."""
        return fraction >= 0.1 - 1e-9 or seconds >= 60.0

    def start(self, state: State) -> None:
        """Nothing yet: the first line comes with the first numbers."""

    def update(self, state: State) -> None:
        """Write a line, but for the last, which is for ``finish``."""
        if state.done < state.total:
            self._write(str(state))

    def note(self, text: str) -> None:
        """Write a line."""
        self._write(text)

    def finish(self, state: State) -> None:
        """Write the last line."""
        self._write(str(state))

    def _write(self, line: str) -> None:
        print(line, file=self._file or sys.stdout, flush=True)
