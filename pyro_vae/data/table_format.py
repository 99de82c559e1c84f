"""The columns of a pandas table: as numbers for a model, and back again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Self

import numpy as np

from pyro_vae.core.errors import DataError
from pyro_vae.core.messages import shown

__all__ = ["Column", "TableFormat"]


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Args:
        name: Its name.
        dtype: The name of its pandas type.
        labels: The categories, in order; empty where the column holds numbers.
        ordered: Whether the categories are ordered.
        scaled: Whether the model sees z-scores of it.
        kind: The likelihood that suits it.
    """

    name: str | int
    dtype: str
    labels: tuple[Any, ...] = ()
    ordered: bool = False
    scaled: bool = False
    kind: str = "gaussian"

    @property
    def likelihood(self) -> Any:
        """The declaration of the likelihood that suits it."""
        if self.labels:
            kind = "ordinal" if self.ordered else "categorical"
            return {"kind": kind, "categories": len(self.labels)}
        return {"kind": "gaussian", "scale": "per_dimension"} if self.scaled else self.kind


@dataclass(frozen=True)
class TableFormat:
    """The columns of a table, in order.

    Categories and text become the numbers of their labels, booleans 0 and 1, and an empty cell
    NaN.

    Args:
        columns: What each is.

    Example:
        >>> import pandas
        >>> table = pandas.DataFrame({"size": [1.5, None], "kind": ["b", "a"]})
        >>> how = TableFormat.of(table)
        >>> how.encode(table)
        array([[1.5, 1. ],
               [nan, 0. ]])
        >>> how.likelihood["columns"]["1"]
        {'kind': 'categorical', 'categories': 2}
    """

    columns: tuple[Column, ...]

    @classmethod
    def of(cls, table: Any) -> Self:
        """That of a pandas DataFrame.

        Raises:
            DataError: for columns of other types, and for those with a single category.
        """
        if not table.columns.is_unique or not len(table):
            raise DataError("Expected a table with rows, whose columns have names of their own")
        return cls(tuple(_column(name, table[name]) for name in table))

    @property
    def likelihood(self) -> dict[str, Any]:
        """The declaration of a likelihood for each column, by their types."""
        groups: dict[str, tuple[Any, list[int]]] = {}
        for place, column in enumerate(self.columns):
            groups.setdefault(json.dumps(column.likelihood), (column.likelihood, []))[1].append(
                place
            )
        columns = {_ranges(places): part for part, places in groups.values()}
        return {"kind": "columns", "columns": columns}

    def encode(self, table: Any) -> np.ndarray[Any, Any]:
        """The numbers of a table, ``(N, columns)`` float64.

        Raises:
            DataError: if a column is missing, or holds a label that is none of the categories.
        """
        lost = [column.name for column in self.columns if column.name not in table]
        if lost:
            raise DataError(
                f"x: expected a table with the columns {[c.name for c in self.columns]}, got one "
                f"without {lost}"
            )
        return np.stack([_encoded(column, table[column.name]) for column in self.columns], 1)

    def decode(self, values: np.ndarray[Any, Any], index: Any = None) -> Any:
        """The table of numbers, ``(N, columns)``: integers are rounded."""
        import pandas

        columns = {c.name: _decoded(c, v) for c, v in zip(self.columns, values.T, strict=True)}
        return pandas.DataFrame(columns).set_axis(pandas.RangeIndex(len(values)) if index is None
                                                  else index)  # fmt: skip

    def to_json(self) -> str:
        """As JSON; :meth:`from_json` is the inverse."""
        return json.dumps([asdict(column) for column in self.columns])

    @classmethod
    def from_json(cls, text: str) -> Self:
        """From what :meth:`to_json` wrote."""
        return cls(tuple(Column(**c | {"labels": tuple(c["labels"])}) for c in json.loads(text)))


def _column(name: Any, cells: Any) -> Column:
    import pandas

    kind, dtype = cells.dtype, str(cells.dtype)
    if isinstance(kind, pandas.CategoricalDtype):
        labels, ordered, dtype = kind.categories.tolist(), bool(kind.ordered), "category"
    elif pandas.api.types.is_object_dtype(kind) or pandas.api.types.is_string_dtype(kind):
        labels, ordered = sorted(set(cells.dropna())), False
    elif pandas.api.types.is_bool_dtype(kind):
        return Column(name, dtype, kind="bernoulli")
    elif pandas.api.types.is_integer_dtype(kind) and cells.min() >= 0:
        return Column(name, dtype, kind="negative_binomial")
    elif pandas.api.types.is_numeric_dtype(kind) and not pandas.api.types.is_complex_dtype(kind):
        return Column(name, dtype, scaled=True)
    else:
        raise DataError(
            f"Column {name!r}: expected numbers, booleans, text or categories, got {dtype}; leave "
            f"it out, or make numbers of it"
        )
    if len(labels) < 2 or not all(isinstance(label, str | int | float) for label in labels):
        raise DataError(
            f"Column {name!r}: expected at least 2 categories that are text or numbers, got "
            f"{shown(labels)}; leave it out"
        )
    return Column(name, dtype, tuple(labels), ordered)


def _encoded(column: Column, cells: Any) -> np.ndarray[Any, Any]:
    import pandas

    if not column.labels:
        try:
            return np.asarray(cells.to_numpy(np.float64, na_value=np.nan))
        except (TypeError, ValueError):
            raise DataError(
                f"Column {column.name!r}: expected {column.dtype}, got {cells.dtype}"
            ) from None
    codes = pandas.Index(column.labels).get_indexer(pandas.Index(cells))
    unknown = (codes < 0) & cells.notna().to_numpy()
    if unknown.any():
        raise DataError(
            f"Column {column.name!r}: expected one of {shown(list(column.labels))}, got "
            f"{cells.iloc[int(unknown.argmax())]!r}; correct it, or make it empty"
        )
    return np.where(codes < 0, np.nan, codes)


def _decoded(column: Column, values: np.ndarray[Any, Any]) -> Any:
    import pandas

    if column.labels:
        labels = pandas.Categorical.from_codes(values.astype(np.int64), list(column.labels),
                                               ordered=column.ordered)  # fmt: skip
        return pandas.Series(labels).astype(column.dtype)
    whole = column.kind != "gaussian" or "int" in column.dtype.lower()
    return pandas.Series(np.round(values) if whole else values).astype(column.dtype)


def _ranges(places: Sequence[int]) -> str:
    """Such as ``0-2,5``."""
    ends = [i for i, (a, b) in enumerate(pairwise(places), 1) if b != a + 1]
    runs = [places[a:b] for a, b in pairwise([0, *ends, len(places)])]
    return ",".join(f"{r[0]}-{r[-1]}" if len(r) > 1 else str(r[0]) for r in runs)
