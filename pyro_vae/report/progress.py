"""One progress display for every long loop, wherever its output goes."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import SupportsFloat

from pyro_vae.report.displays import Display, Lines, Silent, State, Status
from pyro_vae.report.environment import in_notebook, in_terminal

__all__ = ["Progress", "progress"]

_WINDOW = 10.0  # seconds over which the rate is taken, so that a slow start is forgotten


class Progress:
    """What the loop tells its display; made by :func:`progress`.

    ``advance`` costs about a microsecond where nothing is to be drawn: the fields are read only
    then, so a tensor on a GPU is waited for a few times a second, not at each step.
    """

    def __init__(
        self,
        total: int,
        what: str,
        display: Display,
        *,
        unit: str,
        per_step: float,
        clock: Callable[[], float],
    ) -> None:
        if total < 0:
            raise ValueError(f"Expected a total of at least 0 steps, got {total}")
        self.total = total
        self.what = what
        self.done = 0
        self._display = display
        self._unit = unit
        self._per_step = per_step
        self._clock = clock
        self._fields: dict[str, SupportsFloat] = {}
        self._started = clock()
        self._drawn = (self._started, 0)
        self._seen: deque[tuple[float, int]] = deque([self._drawn])

    def advance(self, n: int = 1, **fields: SupportsFloat) -> None:
        """Record ``n`` more steps.

        Args:
            n: How many steps were done since the last call.
            **fields: Numbers to show live, such as ``elbo=-95.1``. A field keeps its last value;
                anything that ``float`` takes will do (detach a tensor from its graph).
        """
        self.done += n
        self._fields.update(fields)
        now = self._clock()
        seconds, steps = now - self._drawn[0], self.done - self._drawn[1]
        if self._display.due(seconds, steps / max(self.total, 1)):
            self._drawn = (now, self.done)
            self._display.update(self._state(now, "running"))

    def note(self, text: str) -> None:
        """Say something that stays: a checkpoint written, a rate lowered."""
        self._display.note(text)

    def start(self) -> None:
        """Show the display."""
        self._display.start(self._state(self._clock(), "running"))

    def finish(self, status: Status) -> None:
        """Draw the last state, and leave the terminal as it was found."""
        self._display.finish(self._state(self._clock(), status))

    def _state(self, now: float, status: Status) -> State:
        rate = self._rate(now, status)
        return State(
            what=self.what,
            done=self.done,
            total=self.total,
            status=status,
            fields={name: float(value) for name, value in self._fields.items()},
            rate=None if rate is None else rate * self._per_step,
            unit=self._unit,
            elapsed=now - self._started,
            left=max(self.total - self.done, 0) / rate if rate else None,
        )

    def _rate(self, now: float, status: Status) -> float | None:
        """Steps a second: of late while the loop runs, on the whole when it has ended."""
        self._seen.append((now, self.done))
        while len(self._seen) > 2 and now - self._seen[1][0] >= _WINDOW:
            self._seen.popleft()
        then, steps = self._seen[0] if status == "running" else (self._started, 0)
        return (self.done - steps) / (now - then) if now > then else None


@contextmanager
def progress(
    total: int,
    what: str,
    *,
    enabled: bool = True,
    unit: str = "steps",
    per_step: float = 1.0,
    display: Display | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Progress]:
    """Show how far a loop is: a bar in a terminal or a notebook, lines in a log.

    The display ends with the block, however that ends: after an error or Ctrl-C it says where
    the loop stopped, and the terminal is as it was.

    Args:
        total: How many steps the loop has.
        what: What it does, in a word or two.
        enabled: Whether to show anything.
        unit: What the rate counts, such as ``steps`` or ``data``.
        per_step: How many of ``unit`` one step is: the batch size where ``unit`` is ``data``.
        display: Where to draw; found from where the program runs, unless given.
        clock: Seconds, from any fixed moment.

    Example:
        >>> with progress(200, "training", clock=iter(range(999)).__next__) as bar:
        ...     for _ in range(2):
        ...         bar.advance(100, elbo=-95.1)
        training: 100/200 (50 %)  elbo -95.10  50.00 steps/s  0:02 elapsed  0:02 left
        training: 200/200 (100 %)  elbo -95.10  50.00 steps/s  0:04 elapsed
    """
    shown = (display or _display_for_here()) if enabled else Silent()
    bar = Progress(total, what, shown, unit=unit, per_step=per_step, clock=clock)
    status: Status = "stopped"
    try:
        bar.start()
        yield bar
        status = "done"
    finally:
        bar.finish(status)


def _display_for_here() -> Display:
    """The display that suits where the program runs."""
    if in_notebook():
        from pyro_vae.report.notebook import Notebook

        return Notebook()
    if in_terminal():
        from pyro_vae.report.terminal import Terminal

        return Terminal()
    return Lines()
