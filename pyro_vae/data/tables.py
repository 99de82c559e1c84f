"""Tables in text files: lines of cells, each with its place for a message."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pyro_vae.core.errors import DataError
from pyro_vae.core.messages import nearest

__all__ = ["Table", "read_table"]

MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "?"})


@dataclass(frozen=True)
class Table:
    """Cells as text.

    Args:
        path: Of the file.
        names: Of the columns.
        rows: Cells, as many in each row as there are names.
        lines: Number of the line that each row ends on, from 1.
    """

    path: Path
    names: list[str]
    rows: list[list[str]]
    lines: list[int]

    def cells(self, name: str) -> list[str]:
        """A column's cells.

        Raises:
            DataError: if there is no such column.
        """
        if name not in self.names:
            raise DataError(
                f"{self.path}: expected a column {name!r}, got {', '.join(self.names)}"
                f"{nearest(name, self.names)}"
            )
        column = self.names.index(name)
        return [row[column] for row in self.rows]

    def numbers(self, name: str) -> np.ndarray[Any, np.dtype[np.float64]]:
        """A column's numbers.

        Raises:
            DataError: naming the first cell that is missing, or is no finite number.
        """
        cells = self.cells(name)
        found = [self.number(cell) for cell in cells]
        if None in found:
            self._refuse(name, cells, [number is None for number in found], "a finite number")
        return np.array(found, dtype=np.float64)

    def texts(self, name: str) -> list[str]:
        """A column's cells, none of them missing.

        Raises:
            DataError: naming the first cell that is.
        """
        cells = self.cells(name)
        missing = [cell.lower() in MISSING for cell in cells]
        if any(missing):
            self._refuse(name, cells, missing, "a label")
        return cells

    @staticmethod
    def number(cell: str) -> float | None:
        """The finite number that a cell says, if it does.

        Example:
            >>> Table.number("1e3"), Table.number("nan"), Table.number("1_000")
            (1000.0, None, None)
        """
        try:
            number = float(cell)
        except ValueError:
            return None
        return number if math.isfinite(number) and "_" not in cell else None

    def _refuse(self, name: str, cells: list[str], bad: list[bool], expected: str) -> None:
        row = bad.index(True)
        missing = cells[row].lower() in MISSING
        got = "a missing value" if missing else repr(cells[row][:40])
        others = f" ({sum(bad)} such rows in this column)" if sum(bad) > 1 else ""
        remedy = "remove such rows, fill them in" if missing else "correct it"
        raise DataError(
            f"{self.path}: line {self.lines[row]}, column {name!r}: expected {expected}, got "
            f"{got}{others}; {remedy}, or leave the column out (data.columns)"
        )


def read_table(path: Path, delimiter: str, *, header: bool) -> Table:
    """A table of at least one row, its rows all of one length; empty lines are passed over.

    Args:
        path: Of the file, in UTF-8.
        delimiter: Between two cells.
        header: Whether the first line names the columns; if not, they are ``0``, ``1``, ...

    Raises:
        DataError: if the file is missing, is no text, or is no such table.
    """
    if not path.is_file():
        what = "a folder" if path.is_dir() else "no such file"
        raise DataError(f"{path}: expected a table in a text file, got {what}")
    try:
        numbered = list(_lines(path, delimiter))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"{path}: expected a table in UTF-8, got a file that cannot be read: {error}"
        ) from None
    names = _names(path, numbered, header)
    body = numbered[1:] if header else numbered
    if not body:
        raise DataError(f"{path}: expected at least one row of numbers, got none")
    for line, row in body:
        if len(row) != len(names):
            raise DataError(
                f"{path}: line {line}: expected {len(names)} cells between {delimiter!r}, as in "
                f"the first line, got {len(row)}; correct it, or name the delimiter "
                "(data.delimiter)"
            )
    return Table(path, names, [row for _, row in body], [line for line, _ in body])


def _lines(path: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        for row in reader:
            if row:
                yield reader.line_num, [cell.strip() for cell in row]


def _names(path: Path, numbered: list[tuple[int, list[str]]], header: bool) -> list[str]:
    first = numbered[0][1] if numbered else []
    if not header:
        return [str(position) for position in range(len(first))]
    if first and all(Table.number(cell) is not None for cell in first):
        raise DataError(
            f"{path}: expected names of columns in the first line, got numbers only: "
            f"{', '.join(first)[:40]}; add the names, or say that there are none "
            "(data.header=false)"
        )
    twice = sorted({name for name in first if first.count(name) > 1})
    if twice:
        raise DataError(
            f"{path}: expected columns with names of their own, got {twice[0]!r} "
            f"{first.count(twice[0])} times; rename one"
        )
    return first
