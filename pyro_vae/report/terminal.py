"""Progress in a terminal, drawn by rich."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, RenderableType
from rich.errors import LiveError
from rich.padding import Padding
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from pyro_vae.report.displays import Display, State
from pyro_vae.report.numbers import number

__all__ = ["Terminal"]


class Terminal(Display):
    """A bar that is redrawn in place, over a line of numbers; it stays when the loop has ended.

    A loop within a loop has its own bar, if rich can (14.1 and up), and is silent otherwise.

    Args:
        console: Where to draw; standard output, unless given.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._bar = _Bar(console or Console())
        self._task: TaskID | None = None

    def due(self, seconds: float, fraction: float) -> bool:
        """Ten times a second."""
        return seconds >= 0.1

    def start(self, state: State) -> None:
        """Hide the cursor and draw an empty bar."""
        try:
            self._bar.start()
        except LiveError:
            return
        self._task = self._bar.add_task(state.what, total=state.total, state=state)

    def update(self, state: State) -> None:
        """Draw the state."""
        if self._task is not None:
            self._bar.update(
                self._task,
                total=max(state.total, 1),
                completed=state.done if state.total else 1,
                state=state,
            )

    def note(self, text: str) -> None:
        """Write a line above the bar."""
        self._bar.console.print(Text(text))

    def finish(self, state: State) -> None:
        """Draw the last state and give the cursor back."""
        try:
            self.update(state)
        finally:
            self._bar.stop()


class _Bar(Progress):
    def __init__(self, console: Console) -> None:
        super().__init__(
            TextColumn("{task.description}", markup=False, style="bold"),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[state].count}", markup=False),
            TextColumn("{task.fields[state].speed}", markup=False, style="cyan"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[state].rest}", markup=False, style="dim"),
            console=console,
            refresh_per_second=8,
        )

    def get_renderables(self) -> Iterable[RenderableType]:
        yield self.make_tasks_table(self.tasks)
        for task in self.tasks:
            fields: dict[str, float] = task.fields["state"].fields
            if fields:
                yield Padding(_numbers(fields), (0, 0, 0, 2))


def _numbers(fields: dict[str, float]) -> Text:
    text = Text(overflow="fold")
    for name, value in fields.items():
        text.append(f"{name} ", "dim").append(f"{number(value)}   ", "bold")
    return text
