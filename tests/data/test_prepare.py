import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pyro_vae.core.errors import DataError, DeclarationError
from pyro_vae.data import Raw, as_dataset
from pyro_vae.data.loading import load_data
from pyro_vae.data.prepare import Preprocessing, prepare


def numbered(size=100, event=(2, 3)):
    """Rows that say which they are."""
    return torch.arange(size).reshape(size, *[1] * len(event)).expand(size, *event)


def test_splits_are_disjoint_and_cover_the_data():
    data = as_dataset(numbered(100), validation=0.13, test=25)
    assert [len(split) for split in data.splits.values()] == [62, 13, 25]
    seen = torch.cat([split.x[:, 0, 0] for split in data.splits.values()])
    assert seen.sort().values.tolist() == list(range(100))


def test_rows_and_labels_say_where_each_datum_came_from():
    data = as_dataset(numbered(50), labels=torch.arange(50))
    for split in data.splits.values():
        assert torch.equal(split.x[:, 0, 0], split.rows.float())
        assert torch.equal(split.labels, split.rows)


def test_same_seed_same_splits_other_seed_others():
    first, again, other = (as_dataset(numbered(), seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first.test.rows, again.test.rows)
    assert not torch.equal(first.test.rows, other.test.rows)


@pytest.mark.parametrize("binarization", ["none", "static", "dynamic"])
def test_global_generators_are_neither_read_nor_moved(binarization):
    x = torch.full((40, 5), 0.5)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = as_dataset(x, binarization=binarization)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(1)
    second = as_dataset(x, binarization=binarization)
    assert torch.equal(first.test.x, second.test.x)


@pytest.mark.parametrize(
    "x",
    [
        np.array([[True, False]] * 10),
        np.array([[1, 0]] * 10, dtype=np.uint8),
        np.array([[1, 0]] * 10, dtype=">i4"),
        np.array([[1, 0]] * 10, dtype=np.longdouble),
        torch.tensor([[1, 0]] * 10),
        torch.tensor([[1.0, 0.0]] * 10, dtype=torch.float64, requires_grad=True),
    ],
)
def test_numbers_of_any_type_become_the_same_data(x):
    data = as_dataset(x)
    assert data.train.x.dtype == torch.float32
    assert not data.train.x.requires_grad
    assert data.identity == as_dataset(np.array([[1.0, 0.0]] * 10)).identity


def test_read_only_arrays_are_copied():
    x = np.ones((10, 2))
    x.flags.writeable = False
    as_dataset(x).train.x.zero_()
    assert x.min() == 1


def test_a_data_set_is_passed_through_and_not_split_again():
    data = as_dataset(torch.rand(10, 2))
    assert as_dataset(data) is data
    with pytest.raises(DataError, match="got a data set, whose splits and binarization are set"):
        as_dataset(data, binarization="static")


def test_official_test_set_is_kept_whole():
    raw = Raw(numbered(20), torch.arange(20), test=(numbered(5), torch.arange(5)), name="official")
    data = prepare(raw, Preprocessing(validation=4))
    assert [len(split) for split in data.splits.values()] == [16, 4, 5]
    assert data.test.labels.tolist() == [0, 1, 2, 3, 4]
    pooled = as_dataset(torch.cat([numbered(20), numbered(5)]), validation=4, test=5)
    assert data.identity != pooled.identity


def test_official_test_set_of_another_shape_is_refused():
    raw = Raw(numbered(20), test=(numbered(5, event=(2, 4)), None))
    with pytest.raises(DataError, match=r"test x: expected .* shape \(2, 3\).* got .*\(5, 2, 4\)"):
        prepare(raw, Preprocessing())


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.rand(10), r"expected shape \(N, \*event\).*got \(10,\).*give x\[:, None\]"),
        (torch.tensor(1.0), r"expected shape \(N, \*event\).*got \(\)"),
        (torch.rand(10, 0), r"each > 0, got \(10, 0\)"),
        (torch.rand(0, 3), "expected more than 2 rows .*got 0"),
        (torch.rand(2, 3), r"expected more than 2 rows \(validation 1, test 1, .*got 2"),
        ([[1.0]], "expected a torch.Tensor, a numpy.ndarray, .* or a pandas table, got list"),
        (np.array([["a"]]), "expected booleans, integers or real numbers, got <U1"),
        (np.array([[None]]), "real numbers, got object"),
        (np.array([[1j]]), "real numbers, got complex128"),
        (torch.rand(3, 2).to_sparse(), "expected a dense tensor of real numbers, got torch.sp"),
        (torch.rand(3, 2) + 1j, "expected a dense tensor of real numbers, got .*complex64"),
    ],
)
def test_unfit_arrays_are_refused(x, message):
    with pytest.raises(DataError, match=message):
        as_dataset(x)


