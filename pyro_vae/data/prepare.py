"""From an array as it was read to a data set: checked, split, made binary, named."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from pydantic import NonNegativeInt
from torch import Tensor

from pyro_vae.core.errors import DataError
from pyro_vae.core.schema import validated
from pyro_vae.data.binarization import Binarization, binarised
from pyro_vae.data.checks import AnyArray, as_event_rows, as_labels
from pyro_vae.data.dataset import DataSet, Split
from pyro_vae.data.identity import Identity, digest
from pyro_vae.data.splits import Share, split_rows
from pyro_vae.data.streams import stream

__all__ = ["Preprocessing", "Raw", "as_dataset", "prepare"]


@dataclass(frozen=True, eq=False)
class Raw:
    """Arrays as a source read them.

    Args:
        x: Values, ``(N, *event)``.
        labels: One for each row, or None.
        test: The official test set as values and labels, where there is one.
        name: What to call the data; by default, the source's kind.
    """

    x: AnyArray
    labels: AnyArray | None = None
    test: tuple[AnyArray, AnyArray | None] | None = None
    name: str = ""


@dataclass(frozen=True)
class Preprocessing:
    """What is done to the arrays, and with which seed.

    Args:
        validation: Share of the data to validate on.
        test: Share of the data to test on, where there is no official test set.
        binarization: How grey intensities become 0 or 1.
        seed: Of the split, and of what is drawn once.
    """

    validation: Share = 0.1
    test: Share = 0.2
    binarization: Binarization = "none"
    seed: NonNegativeInt = 0


def as_dataset(
    x: AnyArray | DataSet,
    labels: AnyArray | None = None,
    *,
    validation: int | float = 0.1,
    test: int | float = 0.2,
    binarization: Binarization = "none",
    seed: int = 0,
    name: str = "array",
) -> DataSet:
    """A data set from an array of one's own, on the device where the array lives.

    Shapes:
        ``x`` is ``(N, *event)``, ``labels`` is ``(N,)``.

    Args:
        x: Booleans, integers or real numbers, taken as they are; a data set is passed through.
        labels: One for each row, or None.
        validation: Fraction of the rows in [0, 1), or a whole number of them, to validate on.
        test: Fraction of the rows in [0, 1), or a whole number of them, to test on.
        binarization: ``none``, ``threshold``, ``static`` or ``dynamic``; all but none need
            values in [0, 1].
        seed: Of the split, and of what is drawn once.
        name: What to call the data beside a score.

    Raises:
        DataError: if the array is unfit, with the rows and the reason.
        DeclarationError: if another argument is.

    Example:
        >>> as_dataset(torch.rand(100, 1, 8, 8), name="noise").test
        Split(20 of shape (1, 8, 8))
    """
    given: dict[str, Any] = {
        "validation": validation, "test": test, "binarization": binarization, "seed": seed
    }  # fmt: skip
    how = Preprocessing(**validated(Preprocessing, given, path="as_dataset"))
    if isinstance(x, DataSet):
        if labels is not None or how != Preprocessing():
            raise DataError(
                "as_dataset: expected an array to split and make binary, got a data set, whose "
                "splits and binarization are settled; give its array, or no other argument"
            )
        return x
    data = prepare(Raw(x, labels, name=name), how)
    return data.to(x.device) if isinstance(x, Tensor) else data


def prepare(raw: Raw, how: Preprocessing) -> DataSet:
    """The data set of arrays as they were read, on the CPU.

    Each datum is made binary before the split, so that its draw does not depend on the split.

    Raises:
        DataError: if the arrays are unfit for it.
    """
    whole = _read(raw.x, raw.labels, "x")
    official = None if raw.test is None else _read(*raw.test, "test x")
    sources = [whole] if official is None else [whole, _like(whole, official)]
    share = how.test if official is None else 0
    train, validation, test = split_rows(len(whole), how.validation, share, how.seed)
    fixed = _fixed(whole, how, "x")
    dynamic = how.binarization == "dynamic"
    splits = {
        "train": replace(_taken(whole if dynamic else fixed, train), dynamic=dynamic),
        "validation": _taken(fixed, validation),
        "test": _taken(fixed, test) if official is None else _fixed(official, how, "test x"),
    }
    identity = Identity(
        name=raw.name,
        sha256=digest(source.x for source in sources),
        **{name: len(split) for name, split in splits.items()},
        seed=how.seed,
        value_range=(
            min(source.x.min().item() for source in sources),
            max(source.x.max().item() for source in sources),
        ),
        binarization=how.binarization,
    )
    return DataSet(**splits, identity=identity)


def _read(x: AnyArray, labels: AnyArray | None, name: str) -> Split:
    """An array that has been checked, with all of its rows."""
    rows = as_event_rows(x, name)
    return Split(
        rows, as_labels(labels, len(rows), f"labels of {name}"), rows=torch.arange(len(rows))
    )


def _like(train: Split, test: Split) -> Split:
    """The official test set, if its data have the shape of the training data."""
    if train.x.shape[1:] != test.x.shape[1:] or len(test) == 0:
        raise DataError(
            f"test x: expected at least 1 datum of shape {tuple(train.x.shape[1:])}, as in x, "
            f"got shape {tuple(test.x.shape)}"
        )
    return test


def _fixed(split: Split, how: Preprocessing, name: str) -> Split:
    """The split as it is scored: made binary once."""
    generator = stream(how.seed, f"binarization of {name}")
    return replace(split, x=binarised(split.x, how.binarization, generator))


def _taken(split: Split, rows: Tensor) -> Split:
    labels = None if split.labels is None else split.labels[rows]
    return Split(split.x[rows], labels, rows=rows)
