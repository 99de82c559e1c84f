"""SciPy's sparse matrices and pandas' tables, made NumPy arrays without importing either."""

from __future__ import annotations

import sys
from typing import Any, Protocol

import numpy as np

from pyro_vae.core.errors import DataError
from pyro_vae.core.missing import REMEDY, Missing
from pyro_vae.data.memory import check_room

__all__ = ["NUMERIC", "Foreign", "Sparse", "Table", "as_numpy"]

NUMERIC = "biuf"  # NumPy's codes for boolean, signed, unsigned and floating


class Sparse(Protocol):
    """What is used of a SciPy sparse matrix or array."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its dense shape."""

    def toarray(self) -> np.ndarray[Any, Any]:
        """Its dense array."""


class Table(Protocol):
    """What is used of a pandas DataFrame or Series."""

    def to_numpy(self, *args: Any, **kwargs: Any) -> np.ndarray[Any, Any]:
        """Its values."""


Foreign = Sparse | Table


def as_numpy(x: Any, name: str, missing: Missing = "refuse") -> Any:
    """The dense array of a sparse matrix, a DataFrame or a Series; anything else as it is.

    Raises:
        DataError: if a sparse matrix is too large to be dense, or a column of a table holds no
            numbers or misses some.

    Example:
        >>> import scipy.sparse
        >>> as_numpy(scipy.sparse.csr_array([[0, 2]]), "x")
        array([[0., 2.]], dtype=float32)
    """
    sparse, pandas = sys.modules.get("scipy.sparse"), sys.modules.get("pandas")
    if sparse is not None and sparse.issparse(x):
        check_room(x.shape, name, "bring fewer rows or columns")
        if x.dtype.kind not in NUMERIC:
            return x.toarray()
        small = x.astype(np.float32)  # dense only once, where that holds every value
        return (small if (small != x).nnz == 0 else x).toarray()
    if pandas is not None and isinstance(x, pandas.DataFrame):
        return _of_columns(x, name, missing)
    if pandas is not None and isinstance(x, pandas.Series):
        return _of_columns(x.to_frame(), name, missing)[:, 0]
    return x


def _of_columns(table: Any, name: str, missing: Missing) -> np.ndarray[Any, Any]:
    other = [f"{column!r} ({kind})" for column, kind in table.dtypes.items() if _unfit(kind)]
    if other:
        raise DataError(
            f"{name}: expected columns of booleans, integers or real numbers, got others: "
            f"{', '.join(other)}; leave them out, or make numbers of them"
        )
    empty = table.isna().to_numpy()
    if empty.any() and missing == "keep":
        return np.asarray(table.to_numpy(dtype=np.float64, na_value=np.nan))
    if empty.any():
        row, column = np.argwhere(empty)[0]
        raise DataError(
            f"{name}: expected a number in every cell, got none in {empty.any(1).sum()} of "
            f"{len(table)} rows, the first in row {row}, column {table.columns[column]!r}; remove "
            f"these rows, fill in what is missing, {REMEDY}"
        )
    whole = all(kind.kind != "f" for kind in table.dtypes)
    return np.asarray(table.to_numpy(dtype=np.int64 if whole else np.float64))


def _unfit(kind: Any) -> bool:
    return kind.kind not in NUMERIC
