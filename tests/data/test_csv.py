import csv
from contextlib import suppress

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pyro_vae.core.errors import DataError, DeclarationError
from pyro_vae.data import CSV

ROWS = [[i, i / 2, -i * 1e3, ["setosa", "iris"][i % 2]] for i in range(20)]
NAMES = ["a", "b", "c", "kind"]


@pytest.fixture
def write(tmp_path):
    """Writes a table, and returns its path."""

    def table(rows=ROWS, names=NAMES, delimiter=",", encoding="utf-8"):
        path = tmp_path / "table.csv"
        with path.open("w", newline="", encoding=encoding) as file:
            csv.writer(file, delimiter=delimiter).writerows(([names] if names else []) + rows)
        return path

    return table


def whole(path, **arguments):
    return CSV(path, **{"validation": 0, "test": 0} | arguments).load()


def changed(row, column, value):
    rows = [list(cells) for cells in ROWS]
    rows[row][column] = value
    return rows


def test_columns_are_the_datas_values(write):
    data = whole(write(), label="kind")
    assert torch.equal(data.train.x, torch.tensor([row[:3] for row in ROWS]))
    assert data.train.labels.tolist() == [1, 0] * 10
    assert data.identity.name == "table.csv"
    assert data.identity.preprocessing == "none"
    split = CSV(write(), label="kind", validation=3, test=4, seed=2).load()
    assert [len(part) for part in split.splits.values()] == [13, 3, 4]
    assert (
        split.identity == CSV(write(), label="kind", validation=3, test=4, seed=2).load().identity
    )


def test_columns_are_chosen_by_name_and_in_order(write):
    data = whole(write(), columns=["c", "a"])
    assert torch.equal(data.train.x, torch.tensor([[row[2], row[0]] for row in ROWS]))
    assert data.train.labels is None


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_forms_of_the_same_table_are_the_same_data(write, delimiter, encoding):
    one = whole(write(), columns=["a", "b"]).identity
    other = write(delimiter=delimiter, encoding=encoding)
    assert whole(other, columns=["a", "b"], delimiter=delimiter).identity == one


def test_without_a_header_columns_have_numbers(write):
    path = write(rows=[row[:3] for row in ROWS], names=None)
    data = whole(path, header=False, label="0")
    assert torch.equal(data.train.x, torch.tensor([row[1:3] for row in ROWS]))
    assert data.train.labels.tolist() == list(range(20))


def test_labels_that_are_numbers_stay_so(write):
    assert whole(write(), columns=["b"], label="a").train.labels.dtype == torch.int64
    assert whole(write(), columns=["a"], label="b").train.labels.tolist()[1] == 0.5


def test_zscores_are_by_the_training_data(write):
    data = CSV(write(), label="kind", standardize="zscore", test=5).load()
    assert torch.allclose(data.train.x.mean(0), torch.zeros(3), atol=1e-6)
    assert torch.allclose(data.train.x.std(0, correction=0), torch.ones(3), atol=1e-5)
    assert data.identity.preprocessing == "z-scores by the training data"
    assert data.identity != CSV(write(), label="kind", test=5).load().identity


def test_quoted_cells_and_empty_lines_keep_their_places(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text('"a, b",c\n\n 1 ,"2"\n\n3,"x\ny"\n5,6\n')
    with pytest.raises(DataError, match=r"line 6, column 'c': expected a finite number, got 'x"):
        whole(path)
    path.write_text('"a, b",c\n\n 1 ,"2"\n\n3,4\n5,6\n')
    assert whole(path).train.x.tolist() == [[1, 2], [3, 4], [5, 6]]


@pytest.mark.parametrize("missing", ["", "NA", "nan", "?", "  ", "NULL"])
def test_missing_values_name_line_and_column(write, missing):
    message = r"table.csv: line 9, column 'b': expected a finite number, got a missing value; rem"
    with pytest.raises(DataError, match=message):
        whole(write(changed(7, 1, missing)), label="kind")
    with pytest.raises(DataError, match=r"line 9, column 'kind': expected a label, got a missing"):
        whole(write(changed(7, 3, missing)), label="kind")
    assert len(whole(write(changed(7, 1, missing)), columns=["a", "c"]).train) == 20


@pytest.mark.parametrize("value", ["x", "inf", "1e999", "1_000", "1,5", "0x10"])
def test_what_is_no_number_names_line_and_column(write, value):
    message = rf"line 9, column 'b': expected a finite number, got '{value}'; correct it, or leave"
    with pytest.raises(DataError, match=message):
        whole(write(changed(7, 1, value)), label="kind")


@pytest.mark.parametrize(
    ("table", "arguments", "message"),
    [
        (
            {},
            {},
            r"line 2, column 'kind': expected .*got 'setosa' \(20 such rows in this column\)",
        ),
        ({}, {"label": "kid"}, "expected a column 'kid', got a, b, c, kind; did you mean 'kind'?"),
        ({}, {"columns": ["a", "d"]}, "expected a column 'd', got a, b, c, kind"),
        ({}, {"header": False, "columns": ["0"]}, "line 1, column '0': expected .* got 'a'"),
        ({"names": ["1", "2", "3", "4"]}, {}, "names of columns in the first line, got numbers"),
        ({"names": ["a", "b", "a", "kind"]}, {}, "got 'a' 2 times; rename one"),
        ({"rows": [[1, 2, 3]]}, {}, "line 2: expected 4 cells between ',', .* got 3; correct it"),
        ({"rows": [[1, 2, 3, 4, 5]]}, {}, "line 2: expected 4 cells between ',', .* got 5"),
        ({"rows": []}, {}, "expected at least one row of numbers, got none"),
        ({"rows": [], "names": None}, {"header": False}, "expected at least one row of numbers"),
        ({"rows": [[1]], "names": ["y"]}, {"label": "y"}, "a column besides the label 'y', got n"),
        ({"delimiter": ";"}, {"label": "a"}, "expected a column 'a', got a;b;c;kind"),
    ],
)
def test_unfit_tables_are_refused(write, table, arguments, message):
    with pytest.raises(DataError, match=message):
        whole(write(**table), **arguments)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a,b\n1,\xff\n", "in UTF-8, .* cannot be read: .*0xff"),
        (b'a,b\n1,"2\n', "cannot be read: unexpected end of data"),
        (b'a,b\n1,"2"x\n', "cannot be read: ',' expected after '\"'"),
        (b"", "expected at least one row of numbers, got none"),
    ],
)
def test_damaged_files_are_named(tmp_path, content, message):
    (tmp_path / "bad.csv").write_bytes(content)
    with pytest.raises(DataError, match=f"bad.csv: .*{message}"):
        whole(tmp_path / "bad.csv")


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(DataError, match=r"x.csv: expected a table in a file, got no such"):
        whole(tmp_path / "x.csv")
    with pytest.raises(DataError, match="expected a table in a file, got a folder"):
        whole(tmp_path)


@pytest.mark.parametrize("delimiter", ["", ",,", '"', "\n"])
def test_unfit_delimiters_are_refused(delimiter):
    with pytest.raises(DeclarationError, match="delimiter: must be one character"):
        CSV("x.csv", delimiter=delimiter)


@given(content=st.binary(max_size=60) | st.text("ab1,;\n\"' \0", max_size=60).map(str.encode))
@settings(max_examples=150, deadline=None)
def test_any_bytes_are_a_table_or_a_data_error(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(content)
    with suppress(DataError):  # and no other error
        assert np.isfinite(CSV(path).read().x).all()
