"""A table in a Parquet file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pyro_vae.core.errors import DataError
from pyro_vae.data.chunks import key_of, rows_at_once
from pyro_vae.data.locations import FilePath, expanded
from pyro_vae.data.memory import check_room
from pyro_vae.data.prepare import Raw
from pyro_vae.data.splits import Share
from pyro_vae.data.tables import Table

__all__ = ["Parquet"]

FORMATS = {".parquet": "parquet", ".arrow": "ipc", ".feather": "ipc"}
REMEDY = "stream it from disk (data.stream: FOLDER), or bring fewer rows or columns"


class Parquet(Table):
    """The numeric columns of a table in a Parquet file, one row a datum.

    Nothing is filled in and nothing is guessed: a cell without a finite number is an error that
    names its row and column. Needs pyarrow, which ``pip install 'pyro-vae[parquet]'`` brings.

    Shapes:
        each datum is ``(columns,)``.

    Args:
        path: Of the file; or, to stream, of a folder of Parquet files, or of Arrow files
            (.arrow, .feather), in the order of their names.
        columns: Names of the columns to read, in this order; by default all but the label's and
            the condition's.
        label: Name of the column of labels; text there is numbered in alphabetical order.
        condition: Names of the columns that a conditional model is given; one alone may be of
            text, as the label's.
        test: Fraction of the data in [0, 1), or a whole number of them, to test on.
        stream: Folder for float32 copies of the splits, which are mapped from disk instead of
            held in memory; for data larger than that.

    Raises:
        DataError: when it is read, naming the file, the row, the column and what to do.

    Example:
        >>> Parquet("cells.parquet", label="batch").declaration["standardize"]
        'none'
    """

    def __init__(
        self,
        path: FilePath,
        columns: list[str] | None = None,
        label: str | None = None,
        test: Share = 0.2,
        condition: list[str] | None = None,
        stream: FilePath | None = None,
        **preprocessing: Any,
    ) -> None:
        super().__init__(path, columns, label, test, condition, **preprocessing)
        self.stream = stream

    def read(self) -> Raw:
        """The columns' values, in chunks if they stream, and the labels."""
        path = expanded(self.path)
        if self.stream is not None:
            return self._streamed(path)
        if path.is_dir():
            raise DataError(
                f"{path}: expected a table in a file, got a folder, whose files are read where "
                "they stream from disk (data.stream: FOLDER)"
            )
        return super().read()

    def _streamed(self, path: Path) -> Raw:
        with _reading(path):
            import pyarrow.dataset

            files = sorted(p for p in path.rglob("[!._]*") if p.suffix in FORMATS) or [path]
            kinds = {FORMATS.get(file.suffix, "parquet") for file in files}
            if len(kinds) > 1:
                raise DataError(f"{path}: expected files of Parquet or of Arrow, got both")
            table = pyarrow.dataset.dataset([str(file) for file in files], format=kinds.pop())
            rows = table.count_rows()
        index = (table.schema.pandas_metadata or {}).get("index_columns", [])
        names = [name for name in table.schema.names if name not in index]

        def cells(columns: Sequence[str]) -> Iterator[Any]:
            """Tables of these columns, one after the other."""
            import pandas

            start, count = 0, rows_at_once((max(1, len(columns)),))
            with _reading(path):
                scan = table.scanner(
                    columns=list(columns), batch_size=count, batch_readahead=1,
                    fragment_readahead=1, use_threads=False,
                )  # fmt: skip
                for batch in scan.to_batches():
                    part = batch.to_pandas(ignore_metadata=True)
                    end = start + len(part)
                    part.index = pandas.RangeIndex(start, end, name="row")
                    start = end
                    if len(part):
                        yield part

        return self.chunked(path, names, rows, cells, key_of(*files))

    def table(self, path: Path) -> Any:
        """The file's table, by the number of its rows."""
        with _reading(path):
            import pandas
            import pyarrow.parquet  # pandas' reader

            claim = pyarrow.parquet.read_metadata(path)
            check_room((claim.num_rows, claim.num_columns), str(path), REMEDY)
            cells = pandas.read_parquet(path)
        cells.index = pandas.RangeIndex(len(cells), name="row")
        return cells.set_axis([str(name) for name in cells], axis=1)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Say what is wrong with a file that cannot be read."""
    try:
        yield
    except ImportError:
        raise DataError(
            f"{path}: expected pyarrow, which reads Parquet, got no such package; install it "
            "(pip install pyarrow)"
        ) from None
    except DataError:
        raise
    except Exception as error:  # damage may surface as any error of pyarrow
        raise DataError(
            f"{path}: expected a Parquet file, got one that cannot be read: "
            f"{' '.join(str(error).split())}; save it again (DataFrame.to_parquet)"
        ) from None
