"""Counts in a sparse matrix: documents by words, cells by genes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pyro_vae.core.errors import DataError
from pyro_vae.core.files import read_file
from pyro_vae.data.locations import FilePath, expanded
from pyro_vae.data.prepare import Raw
from pyro_vae.data.source import Source
from pyro_vae.data.sparse_files import read_counts
from pyro_vae.data.sparse_rows import SparseRows
from pyro_vae.data.splits import Share

__all__ = ["SparseCounts"]

Empty = Literal["refuse", "drop"]


class SparseCounts(Source):
    """Counts in a sparse matrix that SciPy saved as .npz, one row a document (or a cell).

    Rows without a single count are refused, since nothing can be learned or scored there; if they
    are to be dropped, the data's identity says how many were. Nothing is unpickled. The counts
    are held as they are, in compressed rows, and a batch of them is made dense on the device
    (:class:`~pyro_vae.data.sparse_rows.SparseRows`).

    Shapes:
        each datum is ``(columns,)``.

    Args:
        path: Of the file.
        test_path: Of a file to test on, with the same columns; if there is none, a share of the
            first is.
        vocab: Of a text file that names the columns, one a line; they are the data set's
            ``columns``.
        empty: What to do with rows whose counts are all 0: ``refuse`` or ``drop``.
        test: Fraction of the data in [0, 1), or a whole number of them, to test on, where there
            is no ``test_path``.

    Raises:
        DataError: when it is read, if a file is missing, damaged, pickled, or holds no counts.

    Example:
        >>> import tempfile, scipy.sparse
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     counts = scipy.sparse.csr_array([[0, 2, 1]] * 10)
        ...     scipy.sparse.save_npz(f"{folder}/words.npz", counts)
        ...     SparseCounts(f"{folder}/words.npz").load().train
        Split(7 of shape (3,))
    """

    def __init__(
        self,
        path: FilePath,
        test_path: FilePath | None = None,
        vocab: FilePath | None = None,
        empty: Empty = "refuse",
        test: Share = 0.2,
        **preprocessing: Any,
    ) -> None:
        super().__init__(**preprocessing)
        self.path = path
        self.test_path = test_path
        self.vocab = vocab
        self.empty = empty
        self.test = test

    def read(self) -> Raw:
        """The counts, and those to test on if they have a file of their own."""
        path = expanded(self.path)
        x, dropped = _filled(path, read_counts(path), self.empty)
        words = self._words_of(x.shape[1])
        test = None
        if self.test_path is not None:
            other = expanded(self.test_path)
            held_out, more = _filled(other, read_counts(other), self.empty)
            test, dropped = (held_out, None), dropped + more
        how = f"{dropped} empty row{'s' if dropped > 1 else ''} dropped" if dropped else ""
        return Raw(x, test=test, name=path.name, preprocessing=how, columns=words)

    def words(self) -> tuple[str, ...]:
        """What each column counts, from ``vocab``; nothing if there is no such file.

        Raises:
            DataError: if the file cannot be read.
        """
        if self.vocab is None:
            return ()
        path = expanded(self.vocab)
        try:
            return tuple(read_file(path).decode().splitlines())
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(
                f"{path}: expected a text file with one word a line, got: "
                f"{getattr(error, 'strerror', None) or error}"
            ) from None

    def _words_of(self, columns: int) -> tuple[str, ...]:
        words = self.words()
        if self.vocab is not None and len(words) != columns:
            raise DataError(
                f"{self.vocab}: expected one word for each of the {columns} columns of "
                f"{self.path}, got {len(words)}; name the file that belongs to it (data.vocab)"
            )
        return words


def _filled(path: Path, counts: SparseRows, empty: Empty) -> tuple[SparseRows, int]:
    """The rows with counts, and how many others were dropped."""
    bare = counts.starts.diff() == 0
    number = int(bare.sum())
    if not number:
        return counts, 0
    if empty == "refuse":
        raise DataError(
            f"{path}: expected a count in every row, got none in {number} of {len(counts)} rows, "
            f"the first in row {int(bare.nonzero()[0])}; remove them, or drop them here "
            "(data.empty=drop)"
        )
    return counts.rows((~bare).nonzero()[:, 0]), number
