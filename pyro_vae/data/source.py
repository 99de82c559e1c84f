"""The contract of a data source."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace

from pyro_vae.core.bounds import Seed, Size
from pyro_vae.core.declarable import Declarable
from pyro_vae.core.missing import Missing
from pyro_vae.data.binarization import Binarization
from pyro_vae.data.chunks import Chunks
from pyro_vae.data.dataset import DataSet
from pyro_vae.data.locations import FilePath, expanded
from pyro_vae.data.prepare import Preprocessing, Raw, prepare
from pyro_vae.data.splits import Share, SplitBy
from pyro_vae.data.standardization import Standardize
from pyro_vae.data.streaming import streamed

__all__ = ["Source"]


class Source(Declarable, home="pyro_vae.data"):
    """Where data come from: reads arrays, and loads them as a data set.

    How to write one:
        1. One class in one file of ``pyro_vae/data``, or in a notebook cell. Its name in snake
           case is its ``kind``; a file is named for its kind.
        2. The constructor takes what a user may declare, annotated, each with a line under
           ``Args:``, then ``**preprocessing``, which it hands to ``super().__init__``. Nothing
           is read there. Heavy libraries are imported where they are used.
        3. ``read()`` returns the arrays as they are: ``x`` of shape ``(N, *event)``, images as
           ``(N, channels, height, width)`` in [0, 1]; labels, and the official test set, where
           there are any. It draws nothing, splits nothing, and never unpickles.
           What it does to the values in the files (cropping, resizing, dropping rows) it says in
           ``preprocessing``, which becomes part of the data's identity.
           Data that may be larger than memory are ``Chunks`` (``pyro_vae.data.chunks``) where
           ``stream``, an argument of the constructor, names a folder.
        4. Without an official test set, the constructor also takes ``test: Share = 0.2`` and
           sets ``self.test``.
        5. What is missing or damaged is a ``DataError`` that names the file, the cause, and what
           to do.

    Args:
        binarization: How intensities in [0, 1] become 0 or 1: none, threshold (at 0.5), static
            (one draw), or dynamic (training data drawn afresh for every batch).
        validation: Fraction of the training data in [0, 1), or a whole number of them, to
            validate on.
        seed: Of the split and of what is drawn once.
        standardize: ``zscore`` takes the mean off each position of the event and divides by its
            standard deviation, both of the training data; ``none`` leaves the values as they are.
        split: ``shuffled``, or ``blocks`` in the order of the rows, as for a time series: the
            first train, the next validate, the last test.
        labelled: How many training data keep their labels, as equally of each class as there are;
            the others' are missing, for a model that is ``semi_supervised``. None keeps all.
        window: Number of successive rows that a datum is, ``(columns, window)``, of a series with
            ``split: blocks``: every window to train on, and side by side in the other blocks.
    """

    test: Share = 0.2
    stream: FilePath | None = None
    missing: Missing = "refuse"
    """Set by :meth:`load`: whether :meth:`read` may return NaN, for values that are missing."""

    def __init__(
        self,
        binarization: Binarization = "none",
        validation: Share = 0.1,
        seed: Seed = 0,
        standardize: Standardize = "none",
        split: SplitBy = "shuffled",
        labelled: Size | None = None,
        window: Size | None = None,
    ) -> None:
        self.binarization = binarization
        self.validation = validation
        self.seed = seed
        self.standardize = standardize
        self.labelled = labelled
        self.window = window
        self.split: str = split  # EMNIST's own names its files

    def __repr__(self) -> str:
        given = {name: value for name, value in self.declaration.items() if name != "kind"}
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in given.items())})"

    @abstractmethod
    def read(self) -> Raw:
        """The arrays as they are, before any split or draw."""

    def load(self, missing: Missing = "refuse") -> DataSet:
        """The data set, on the CPU; the same one for the same arguments.

        Args:
            missing: Whether values that are missing (NaN) are refused or kept.

        Raises:
            DataError: if the data are missing, damaged, or unfit for what was declared.
        """
        self.missing = missing
        raw = self.read()
        how = Preprocessing(
            self.validation, self.test, self.binarization, self.seed, self.standardize,
            missing=missing, split="blocks" if self.split == "blocks" else "shuffled",
            labelled=self.labelled,
            window=self.window,
        )  # fmt: skip
        raw = replace(raw, name=raw.name or self.kind)
        if self.stream is not None and isinstance(raw.x, Chunks):
            return streamed(raw, how, expanded(self.stream))
        return prepare(raw, how)
