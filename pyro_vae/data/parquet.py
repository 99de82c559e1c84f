"""A table in a Parquet file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pyro_vae.core.errors import DataError
from pyro_vae.data.memory import check_room
from pyro_vae.data.tables import Table

__all__ = ["Parquet"]


class Parquet(Table):
    """The numeric columns of a table in a Parquet file, one row a datum.

    Nothing is filled in and nothing is guessed: a cell without a finite number is an error that
    names its row and column. Needs pyarrow, which ``pip install 'pyro-vae[parquet]'`` brings.

    Shapes:
        each datum is ``(columns,)``.

    Raises:
        DataError: when it is read, naming the file, the row, the column and what to do.

    Example:
        >>> Parquet("cells.parquet", label="batch").declaration["standardize"]
        'none'
    """

    def table(self, path: Path) -> Any:
        """The file's table, by the number of its rows."""
        try:
            import pandas
            import pyarrow.parquet  # pandas' reader
        except ImportError:
            raise DataError(
                f"{path}: expected pyarrow, which reads Parquet, got no such package; install it "
                "(pip install pyarrow)"
            ) from None
        try:
            claim = pyarrow.parquet.read_metadata(path)
            check_room(
                (claim.num_rows, claim.num_columns), str(path), "bring fewer rows or columns"
            )
            cells = pandas.read_parquet(path)
        except DataError:
            raise
        except Exception as error:  # damage may surface as any error of pyarrow
            raise DataError(
                f"{path}: expected a Parquet file, got one that cannot be read: "
                f"{' '.join(str(error).split())}; save it again (DataFrame.to_parquet)"
            ) from None
        cells.index = pandas.RangeIndex(len(cells), name="row")
        return cells.set_axis([str(name) for name in cells], axis=1)
