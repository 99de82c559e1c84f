"""The contract of a learning-rate schedule."""

from __future__ import annotations

from abc import abstractmethod

from pyro_vae.core.declarable import Declarable

__all__ = ["Schedule"]


class Schedule(Declarable, home="pyro_vae.training.schedules"):
    """How the learning rate goes: what it is multiplied by, epoch after epoch.

    How to write one:
        1. One class in one file of ``pyro_vae/training/schedules``, or in a notebook cell. Its
           name in snake case is its ``kind``; a file is named for its kind.
        2. The constructor takes what a user may declare, annotated, each with a line under
           ``Args:``.
        3. ``factor(epoch, epochs)`` is a plain number, which depends on nothing but these two.
        4. ``check`` refuses a run that the schedule does not fit, before it begins.
    """

    @abstractmethod
    def factor(self, epoch: int, epochs: int) -> float:
        """What the learning rate is multiplied by in an epoch, counted from 1, of ``epochs``."""

    def check(self, epochs: int) -> None:
        """Refuse a run of so many epochs, if it makes no sense.

        Raises:
            DeclarationError: saying why.
        """
