"""Ctrl-C, SIGTERM and SIGHUP end a training between two steps."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import Any

from pyro_vae.core.errors import ProcessError

__all__ = ["Interrupts"]


class Interrupts:
    """Notes, within a ``with`` block, a signal that asks to stop.

    A second one raises ``KeyboardInterrupt`` at once, as does the first while there is nothing to
    save. Signals that the caller handles or ignores, such as SIGHUP under ``nohup``, are left to
    it, as are all of them in a thread that is not the main one, where Python allows no handlers.

    Args:
        at_once: Whether there is nothing to save yet.
        batch: Whether to note SIGTERM and SIGHUP too, by which a batch system ends a job.

    Attributes:
        received: Whether one was noted.
    """

    def __init__(self, at_once: Callable[[], bool], *, batch: bool) -> None:
        self.received, self._at_once = False, at_once
        names = ("SIGINT", "SIGTERM", "SIGHUP") if batch else ("SIGINT",)
        self._names = [name for name in names if hasattr(signal, name)]
        self._before: dict[int, Any] = {}

    def _note(self, number: int, frame: object) -> None:
        again, self.received = self.received, True
        if again or self._at_once():
            raise KeyboardInterrupt

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            for name in self._names:
                number = getattr(signal, name)
                if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
                    self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        lost = kind is not None and issubclass(kind, ProcessError)
        for number, handler in self._before.items():
            if not (lost and number == signal.SIGTERM):  # torchrun's, before the error is told
                signal.signal(number, handler)
