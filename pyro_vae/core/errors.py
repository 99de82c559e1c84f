"""What can go wrong, as classes that a caller may catch.

Every message says what was expected, what came, and what to do.
"""

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
    "PyroVAEError",
    "RunFolderError",
]


class PyroVAEError(Exception):
    """Base of every error that this package raises on purpose."""


class DeclarationError(PyroVAEError):
    """A declaration that cannot be built.

    Args:
        problems: One line for each problem, each beginning with its path.
        what: What was being read, for the message's first line.
    """

    def __init__(self, problems: str | Iterable[str], what: str = "The declaration") -> None:
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        count = len(self.problems)
        head = f"{what} has {count} problem{'s' if count != 1 else ''}:"
        super().__init__("\n".join([head, *(f"  {line}" for line in self.problems)]))


class IncompatibleComponents(PyroVAEError):
    """Components, or a component and the data, that do not fit one another."""


class IncompatibleScores(PyroVAEError):
    """Scores that cannot be compared: of unlike data, or by unlike estimators."""


class NoClosedFormKL(PyroVAEError):
    """An exact KL was asked for where no closed form is known."""


class DataError(PyroVAEError):
    """Data that is missing, unreadable, or unfit for the model."""


class CheckpointError(PyroVAEError):
    """A run folder or weights file that cannot be read back."""


class RunFolderError(PyroVAEError):
    """A run folder that cannot be written."""


class NonFiniteLoss(PyroVAEError):
    """The loss became NaN or infinite; the message names the site, the term and the batch."""


class NotCapturable(PyroVAEError):
    """A Pyro program that cannot be captured as one static graph; the message names the site."""
