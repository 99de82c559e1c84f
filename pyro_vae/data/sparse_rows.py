"""Data that are mostly zeros, held in compressed rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

__all__ = ["SparseRows"]

aten = torch.ops.aten


class SparseRows(Tensor):
    """A tensor ``(N, D)`` that holds the values of its rows other than 0 (CSR).

    Rows taken out of it, ``x[index]``, are an ordinary tensor on the same device; so is what any
    other operation gives, for which the whole is made dense for a moment. ``x.index_select(0,
    rows)`` and ``x.to(...)`` are sparse again. It cannot be written to.

    Args:
        starts: Where each row starts within ``columns`` and ``values``, and the last ends,
            ``(N + 1,)``.
        columns: Of each value, each once in a row.
        values: Of the rows, one after another.
        width: Number of columns D.

    Example:
        >>> import scipy.sparse
        >>> x = SparseRows.of(scipy.sparse.csr_array([[0.0, 2.0], [1.0, 0.0]]))
        >>> x[torch.tensor([1])], x.sum(), x.shape
        (tensor([[1., 0.]]), tensor(3.), torch.Size([2, 2]))
    """

    starts: Tensor
    columns: Tensor
    values_: Tensor

    @staticmethod
    def __new__(
        cls: type[SparseRows], starts: Tensor, columns: Tensor, values: Tensor, width: int
    ) -> SparseRows:
        """An empty shell of this shape, to which the parts are attached."""
        make: Any = Tensor._make_wrapper_subclass
        shape = (len(starts) - 1, width)
        found: SparseRows = make(cls, shape, dtype=values.dtype, device=values.device)
        found.starts, found.columns, found.values_ = starts, columns, values
        return found

    @classmethod
    def of(cls, matrix: Any) -> SparseRows:
        """That of a matrix of SciPy, as float32."""
        rows = matrix.tocsr().copy()
        rows.sum_duplicates()
        rows.eliminate_zeros()
        return cls(
            torch.from_numpy(rows.indptr.astype(np.int64)),
            torch.from_numpy(rows.indices.astype(np.int32)),
            torch.from_numpy(rows.data.astype(np.float32)),
            rows.shape[1],
        )

    @property
    def bytes_held(self) -> int:
        """How many bytes it takes."""
        return sum(part.nbytes for part in (self.starts, self.columns, self.values_))

    def rows(self, index: Tensor) -> SparseRows:
        """Those at an index, ``(B,)``."""
        counts = self.starts.diff()[index]
        starts = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        moved = (self.starts[:-1][index] - starts[:-1]).repeat_interleave(counts)
        places = moved + torch.arange(len(moved), device=moved.device)
        return SparseRows(starts, self.columns[places], self.values_[places], self.shape[1])

    def dense(self) -> Tensor:
        """As an ordinary tensor."""
        found = self.values_.new_zeros(self.shape)
        numbers = torch.arange(len(self), device=self.device)
        found[numbers.repeat_interleave(self.starts.diff()), self.columns.long()] = self.values_
        return found

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        return f"SparseRows({len(self.values_):,} values in {tuple(self.shape)})"

    def numpy(self, *, force: bool = False) -> Any:
        """As an ordinary array."""
        return self.dense().numpy(force=force)

    def tolist(self) -> Any:
        """As lists of numbers."""
        return self.dense().tolist()

    def __reduce_ex__(self, protocol: Any) -> Any:
        return SparseRows, (self.starts, self.columns, self.values_, self.shape[1])

    def __deepcopy__(self, memo: Any) -> SparseRows:
        return self  # which nothing writes to

    __torch_function__: Any = nn.Parameter.__torch_function__  # none: the dispatch does it all

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """What each operation does: a few stay sparse, the others take the whole as dense."""
        x = args[0] if args else None
        how = OWN.get(func)
        if isinstance(x, cls) and how is not None:
            found = how(x, *args[1:], **(kwargs or {}))
            if found is not NotImplemented:
                return found
        if func._schema.is_mutable and isinstance(x, cls):
            raise RuntimeError(f"Expected a tensor to write to, got {x}; write to x[:]")
        args, kwargs = tree_map_only(cls, cls.dense, (args, kwargs or {}))
        return func(*args, **kwargs)


def _moved(x: SparseRows, *, dtype: Any = None, device: Any = None, **options: Any) -> SparseRows:
    where = device or x.device
    values = x.values_.to(where, dtype)
    return SparseRows(x.starts.to(where), x.columns.to(where), values, x.shape[1])


def _selected(x: SparseRows, dim: int, index: Tensor) -> Any:
    return x.rows(index) if dim in (0, -2) else NotImplemented


def _indexed(x: SparseRows, indices: list[Any]) -> Any:
    index = indices[0]
    if len(indices) != 1 or index is None or index.dim() != 1:
        return NotImplemented
    return x.rows(index.nonzero()[:, 0] if index.dtype == torch.bool else index).dense()


def _sliced(
    x: SparseRows, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Any:
    if dim not in (0, -2):
        return NotImplemented
    rows = range(len(x))[slice(start, end, step)]
    return x.rows(torch.tensor(rows, dtype=torch.int64, device=x.device)).dense()


def _row(x: SparseRows, dim: int, index: int) -> Any:
    if dim not in (0, -2):
        return NotImplemented
    return _sliced(x, 0, index % len(x), index % len(x) + 1)[0]


def _gaps(x: SparseRows) -> SparseRows:
    return SparseRows(x.starts, x.columns, x.values_.isnan(), x.shape[1])


def _counted(x: SparseRows, **options: Any) -> Any:
    exact = x.dtype == torch.bool  # a sum of numbers would depend on their order
    return x.values_.sum(**options) if exact else NotImplemented


def _extreme(func: Any) -> Any:
    def found(x: SparseRows) -> Any:
        held = x.values_
        return func(held if len(held) == x.numel() else torch.cat([held, held.new_zeros(1)]))

    return found


OWN: dict[Any, Any] = {
    aten._to_copy.default: _moved,
    aten.detach.default: lambda x: x,
    aten.index_select.default: _selected,
    aten.index.Tensor: _indexed,
    aten.slice.Tensor: _sliced,
    aten.select.int: _row,
    aten.isnan.default: _gaps,
    aten.sum.default: _counted,
    aten.any.default: lambda x: x.values_.any(),
    aten.min.default: _extreme(torch.min),
    aten.max.default: _extreme(torch.max),
}
