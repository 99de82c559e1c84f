"""The package's exceptions. A message says what was expected, what was given, and what to do."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = [
    "CheckpointError",
    "DataError",
    "DeclarationError",
    "IncompatibleComponents",
    "IncompatibleScores",
    "NoClosedFormKL",
    "NonFiniteLoss",
    "NotCapturable",
    "ProcessError",
    "PyroVAEError",
    "RunFolderError",
    "at_least",
]


class PyroVAEError(Exception):
    """Base of every error that this package raises deliberately."""

    is_printed = False  # by another process, so that a command need not


class DeclarationError(PyroVAEError):
    """A declaration that cannot be built.

    Args:
        problems: One line for each problem, starting with its path.
        what: What was being read, for the first line of the message.
    """

    def __init__(self, problems: str | Iterable[str], what: str = "The declaration") -> None:
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        count = len(self.problems)
        head = f"{what} has {count} problem{'s' if count != 1 else ''}:"
        super().__init__("\n".join([head, *(f"  {line}" for line in self.problems)]))


class IncompatibleComponents(PyroVAEError):
    """Components that do not work together, or data that a component cannot take."""


class IncompatibleScores(PyroVAEError):
    """Scores that cannot be compared: of different data, or by different estimators."""


class NoClosedFormKL(PyroVAEError):
    """An exact KL was requested where no closed form is known."""


class DataError(PyroVAEError):
    """Data that are missing, unreadable, or unsuitable for the model."""


class CheckpointError(PyroVAEError):
    """A run folder or weights file that cannot be read back."""


class RunFolderError(PyroVAEError):
    """A run folder that cannot be written."""


class NonFiniteLoss(PyroVAEError):
    """A loss, a gradient or a weight became NaN or infinite; the message says which, and where.

    Args:
        message: What is not finite, and where.
        step: The number of the step, from 0, where it is not the one that has just been made.
    """

    def __init__(self, message: str, step: int | None = None) -> None:
        super().__init__(message)
        self.step = step


class NotCapturable(PyroVAEError):
    """A Pyro program that cannot be captured as one static graph; the message names the site."""


class ProcessError(PyroVAEError):
    """Processes that cannot train one model together: they differ, or one of them has ended."""


def at_least(least: int, **given: int) -> None:
    """Refuse numbers that are too small.

    Raises:
        DataError: naming the first.

    Example:
        >>> at_least(2, draws=1)
        Traceback (most recent call last):
        pyro_vae.core.errors.DataError: draws: expected at least 2, got 1
    """
    for name, value in given.items():
        if value < least:
            raise DataError(f"{name}: expected at least {least}, got {value}")
