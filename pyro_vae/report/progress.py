"""One progress bar for every long loop, in a terminal, a notebook or a log."""

from __future__ import annotations

import html
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any, SupportsFloat

from tqdm.std import tqdm

from pyro_vae.report.environment import in_notebook, in_terminal
from pyro_vae.report.numbers import number
from pyro_vae.report.sparklines import curves, sparkline

__all__ = ["Progress", "progress"]

_BAR = "{desc}: {percent:3}%|{bar}|"
_STATE = "{terms} [{elapsed}<{remaining}, {speed}, {n_fmt}/{total_fmt}]"


class Progress(tqdm):  # type: ignore[misc,unused-ignore]
    """A tqdm bar that shows numbers, redrawn in place; made by :func:`progress`.

    ``advance`` costs a few microseconds where nothing is drawn: the numbers are read only to be
    drawn, so the loop waits for a tensor on a GPU a few times a second and not at each step.
    """

    monitor_interval = 0  # tqdm's thread is for loops that do not look at the clock at each step

    def __init__(
        self, total: int, label: str, unit: str, enabled: bool = True, **options: Any
    ) -> None:
        self._terms: dict[str, SupportsFloat] = {}
        self._wait = ""
        options = {"bar_format": _BAR + _STATE, **options}
        self._history: Sequence[Mapping[str, float]] = ()
        self._measure: Callable[[], Sequence[float]] = tuple
        self._units: tuple[int, Sequence[float]] = (0, ())  # measured after so many epochs
        super().__init__(
            desc=label, total=total, unit=unit, disable=not enabled, file=sys.stdout, miniters=1,
            leave=None, dynamic_ncols=in_terminal(), **options,
        )  # fmt: skip

    def advance(self, n: int = 1, **terms: SupportsFloat) -> None:
        """Record progress.

        Args:
            n: How many steps were done since the last call.
            **terms: Numbers to show, such as ``elbo=-95.1``. A number stays until it is given
                again; anything that ``float`` accepts will do (detach a tensor from its graph).
        """
        self._terms.update(terms)
        self.update(n)

    def follow(
        self, history: Sequence[Mapping[str, float]], units: Callable[[], Sequence[float]]
    ) -> None:
        """Show a training's curves too, from when its second epoch ends.

        Args:
            history: A record for each epoch, in nats per datum; it grows as training goes on.
            units: Measures the KL of each dimension; called once an epoch at most, to be drawn.
        """
        self._history, self._measure = history, units

    def _measured(self) -> Sequence[float]:
        """The KL of each dimension; not measured anew while the loop waits."""
        epochs = len(self._history)
        if epochs != self._units[0] and not self._wait:
            self._units = epochs, self._measure()
        return self._units[1]

    def _curve(self) -> tuple[str, str]:
        """The ELBO of each epoch, in the bar's place, and the KL of each dimension."""
        if len(self._history) < 2 or self.ascii:
            return "", ""
        elbo = sparkline([record["elbo"] for record in self._history], 16)
        return elbo, sparkline(sorted(self._measured(), reverse=True), 8, 0.0)

    def note(self, text: str) -> None:
        """Print a line that stays, such as a checkpoint's path."""
        if not self.disable:
            self.write(text, file=self.fp)

    @contextmanager
    def waiting(self, why: str) -> Iterator[None]:
        """Show why one step takes long instead of the numbers, and keep the clock going.

        Args:
            why: What happens, such as ``compiling the step``.
        """
        done = Event()

        def tick() -> None:
            while not done.wait(1.0):
                self.refresh()

        clock = Thread(target=tick, daemon=True)
        if not self.disable:
            self._wait = why  # shown instead of tensors, which only the loop's thread may read
            self.refresh()
            clock.start()
        try:
            yield
        finally:
            done.set()
            if clock.ident is not None:
                clock.join()
            self._wait = ""

    @property
    def format_dict(self) -> dict[str, Any]:
        """What the bar's format may show."""
        found = dict(super().format_dict)
        if self.disable:
            found["rate"] = None  # closed: the mean over the whole loop
        done, total, elapsed = self.n, self.total, found["elapsed"]
        rate = found["rate"] or (done / elapsed if elapsed > 0 else None)
        elbo, units = self._curve()
        terms = {} if self._wait else self._terms
        numbers = {name: number(float(x)) for name, x in terms.items()}
        if units and "kl" in numbers:
            numbers["kl"] += f" {units}"
        shown = self._wait or ", ".join(f"{name} {text}" for name, text in numbers.items())
        if elbo:
            found["bar_format"] = _BAR.replace("{bar}", elbo + "{bar:0}") + _STATE
        return found | {
            "percent": min(100 * done // total, 100) if total else 100,
            "terms": f" {shown}" if shown else "",
            "speed": f"{number(rate)} {self.unit}/s",
        }

    def __exit__(self, error: type[BaseException] | None, *rest: object) -> None:
        if error is not None and not self.disable:
            self.desc += " (stopped)"
        self.close()


class _Unbarred(Progress):
    """Not redrawn by carriage returns: nothing is written but what ``display`` writes."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, gui=True, **options)
        self.ncols = None  # whole lines, whatever COLUMNS says

    def note(self, text: str) -> None:
        if not self.disable:
            print(text, file=self.fp, flush=True)

    def _curve(self) -> tuple[str, str]:
        return "", ""

    def close(self) -> None:
        if not self.disable:
            super().close()
            self.display()


class _Lines(_Unbarred):
    """A line for each tenth of the loop and for each minute, for logs."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, bar_format="{desc}: {percent:3}%" + _STATE, **options)
        self._printed = (self.start_t, 0) if not self.disable else (0.0, 0)

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Print a line if one is due; the last is printed by ``close``."""
        now, (then, done) = self._time(), self._printed
        due = self.n - done >= self.total / 10 or now - then >= 60
        if self.disable or (due and self.n < self.total):
            self._printed = (now, self.n)
            print(self, file=self.fp, flush=True)


class _Notebook(_Unbarred):
    """A display of plain HTML that is replaced in place: it needs no widgets, and it is saved."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, mininterval=1 / 3, **options)
        if not self.disable:
            from IPython.display import display

            self._shown = display(self._bundle(), raw=True, display_id=True)

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Replace what is shown."""
        self._shown.update(self._bundle(), raw=True)

    def _bundle(self) -> dict[str, str]:
        text = str(self)
        before, _, rest = text.partition("|")
        after = rest.partition("|")[2]
        colour = "#d9363e" if self.desc.endswith("(stopped)") else "#3b78b8"
        bar = f'<progress value="{self.n}" max="{self.total}" style="accent-color:{colour}">'
        page = f"{html.escape(before)} {bar}</progress> {html.escape(after)}"
        drawn = curves(self._history, self._measured()) if len(self._history) > 1 else ""
        return {"text/plain": text, "text/html": f"<div>{page}</div>{drawn}"}


def progress(total: int, label: str, *, unit: str = "steps", enabled: bool = True) -> Progress:
    """Show how far a loop is: a bar in a terminal or a notebook, lines in a log.

    Use it in a ``with`` statement: after an error or Ctrl-C the last display says that the loop
    was stopped.

    Args:
        total: How many steps the loop has.
        label: What the loop does, in a word or two.
        unit: What one step is, such as ``data``.
        enabled: Whether to show anything.

    Raises:
        ValueError: if ``total`` is negative.

    Example:
        >>> with progress(200, "training") as bar:
        ...     bar.note("compiled")
        ...     bar.advance(200, elbo=-95.1)  # doctest: +ELLIPSIS
        compiled
        training: 100% elbo -95.10 [00:00<00:00, ... steps/s, 200/200]
    """
    if total < 0:
        raise ValueError(f"Expected a total of at least 0 {unit}, got {total}")
    bar = _Notebook if in_notebook() else Progress if in_terminal() else _Lines
    return bar(total, label, unit, enabled)
