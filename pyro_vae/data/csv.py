"""A table in a text file."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BeforeValidator

from pyro_vae.core.errors import DataError
from pyro_vae.data.locations import FilePath
from pyro_vae.data.splits import Share
from pyro_vae.data.tables import Table, parsed

__all__ = ["CSV"]


def _is_delimiter(value: object) -> object:
    if not (isinstance(value, str) and len(value) == 1 and value not in '\r\n"'):
        raise ValueError("one character, such as a comma, a semicolon or a tab")
    return value


class CSV(Table):
    r"""The numeric columns of a table in a text file, one row a datum.

    Nothing is filled in and nothing is guessed: a cell without a finite number is an error that
    names its line and column.

    Shapes:
        each datum is ``(columns,)``.

    Args:
        path: Of the file, in UTF-8.
        columns: Names of the columns to read, in this order; by default all but the label's and
            the condition's.
        label: Name of the column of labels; text there is numbered in alphabetical order.
        header: Whether the first line names the columns; if not, they are ``0``, ``1``, ...
        delimiter: Between two cells.
        test: Fraction of the data in [0, 1), or a whole number of them, to test on.
        condition: Names of the columns that a conditional model is given; one alone may be of
            text, as the label's.

    Raises:
        DataError: when it is read, naming the file, the line, the column and what to do.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "iris.csv")
        ...     _ = path.write_text("width,length,kind\n" + "1.5,2.5,setosa\n" * 10)
        ...     CSV(path, label="kind", standardize="zscore").load().train
        Split(7 of shape (2,), labelled)
    """

    def __init__(
        self,
        path: FilePath,
        columns: list[str] | None = None,
        label: str | None = None,
        header: bool = True,
        delimiter: Annotated[str, BeforeValidator(_is_delimiter)] = ",",
        test: Share = 0.2,
        condition: list[str] | None = None,
        **preprocessing: Any,
    ) -> None:
        super().__init__(path, columns, label, test, condition, **preprocessing)
        self.header = header
        self.delimiter = delimiter

    def table(self, path: Path) -> Any:
        """The file's cells as text, by the number of the line that each row ends on."""
        import pandas

        try:  # pandas' own reader fills short rows up without a word
            with path.open(encoding="utf-8-sig", newline="") as file:
                reader = csv.reader(file, delimiter=self.delimiter, strict=True)
                numbered = ((reader.line_num, row) for row in reader if row)
                rows = {line: [cell.strip() for cell in row] for line, row in numbered}
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise DataError(
                f"{path}: expected a table in UTF-8, got a file that cannot be read: {error}"
            ) from None
        lines = list(rows)
        names = self._names(rows[lines[0]], path) if rows else []
        for line, row in rows.items():
            if len(row) != len(names):
                raise DataError(
                    f"{path}: line {line}: expected {len(names)} cells between "
                    f"{self.delimiter!r}, as in the first line, got {len(row)}; correct it, or "
                    "name the delimiter (data.delimiter)"
                )
        skipped = 1 if self.header else 0
        return pandas.DataFrame(
            list(rows.values())[skipped:],
            index=pandas.Index(lines[skipped:], name="line"),
            columns=names,
            dtype=str,
        )

    def _names(self, first: list[str], path: Path) -> list[str]:
        if not self.header:
            return [str(position) for position in range(len(first))]
        if np.isfinite(parsed(first)).all():
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