def test_rows_that_are_not_finite_are_named():
    x = np.zeros((100, 4))
    x[[3, 5, 8, 13, 21, 34], 2] = np.nan
    x[90] = np.inf
    with pytest.raises(DataError, match=r"in 7 of 100 rows: 3, 5, 8, 13, 21, \.\.\.; remove"):
        as_dataset(x)


def test_masked_values_are_missing():
    with pytest.raises(DataError, match=r"got NaN .* in 1 of 10 rows: 4; remove these rows"):
        as_dataset(np.ma.masked_equal(np.arange(10)[:, None], 4))


def test_numbers_too_large_for_float32_are_refused():
    with pytest.raises(DataError, match=r"infinity \(as float32\) in 1 of 10 rows: 4; remove"):
        as_dataset(np.where(np.arange(10)[:, None] == 4, 1e300, 0.0))


@pytest.mark.parametrize("labels", [torch.arange(9), np.arange(11), torch.tensor(1)])
def test_labels_must_be_as_many_as_rows(labels):
    with pytest.raises(DataError, match="labels of x: expected one for each of the 10 rows, got"):
        as_dataset(torch.rand(10, 2), labels)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ({"validation": 1.0}, "validation: must be a fraction in .0, 1. or a whole number of d"),
        ({"test": -1}, "test: must be a fraction in .0, 1. or a whole number of data, got -1"),
        ({"test": True}, "test: must be a fraction"),
        ({"validation": "half"}, "validation: must be a fraction .*, got 'half'"),
        ({"seed": -1}, "seed: must be >= 0, got -1"),
        ({"binarization": "dynamc"}, "got 'dynamc'; did you mean 'dynamic'"),
    ],
)
def test_unfit_arguments_are_refused(argument, message):
    with pytest.raises(DeclarationError, match=message):
        as_dataset(torch.rand(10, 2), **argument)


@given(
    shape=st.lists(st.integers(0, 6), max_size=4),
    validation=st.integers(0, 4) | st.floats(0, 0.99),
    test=st.integers(0, 4) | st.floats(0, 0.99),
)
@settings(max_examples=150, deadline=None)
def test_any_shape_is_split_whole_or_refused(shape, validation, test):
    try:
        data = as_dataset(torch.zeros(shape), validation=validation, test=test)
    except (DataError, DeclarationError):  # the latter, of a share below 1e-38
        return
    rows = torch.cat([split.rows for split in data.splits.values()])
    assert len(data.train) > 0
    assert rows.sort().values.tolist() == list(range(shape[0]))
    assert data.event_shape == tuple(shape[1:])
    assert (len(data.validation) > 0) == (validation > 0)
    assert (len(data.test) > 0) == (test > 0)


def test_blocks_keep_the_order_of_the_rows_and_are_part_of_the_identity():
    x = numbered(20)
    data = as_dataset(x, validation=3, test=0.25, split="blocks", seed=5)
    rows = [split.rows.tolist() for split in data.splits.values()]
    assert rows == [list(range(12)), list(range(12, 15)), list(range(15, 20))]
    assert "in blocks" in str(data.identity)
    assert data.identity != as_dataset(x, validation=3, test=0.25, seed=5).identity
    with pytest.raises(DeclarationError, match="split: must be shuffled or blocks"):
        as_dataset(x, split="time")


def test_a_source_splits_in_blocks(tmp_path):
    np.save(tmp_path / "x.npy", numbered(20).numpy())
    data = load_data({"kind": "array", "path": str(tmp_path / "x.npy"), "split": "blocks"})
    assert data.test.rows.tolist() == [16, 17, 18, 19]


def test_an_official_test_set_stays_and_blocks_validate_on_the_last_rows():
    raw = Raw(numbered(10), test=(numbered(4), None))
    data = prepare(raw, Preprocessing(validation=2, split="blocks"))
    assert data.validation.rows.tolist() == [8, 9]
    assert len(data.test) == 4
