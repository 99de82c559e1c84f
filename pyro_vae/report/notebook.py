"""Progress in a notebook: one output of plain HTML, updated in place. No widgets, no scripts."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from pyro_vae.report.displays import Display, State, Status
from pyro_vae.report.numbers import number

__all__ = ["Notebook"]

_COLOUR: dict[Status, str] = {"running": "#3b78b8", "done": "#1f8a4c", "stopped": "#d9363e"}
_LATEST_NOTES = 20


class Notebook(Display):
    """A bar and its numbers, in JupyterLab, VS Code and Colab.

    The output is one display whose data is replaced, so the last state is saved with the
    notebook; where HTML cannot be shown, its text is.

    Args:
        show: ``IPython.display.display``, or one that stands in for it.
    """

    def __init__(self, show: Callable[..., Any] | None = None) -> None:
        self._show = show or _ipython_display()
        self._id = uuid4().hex
        self._state: State | None = None
        self._notes: list[str] = []

    def due(self, seconds: float, fraction: float) -> bool:
        """Three times a second: each update is a message to the browser."""
        return seconds >= 1 / 3

    def start(self, state: State) -> None:
        """Show an empty bar."""
        self._draw(state, update=False)

    def update(self, state: State) -> None:
        """Draw the state."""
        self._draw(state, update=True)

    def note(self, text: str) -> None:
        """Add a line below the bar; of many, the latest stay."""
        self._notes = [*self._notes, text][-_LATEST_NOTES:]
        if self._state is not None:
            self._draw(self._state, update=True)

    def finish(self, state: State) -> None:
        """Draw the last state, green; or red, if the loop was stopped."""
        self._draw(state, update=True)

    def _draw(self, state: State, *, update: bool) -> None:
        self._state = state
        bundle = {
            "text/plain": "\n".join([str(state), *self._notes]),
            "text/html": _page(state, self._notes),
        }
        self._show(bundle, raw=True, display_id=self._id, update=update)


def _ipython_display() -> Callable[..., Any]:
    from IPython.display import display

    return display


def _page(state: State, notes: list[str]) -> str:
    numbers = "".join(
        f'<span style="display:inline-block;margin-right:1.2em;">'
        f'<span style="opacity:.65;">{html.escape(name)}</span> <b>{number(value)}</b></span>'
        for name, value in state.fields.items()
    )
    lines = "".join(f'<div style="opacity:.8;">{html.escape(note)}</div>' for note in notes)
    return (
        '<div style="max-width:46em;font-size:.9em;line-height:1.7;'
        'font-variant-numeric:tabular-nums;">'
        '<div style="display:flex;justify-content:space-between;gap:1.5em;">'
        f"<span><b>{html.escape(state.what)}</b> {state.count}</span>"
        f'<span style="opacity:.65;">{html.escape(" · ".join(state.times))}</span></div>'
        f"{_bar(state)}<div>{numbers}</div>{lines}</div>"
    )


def _bar(state: State) -> str:
    percent = 100 * state.fraction
    fill = f"width:{percent:.1f}%;height:100%;background:{_COLOUR[state.status]};"
    return (
        f'<div role="progressbar" aria-valuemin="0" aria-valuemax="100" '
        f'aria-valuenow="{percent:.0f}" style="height:.45em;border-radius:.25em;'
        'overflow:hidden;background:rgba(128,128,128,.25);">'
        f'<div style="{fill}"></div></div>'
    )
