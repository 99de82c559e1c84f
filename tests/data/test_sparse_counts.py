from contextlib import suppress

import numpy as np
import pytest
import scipy.sparse
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pyro_vae.core.errors import DataError
from pyro_vae.data import SparseCounts, memory
from pyro_vae.data.sparse_files import read_counts

COUNTS = np.random.default_rng(0).poisson(0.7, (30, 8)) + np.eye(30, 8, dtype=int)
COUNTS[8:, 3] += 1
HELD_OUT = COUNTS[:6] + 1


@pytest.fixture
def save(tmp_path):
    def matrix(counts=COUNTS, name="words.npz", form="csr_matrix"):
        scipy.sparse.save_npz(tmp_path / name, getattr(scipy.sparse, form)(counts))
        return tmp_path / name

    return matrix


def whole(path, **arguments):
    return SparseCounts(path, **{"validation": 0, "test": 0} | arguments).load()


@pytest.mark.parametrize("form", ["csr", "csc", "coo", "bsr", "dia"])
@pytest.mark.parametrize("kind", ["matrix", "array"])
@pytest.mark.parametrize("dtype", [np.int32, np.uint8, np.float64])
def test_every_form_that_scipy_saves_is_read(save, form, kind, dtype):
    data = whole(save(COUNTS.astype(dtype), form=f"{form}_{kind}"))
    assert torch.equal(data.train.x, torch.from_numpy(COUNTS).float())
    assert data.identity.name == "words.npz"
    assert data.identity.preprocessing == "none"


def test_splits(save):
    first, again = (SparseCounts(save(), validation=4, test=5, seed=1).load() for _ in range(2))
    assert [len(split) for split in first.splits.values()] == [21, 4, 5]
    assert first.identity == again.identity


def test_a_test_file_is_kept_whole(save):
    path, other = save(), save(HELD_OUT, "test.npz")
    data = SparseCounts(path, test_path=other, validation=3).load()
    assert [len(split) for split in data.splits.values()] == [27, 3, 6]
    assert torch.equal(data.test.x, torch.from_numpy(HELD_OUT).float())
    narrow = save(HELD_OUT[:, :5], "narrow.npz")
    with pytest.raises(DataError, match=r"test x: expected .* shape \(8,\).* got shape \(6, 5\)"):
        SparseCounts(path, test_path=narrow, validation=3).load()


def test_words_belong_to_columns(save, tmp_path):
    vocab = tmp_path / "vocab.txt"
    vocab.write_text("\n".join("abcdefgh"))
    source = SparseCounts(save(), vocab=vocab)
    data = source.load()
    assert len(data.train) == 21
    assert data.columns == data.to("cpu").columns == source.words() == tuple("abcdefgh")
    assert SparseCounts(save()).words() == SparseCounts(save()).load().columns == ()
    for text, got in (("a\nb", 2), ("", 0)):
        vocab.write_text(text)
        with pytest.raises(
            DataError, match=f"one word for each of the 8 columns .* got {got}; na"
        ):
            source.load()
    vocab.write_bytes(b"\xff")
    with pytest.raises(DataError, match=r"vocab.txt: expected a text file with one word a line"):
        source.load()
    vocab.unlink()
    with pytest.raises(DataError, match=r"vocab.txt: .* got: No such file"):
        source.load()


def test_rows_without_counts_are_refused_or_dropped_with_a_statement(save):
    empty = COUNTS.copy()
    empty[[4, 9]] = 0
    path, other = save(empty), save(empty[:6], "test.npz")
    with pytest.raises(DataError, match=r"got none in 2 of 30 rows, the first in row 4; .*drop"):
        whole(path)
    with pytest.raises(DataError, match=r"test.npz: .* got none in 1 of 6 rows"):
        whole(save(name="other.npz"), test_path=other)
    data = whole(path, test_path=other, empty="drop")
    assert [len(split) for split in data.splits.values()] == [28, 0, 5]
    assert data.identity.preprocessing == "3 empty rows dropped"
    kept = np.delete(empty, [4, 9], axis=0)
    assert torch.equal(data.train.x, torch.from_numpy(kept).float())


