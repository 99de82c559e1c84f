"""The contract of a learning-rate schedule."""

from __future__ import annotations

from abc import abstractmethod

from pyro_vae.core.declarable import Declarable

__all__ = ["Schedule"]


class Schedule(Declarable, home="pyro_vae.training.schedules"):
    """A factor of the learning rate for each epoch.

    How to write one:
        1. One class in one file of ``pyro_vae/training/schedules``, or in a notebook cell. Its
           name in snake case is its ``kind``, and the name of the file.
        2. The constructor takes the arguments that a user may declare, annotated, each with a
           line under ``Args:``.
        3. ``factor(epoch, epochs)`` returns a number that depends on its arguments alone.
        4. ``check`` refuses, before training, a run that the schedule cannot serve.
    """

    @abstractmethod
    def factor(self, epoch: int, epochs: int) -> float:
        """The factor of the learning rate in an epoch, counted from 1, of ``epochs``."""

    def check(self, epochs: int) -> None:
        """Refuse a run of this many epochs, if the schedule cannot serve it.

        Raises:
            DeclarationError: with the reason.
        """
