"""A table in a text file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BeforeValidator

from pyro_vae.core.errors import DataError
from pyro_vae.data.locations import FilePath
from pyro_vae.data.prepare import Raw
from pyro_vae.data.source import Source
from pyro_vae.data.splits import Share
from pyro_vae.data.standardization import Standardize
from pyro_vae.data.tables import Table, read_table

__all__ = ["CSV"]


def _is_delimiter(value: object) -> object:
    if not (isinstance(value, str) and len(value) == 1 and value not in '\r\n"'):
        raise ValueError("one character, such as a comma, a semicolon or a tab")
    return value


class CSV(Source):
    r"""The numeric columns of a table in a text file, one row a datum.

    Nothing is filled in and nothing is guessed: a cell without a finite number is an error that
    names its line and column.

    Shapes:
        each datum is ``(columns,)``.

    Args:
        path: Of the file, in UTF-8.
        columns: Names of the columns to read, in this order; by default all but the label's.
        label: Name of the column of labels; text there is numbered in alphabetical order.
        header: Whether the first line names the columns; if not, they are ``0``, ``1``, ...
        delimiter: Between two cells.
        standardize: ``zscore`` takes each column's mean off and divides by its standard
            deviation, both of the training data; ``none`` leaves the values as they are.
        test: Fraction of the data in [0, 1), or a whole number of them, to test on.

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
        standardize: Standardize = "none",
        test: Share = 0.2,
        **preprocessing: Any,
    ) -> None:
        super().__init__(**preprocessing)
        self.path = path
        self.columns = columns
        self.label = label
        self.header = header
        self.delimiter = delimiter
        self.standardize = standardize
        self.test = test

    def read(self) -> Raw:
        """The columns' values ``(N, columns)`` and the labels, as they are in the file."""
        path = Path(self.path).expanduser()
        table = read_table(path, self.delimiter, header=self.header)
        labels = _labels(table, self.label)
        chosen = self.columns or [name for name in table.names if name != self.label]
        if not chosen:
            raise DataError(
                f"{path}: expected a column besides the label {self.label!r}, got none"
            )
        x = np.stack([table.numbers(name) for name in chosen], axis=1)
        return Raw(x, labels, name=path.name)


def _labels(table: Table, name: str | None) -> np.ndarray[Any, Any] | None:
    """Numbers as they are; texts by their place in alphabetical order."""
    if name is None:
        return None
    cells = table.cells(name)
    if any(table.number(cell) is not None for cell in cells):
        numbers = table.numbers(name)
        whole = (numbers == np.round(numbers)).all()
        return numbers.astype(np.int64) if whole else numbers
    return np.unique(np.array(table.texts(name)), return_inverse=True)[1]