@pytest.mark.parametrize(
    ("value", "message"),
    [(0.5, "0.5"), (-1, "-1"), (np.inf, "inf"), (np.nan, "nan")],
)
def test_what_is_no_count_is_named(save, value, message):
    counts = COUNTS.astype(float)
    counts[12, 5] = value
    expected = rf"got others in 1 entries, the first in row 12, column 5: {message}; bring"
    with pytest.raises(DataError, match=expected):
        whole(save(counts))


def test_what_does_not_fit_is_refused_before_it_is_made(save, monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: 1500)
    with pytest.raises(DataError, match=r"words.npz: expected an array that fits .*\(30, 8\)"):
        whole(save())


def test_objects_are_not_unpickled(tmp_path):
    class Bomb:
        def __reduce__(self):
            return SystemExit, (3,)

    parts = {"indices": np.arange(1), "indptr": np.arange(2), "shape": (1, 1), "format": b"csr"}
    for name in ("data", "indices", "shape"):
        bomb = np.array([Bomb()], dtype=object)
        np.savez(tmp_path / "x.npz", **({"data": np.ones(1)} | parts | {name: bomb}))
        with pytest.raises(
            DataError, match=r"Object arrays cannot be loaded when allow_pickle=Fal"
        ):
            whole(tmp_path / "x.npz")


@pytest.mark.parametrize(
    "change",
    [
        {"indices": np.array([0, 99])},
        {"indices": np.array([0, -7])},
        {"indptr": np.array([0, 5])},
        {"indptr": np.array([2, 0])},
        {"format": b"csx"},
        {"shape": (1, -3)},
        {"data": np.array([1j, 2])},
        {"data": np.array(["a", "b"])},
    ],
)
@pytest.mark.parametrize("form", [b"csr", b"csc"])
def test_damaged_indices_are_refused_before_they_are_followed(tmp_path, change, form):
    parts = {"data": np.ones(2), "indices": np.arange(2), "indptr": np.array([0, 2])}
    shape = (1, 3) if form == b"csr" else (3, 1)
    np.savez(tmp_path / "x.npz", **(parts | {"shape": shape, "format": form} | change))
    with pytest.raises(DataError, match=r"x.npz: .*cannot be read: .*save_npz"):
        whole(tmp_path / "x.npz")


def test_files_that_do_not_serve_are_refused(tmp_path):
    np.savez(tmp_path / "dense.npz", x=COUNTS)
    (tmp_path / "text.npz").write_text("<html>")
    for name in ("dense", "text"):
        with pytest.raises(DataError, match=rf"{name}.npz: expected .* sparse matrix of numbers"):
            whole(tmp_path / f"{name}.npz")
    with pytest.raises(DataError, match=r"expected a .npz file with a sparse matrix, got no such"):
        whole(tmp_path / "absent.npz")
    with pytest.raises(
        DataError, match=r"expected a .npz file with a sparse matrix, got a folder"
    ):
        whole(tmp_path)


@given(data=st.data())
@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_damage_anywhere_is_an_array_or_a_data_error(save, data):
    path = save()
    content = bytearray(path.read_bytes())
    position = data.draw(st.integers(0, len(content) - 1))
    content[position] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content[: data.draw(st.integers(position, len(content)))])
    with suppress(DataError):  # and no other error
        assert read_counts(path).ndim == 2


@pytest.mark.data
def test_20_newsgroups(shared_data):
    folder = shared_data / "20news"
    source = SparseCounts(
        folder / "train_bow.npz", folder / "test_bow.npz", folder / "vocab.txt", validation=1000
    )
    data = source.load()
    assert [len(split) for split in data.splits.values()] == [10258, 1000, 7487]
    assert data.event_shape == (1995,)
    assert source.words()[:2] == ("_eos_", "write")
    assert sum(split.x.sum().item() for split in data.splits.values()) == 991_493 + 629_312
    assert data.identity.value_range == (0, 549)
    assert (data.train.x[:, 0] == 0).all()
