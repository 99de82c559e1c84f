"""Tables by pandas: the columns to read, as finite numbers, and the labels."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pyro_vae.core.errors import DataError
from pyro_vae.core.messages import nearest
from pyro_vae.core.missing import REMEDY, Missing
from pyro_vae.data.chunks import Chunks
from pyro_vae.data.locations import FilePath, expanded
from pyro_vae.data.prepare import Raw
from pyro_vae.data.source import Source
from pyro_vae.data.splits import Share

__all__ = ["Table", "parsed"]

MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "?"})


class Table(Source):
    """The numeric columns of a table, one row a datum.

    Nothing is filled in and nothing is guessed: a cell without a finite number is an error that
    names its row and column.

    Args:
        path: Of the file.
        columns: Names of the columns to read, in this order; by default all but the label's and
            the condition's.
        label: Name of the column of labels; text there is numbered in alphabetical order.
        condition: Names of the columns that a conditional model is given; one alone may be of
            text, as the label's.
        test: Fraction of the data in [0, 1), or a whole number of them, to test on.
    """

    def __init__(
        self,
        path: FilePath,
        columns: list[str] | None = None,
        label: str | None = None,
        test: Share = 0.2,
        condition: list[str] | None = None,
        **preprocessing: Any,
    ) -> None:
        super().__init__(**preprocessing)
        self.path = path
        self.columns = columns
        self.label = label
        self.condition = condition
        self.test = test

    @abstractmethod
    def table(self, path: Path) -> Any:
        """The file's table: a pandas DataFrame whose index names the rows for a message.

        Raises:
            DataError: if the file cannot be read.
        """

    def read(self) -> Raw:
        """The columns' values ``(N, columns)`` and the labels, as they are in the file."""
        path = expanded(self.path)
        if not path.is_file():
            what = "a folder" if path.is_dir() else "no such file"
            raise DataError(f"{path}: expected a table in a file, got {what}")
        table = self.table(path)
        if not len(table):
            raise DataError(f"{path}: expected at least one row of numbers, got none")
        labels = None if self.label is None else self._labels(table, self.label, path)
        chosen = self._chosen(table, path)
        x = self._values(table, chosen, path)
        return Raw(
            x, labels, name=path.name, columns=chosen, condition=self._conditions(table, path)
        )

    def chunked(
        self, path: Path, names: Sequence[str], rows: int,
        parts: Callable[[Sequence[str]], Iterator[Any]], key: str,
    ) -> Raw:  # fmt: skip
        """The same of a table that is read in parts.

        Args:
            path: Of the file, or folder.
            names: Of all columns.
            rows: How many there are.
            parts: Begins a pass over some columns: tables, one below the other.
            key: Of the files, as in ``Chunks``.
        """
        if not rows:
            raise DataError(f"{path}: expected at least one row of numbers, got none")
        chosen, beside = self._chosen(names, path), [self.label, *(self.condition or ())]
        for name in filter(None, [*chosen, *beside]):
            _column(dict.fromkeys(names), name, path)
        kept = list(dict.fromkeys(filter(None, beside)))
        labels = conditions = None
        if kept:
            import pandas

            table = pandas.concat(list(parts(kept)))
            labels = None if self.label is None else self._labels(table, self.label, path)
            conditions = self._conditions(table, path)

        def read() -> Iterator[Any]:
            for part in parts(chosen):
                yield self._values(part, chosen, path)

        x = Chunks((rows, len(chosen)), f"{chosen} {key}", read)
        return Raw(x, labels, name=path.name, columns=chosen, condition=conditions)

    def _chosen(self, names: Iterable[str], path: Path) -> list[str]:
        """Names of the columns to read."""
        besides = [self.label, *(self.condition or ())]
        chosen = self.columns or [name for name in names if name not in besides]
        if not chosen:
            raise DataError(
                f"{path}: expected a column besides the label {self.label!r}, got none"
                if self.condition is None
                else f"{path}: expected a column besides {besides!r}, got none"
            )
        return chosen

    def _values(self, table: Any, chosen: Sequence[str], path: Path) -> np.ndarray[Any, Any]:
        columns = (_numbers(_column(table, name, path), path, self.missing) for name in chosen)
        return np.stack(list(columns), axis=1)

    def _conditions(self, table: Any, path: Path) -> np.ndarray[Any, Any] | None:
        if self.condition is None:
            return None
        if len(self.condition) == 1:
            return self._labels(table, self.condition[0], path)
        columns = [_numbers(_column(table, name, path), path) for name in self.condition]
        return np.stack(columns, axis=1)

    def _labels(self, table: Any, name: str, path: Path) -> np.ndarray[Any, Any]:
        """Numbers as they are; texts by their place in alphabetical order."""
        column = _column(table, name, path)
        texts = column.astype(str).str.strip()
        if np.isfinite(parsed(column)).any():
            numbers = _numbers(column, path)
            whole = (numbers == np.round(numbers)).all()
            return numbers.astype(np.int64) if whole else numbers
        _refuse(column, texts.str.lower().isin(MISSING).to_numpy(), "a label", path)
        return np.unique(texts.to_numpy(dtype=str), return_inverse=True)[1]


def _column(table: Any, name: str, path: Path) -> Any:
    if name not in table:
        raise DataError(
            f"{path}: expected a column {name!r}, got {', '.join(map(str, table))}"
            f"{nearest(name, map(str, table))}"
        )
    return table[name]


def parsed(cells: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The numbers that cells say, 1 and 0 where all are true or false; NaN where one says none.

    Example:
        >>> parsed(["1e3", "?", "1_000"])
        array([1000.,   nan,   nan])
    """
    import pandas

    column = pandas.Series(cells)
    truths = column.astype(str).str.lower().map({"true": 1, "false": 0})
    column = truths if len(column) and truths.notna().all() else column
    numbers = pandas.to_numeric(column, errors="coerce")
    return np.asarray(numbers.to_numpy(np.float64, na_value=np.nan))


def _numbers(
    column: Any, path: Path, missing: Missing = "refuse"
) -> np.ndarray[Any, np.dtype[np.float64]]:
    numbers = parsed(column)
    bad = ~np.isfinite(numbers)
    if missing == "keep":
        bad &= ~(column.isna() | column.astype(str).str.strip().str.lower().isin(MISSING))
    _refuse(column, np.asarray(bad), "a finite number", path)
    return numbers


def _refuse(column: Any, bad: np.ndarray[Any, Any], expected: str, path: Path) -> None:
    """Name the first bad cell, if there is one."""
    if not bad.any():
        return
    first = int(bad.argmax())
    cell = str(column.iloc[first]).strip()
    missing = cell.lower() in MISSING or cell == "<NA>"
    remedy = f"remove such rows, fill them in ({REMEDY})"
    others = f" ({bad.sum()} such rows in this column)" if bad.sum() > 1 else ""
    raise DataError(
        f"{path}: {column.index.name} {column.index[first]}, column {column.name!r}: expected "
        f"{expected}, got {'a missing value' if missing else repr(cell[:40])}{others}; "
        f"{remedy if missing else 'correct it'}, or leave the column out (data.columns)"
    )
