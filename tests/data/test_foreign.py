import numpy as np
import pytest
import scipy.sparse
import torch

from pyro_vae.core.errors import DataError
from pyro_vae.data import as_dataset
from pyro_vae.data.loading import load_data

COUNTS = np.arange(60).reshape(20, 3) % 4


@pytest.mark.parametrize("form", ["csr", "csc", "coo", "bsr", "dia", "lil", "dok"])
@pytest.mark.parametrize("kind", ["matrix", "array"])
@pytest.mark.parametrize("dtype", [np.int32, np.float64, bool])
def test_sparse_matrices_are_their_dense_arrays(form, kind, dtype):
    dense = COUNTS.astype(dtype)
    sparse = getattr(scipy.sparse, f"{form}_{kind}")(dense)
    assert as_dataset(sparse).identity == as_dataset(dense).identity
    assert torch.equal(load_data(sparse).train.x, as_dataset(dense).train.x)


def test_sparse_matrices_are_checked_as_others_are():
    x = scipy.sparse.csr_matrix(np.where(COUNTS == 3, np.nan, COUNTS))
    with pytest.raises(DataError, match=r"got NaN or infinity .* in 15 of 20 rows: 1, 2, 3, 5, 6"):
        as_dataset(x)
    with pytest.raises(DataError, match="real numbers, got complex128"):
        as_dataset(scipy.sparse.csr_matrix(COUNTS * 1j))


@pytest.fixture
def pandas():
    return pytest.importorskip("pandas")


def test_tables_are_their_columns(pandas):
    table = pandas.DataFrame({"a": COUNTS[:, 0], "b": COUNTS[:, 1] / 2, "c": COUNTS[:, 2] > 1})
    x = np.stack([COUNTS[:, 0], COUNTS[:, 1] / 2, COUNTS[:, 2] > 1], axis=1)
    data = as_dataset(table, labels=table["a"])
    assert data.identity == as_dataset(x).identity
    assert data.test.labels.tolist() == COUNTS[data.test.rows, 0].tolist()
    assert data.test.labels.dtype == torch.int64
    whole = as_dataset(table[["a"]].astype("Int64"), labels=table["b"].astype("Float64"))
    assert whole.train.labels.is_floating_point()


@pytest.mark.parametrize("missing", [np.nan, None])
def test_missing_cells_are_named(pandas, missing):
    table = pandas.DataFrame({"a": [1.0] * 10, "b": [1.0] * 4 + [missing] * 2 + [1.0] * 4})
    with pytest.raises(
        DataError, match=r"got none in 2 of 10 rows, the first in row 4, column 'b'"
    ):
        as_dataset(table)
    with pytest.raises(DataError, match="row 4, column 'b'"):
        as_dataset(table.astype("Float64"))


def test_columns_without_numbers_are_named(pandas):
    table = pandas.DataFrame({"a": [1.0] * 10, "b": ["x"] * 10, "c": [1j] * 10})
    with pytest.raises(
        DataError, match=r"got others: 'b' \(\w+\), 'c' \(complex128\); leave them"
    ):
        as_dataset(table)


def test_neither_library_is_imported_for_it(monkeypatch):
    import sys

    monkeypatch.delitem(sys.modules, "scipy.sparse", raising=False)
    monkeypatch.setitem(sys.modules, "pandas", None)
    assert len(as_dataset(COUNTS).train) == 14
    assert "scipy.sparse" not in sys.modules
