"""From an array as it was read to a data set: checked, split, made binary, named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor

from pyro_vae.core.errors import DataError
from pyro_vae.core.missing import Missing
from pyro_vae.core.schema import validated
from pyro_vae.data.binarization import Binarization, binarized
from pyro_vae.data.checks import AnyArray, as_event_rows, as_labels, fits_float32, gaps_in_words
from pyro_vae.data.chunks import Chunks
from pyro_vae.data.conditions import as_condition, few_labels, in_words, taken_off
from pyro_vae.data.dataset import DataSet, Split
from pyro_vae.data.identity import Identity, digest
from pyro_vae.data.splits import Share, SplitBy, split_rows
from pyro_vae.data.standardization import ZSCORES, Standardization, Standardize, check_standardize
from pyro_vae.data.streams import stream
from pyro_vae.data.windows import check_windows, windows

__all__ = [
    "Preprocessing",
    "Raw",
    "as_dataset",
    "in_identity",
    "prepare",
]


@dataclass(frozen=True, eq=False)
class Raw:
    """Arrays as a source read them.

    Args:
        x: Values, ``(N, *event)``; in chunks, if they shall stream from disk.
        labels: One for each row, or None.
        test: The official test set as values and labels, where there is one.
        name: What to call the data; by default, the source's kind.
        validation: The official validation set as values and labels, where there is one.
        preprocessing: What the source did to the values in the files, in words, if anything.
        columns: Names of the positions of an event, if they have any.
        condition: Of each datum, ``(N,)`` or ``(N, k)``, if a model shall depend on it.
    """

    x: AnyArray | Chunks
    labels: AnyArray | None = None
    test: tuple[AnyArray, AnyArray | None] | None = None
    name: str = ""
    validation: tuple[AnyArray, AnyArray | None] | None = None
    preprocessing: str = ""
    columns: Sequence[str] = ()
    condition: AnyArray | None = None


@dataclass(frozen=True)
class Preprocessing:
    """What is done to the arrays, and with which seed.

    Args:
        validation: Share of the data to validate on, where there is no official validation set.
        test: Share of the data to test on, where there is no official test set.
        binarization: How grey intensities become 0 or 1.
        seed: Of the split, and of what is drawn once.
        standardize: How each value is shifted and scaled by what was trained on.
        fitted: The training data's own, where that was settled before.
        missing: Whether a value that is missing (NaN) is refused or kept.
        split: Whether the rows are split at random or in blocks, in their order.
        labelled: How many training data keep their labels, as conditions; None leaves labels as
            they are.
        window: How many successive rows a datum is; None for one row, without a time.
    """

    validation: Share = 0.1
    test: Share = 0.2
    binarization: Binarization = "none"
    seed: NonNegativeInt = 0
    standardize: Standardize = "none"
    fitted: Standardization | None = None
    missing: Missing = "refuse"
    split: SplitBy = "shuffled"
    labelled: PositiveInt | None = None
    window: PositiveInt | None = None


def as_dataset(
    x: AnyArray | DataSet,
    labels: AnyArray | None = None,
    *,
    condition: AnyArray | Sequence[str] | None = None,
    validation: int | float = 0.1,
    test: int | float = 0.2,
    binarization: Binarization = "none",
    seed: int = 0,
    standardize: str | Standardization = "none",
    name: str = "array",
    missing: Missing = "refuse",
    split: SplitBy = "shuffled",
    labelled: int | None = None,
    window: int | None = None,
) -> DataSet:
    """A data set from an array of one's own, on the device where the array lives.

    Shapes:
        ``x`` is ``(N, *event)``, ``labels`` is ``(N,)``.

    Args:
        x: Booleans, integers or real numbers, taken as they are, in a tensor, a NumPy array, a
            SciPy sparse matrix or a pandas table; a data set is passed through.
        labels: One for each row, or None.
        condition: What a conditional model is given of each row, ``(N,)`` or ``(N, k)``; or the
            names of columns of a pandas table, which are then no part of x.
        validation: Fraction of the rows in [0, 1), or a whole number of them, to validate on.
        test: Fraction of the rows in [0, 1), or a whole number of them, to test on.
        binarization: ``none``, ``threshold``, ``static`` or ``dynamic``; all but none need
            values in [0, 1].
        seed: Of the split, and of what is drawn once.
        standardize: ``none``, ``zscore``, or the standardization of other data.
        name: What to call the data beside a score.
        missing: ``keep`` takes NaN, and the empty cells of a pandas table, for missing values,
            which a model with ``missing: zero_and_mask`` knows; ``refuse`` is an error.
        split: ``shuffled``, or ``blocks`` in the order of the rows, as for a time series: the
            first train, the next validate, the last test.
        labelled: How many training data keep their labels, as equally of each class as there are;
            the others' are missing, for a model that is ``semi_supervised``. None keeps all.
        window: Number of successive rows that a datum is, ``(columns, window)``, of a series split
            in blocks: every window of the first block to train on, and windows side by side in
            the others, which leave out what fills none at the end.

    Raises:
        DataError: if the array is unfit, with the rows and the reason.
        DeclarationError: if another argument is.

    Example:
        >>> as_dataset(torch.rand(100, 1, 8, 8), name="noise").test
        Split(20 of shape (1, 8, 8))
    """
    given: dict[str, Any] = {
        "validation": validation, "test": test, "binarization": binarization, "seed": seed,
        "missing": missing, "split": split, "labelled": labelled, "window": window,
    }  # fmt: skip
    fitted = standardize if isinstance(standardize, Standardization) else None
    if fitted is None:
        given["standardize"] = standardize
    how = replace(
        Preprocessing(**validated(Preprocessing, given, path="as_dataset")), fitted=fitted
    )
    if isinstance(x, DataSet):
        if (
            labels is not None
            or condition is not None
            or replace(how, missing="refuse") != Preprocessing()
        ):
            raise DataError(
                "as_dataset: expected an array to split and make binary, got a data set, whose "
                "splits and binarization are settled; give its array, or no other argument"
            )
        return x
    array, given_to = taken_off(x, condition)
    columns = tuple(map(str, getattr(array, "columns", ())))  # of a pandas table
    array = array if fitted is None else fitted.encode(array)
    data = prepare(Raw(array, labels, name=name, columns=columns, condition=given_to), how)
    return data.to(x.device) if isinstance(x, Tensor) else data


def prepare(raw: Raw, how: Preprocessing) -> DataSet:
    """The data set of arrays as they were read, on the CPU.

    Each datum is made binary before the split, so that its draw does not depend on the split.

    Raises:
        DataError: if the arrays are unfit for it.
    """
    assert not isinstance(raw.x, Chunks)  # which pyro_vae.data.streaming prepares
    whole = _read(raw.x, raw.labels, "x", how.missing)
    whole = replace(whole, condition=as_condition(raw.condition, len(whole)))
    given = {"validation": raw.validation, "test": raw.test}
    official = {
        name: _like(whole, _read(*arrays, f"{name} x", how.missing), f"{name} x")
        for name, arrays in given.items()
        if arrays is not None
    }
    sources = [whole.x, *(split.x for split in official.values())]
    gaps = gaps_in_words(
        sum(int(x.isnan().sum()) for x in sources),
        sum(int(x.isnan().flatten(1).all(1).sum()) for x in sources),
        sum(map(len, sources)), sum(x.numel() for x in sources), how.binarization,
    )  # fmt: skip
    known = [x[~x.isnan()] for x in sources] if gaps else sources
    shares = {name: 0 if name in official else getattr(how, name) for name in given}
    train, validation, test = split_rows(len(whole), **shares, seed=how.seed, split=how.split)
    if how.window is not None:
        check_windows(
            whole, how.split, how.standardize if how.fitted is None else "that of a model"
        )
    standardization, words = _standardization(whole.x.index_select(0, train), how)

    def settled(split: Split, name: str) -> Split:
        """The split in float32, on the scale that the model sees."""
        if standardization is not None:
            return replace(split, x=standardization.transform(split.x, how.missing))
        return replace(split, x=fits_float32(split.x, name, raw.columns))

    whole = settled(whole, "x")
    fixed = _fixed(whole, how, "x")
    dynamic = how.binarization == "dynamic"
    splits = {
        "train": replace(_taken(whole if dynamic else fixed, train), dynamic=dynamic),
        "validation": _taken(fixed, validation),
        "test": _taken(fixed, test),
    } | {
        name: _fixed(settled(split, f"{name} x"), how, f"{name} x")
        for name, split in official.items()
    }
    conditions = [whole.condition]
    if how.labelled is not None:
        splits = few_labels(splits, how.labelled, stream(how.seed, "labelled"))
        conditions = [split.condition for split in splits.values()]
    if how.window is not None:
        splits = {
            name: windows(split, how.window, name, 1 if name == "train" else how.window)
            for name, split in splits.items()
        }
    identity = Identity(
        name=raw.name,
        sha256=digest(sources),
        **{name: len(split) for name, split in splits.items()},
        seed=how.seed,
        value_range=(min(x.min().item() for x in known), max(x.max().item() for x in known)),
        binarization=how.binarization,
        preprocessing=in_identity(raw, how, words, gaps, *conditions),
    )
    return DataSet(**splits, identity=identity, standardization=standardization,
                   columns=tuple(raw.columns) if how.window is None else ())  # fmt: skip


def in_identity(
    raw: Raw, how: Preprocessing, standardized: str, gaps: str, *given: Tensor | None
) -> str:
    """What was done to the data on their way from the files, in words."""
    blocks = "split in blocks, in the order of the rows" if how.split == "blocks" else ""
    if how.window is not None:
        blocks += f"; windows of {how.window} rows, side by side but to train on"
    known = [each for each in given if each is not None]
    conditions = in_words(*known) if known else ""
    if how.labelled is not None:
        conditions = f"{how.labelled} training data labelled; {conditions}"
    words = (raw.preprocessing, standardized, gaps, blocks, conditions)
    return "; ".join(filter(None, words)) or "none"


def _standardization(train: Tensor, how: Preprocessing) -> tuple[Standardization | None, str]:
    """How the data are standardized, and in words."""
    if how.fitted is not None and not how.fitted.is_fitted:
        return Standardization.of(train, how.fitted.table), "columns of several kinds"
    if how.fitted is not None:
        return how.fitted, "z-scores by the model's training data"
    if how.standardize == "none":
        return None, ""
    check_standardize(how.standardize, how.binarization)
    return Standardization.of(train), ZSCORES


def _read(x: AnyArray, labels: AnyArray | None, name: str, missing: Missing) -> Split:
    """An array that has been checked, with all of its rows."""
    rows = as_event_rows(x, name, missing)
    return Split(
        rows, as_labels(labels, len(rows), f"labels of {name}"), rows=torch.arange(len(rows))
    )


def _like(train: Split, other: Split, name: str) -> Split:
    """An official split, if its data have the shape of the training data."""
    if train.x.shape[1:] != other.x.shape[1:] or len(other) == 0:
        raise DataError(
            f"{name}: expected at least 1 datum of shape {tuple(train.x.shape[1:])}, as in x, "
            f"got shape {tuple(other.x.shape)}"
        )
    return other


def _fixed(split: Split, how: Preprocessing, name: str) -> Split:
    """The split as it is scored: made binary once."""
    generator = stream(how.seed, f"binarization of {name}")
    return replace(split, x=binarized(split.x, how.binarization, generator))


def _taken(split: Split, rows: Tensor) -> Split:
    """The split's data at these rows, in order; all of them are not copied."""
    if len(rows) == len(split):
        return split
    labels = None if split.labels is None else split.labels[rows]
    x = split.x.index_select(0, rows)  # sparse, if it was
    return Split(x, labels, rows=rows, condition=split.conditions(rows))
