"""Sparse matrices from files that SciPy's ``save_npz`` wrote, never unpickled."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from pyro_vae.core.errors import DataError
from pyro_vae.data.memory import check_room
from pyro_vae.data.numpy_files import check_claim
from pyro_vae.data.sparse_rows import SparseRows

__all__ = ["read_counts"]


def read_counts(path: Path) -> SparseRows:
    """A file's counts as float32, ``(N, columns)``.

    Raises:
        DataError: if the file is missing, damaged, pickled, too large to be dense, or holds
            others than whole numbers from 0.
    """
    if not path.is_file():
        what = "a folder" if path.is_dir() else "no such file"
        raise DataError(f"{path}: expected a .npz file with a sparse matrix, got {what}")
    matrix = _read(path)
    check_room(matrix.shape, str(path), "bring fewer rows or columns")
    _check_counts(path, matrix)
    return SparseRows.of(matrix)


def _read(path: Path) -> Any:
    """The matrix in compressed rows, with indices that are known to lie within it."""
    from scipy.sparse import load_npz

    try:
        with path.open("rb") as file:
            with zipfile.ZipFile(file) as packed:
                for name in packed.namelist():
                    with packed.open(name) as array:
                        check_claim(f"{path}: {name}", array)
            file.seek(0)
            matrix = load_npz(file)  # SciPy hands allow_pickle=False to NumPy
        if matrix.ndim != 2:
            raise ValueError(f"it has {matrix.ndim} dimensions")
        if matrix.dtype.kind not in "biuf":
            raise ValueError(f"it holds {matrix.dtype}")
        if hasattr(matrix, "check_format"):  # damaged indices would write outside the array
            matrix.check_format(full_check=True)
        return matrix.astype(np.float32 if matrix.dtype.kind == "f" else np.int64).tocsr()
    except DataError:
        raise
    except Exception as error:  # damage may surface as any error of scipy, numpy, zipfile or zlib
        cause = " ".join(str(error).split()) or type(error).__name__
        raise DataError(
            f"{path}: expected a .npz file with a sparse matrix of numbers, got one that cannot "
            f"be read: {cause}; save it again with scipy.sparse.save_npz"
        ) from None


def _check_counts(path: Path, matrix: Any) -> None:
    entries = matrix.tocoo()
    bad = ~((entries.data >= 0) & (entries.data == np.floor(entries.data)))
    bad |= ~np.isfinite(entries.data)
    if bad.any():
        first = int(bad.argmax())
        raise DataError(
            f"{path}: expected counts (whole numbers from 0), got others in {int(bad.sum())} "
            f"entries, the first in row {int(entries.row[first])}, column "
            f"{int(entries.col[first])}: {entries.data[first]:g}; bring counts that are neither "
            "scaled nor transformed"
        )
