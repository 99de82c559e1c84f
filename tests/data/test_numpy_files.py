from contextlib import suppress

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pyro_vae.core.errors import DataError
from pyro_vae.data import Array
from pyro_vae.data.numpy_files import read_arrays

X = np.arange(60, dtype=np.uint8).reshape(20, 3)


@pytest.fixture
def files(tmp_path):
    np.save(tmp_path / "one.npy", X)
    np.savez(tmp_path / "only.npz", counts=X)
    np.savez_compressed(tmp_path / "labelled.npz", x=X, other=X + 1, digit=np.arange(20))
    np.savez(tmp_path / "unnamed.npz", rates=X, counts=X)
    np.save(tmp_path / "pickled.npy", np.array([{"a": 1}], dtype=object))
    np.savez(tmp_path / "pickled.npz", x=np.array([{"a": 1}], dtype=object))
    (tmp_path / "text.npy").write_text("1,2,3")
    (tmp_path / "empty.npy").touch()
    (tmp_path / "folder").mkdir()
    for name in ("one.npy", "only.npz", "labelled.npz"):
        content = (tmp_path / name).read_bytes()
        (tmp_path / f"cut_{name}").write_bytes(content[: len(content) - 40])
    return tmp_path


@pytest.mark.parametrize(
    ("name", "arguments", "labelled"),
    [
        ("one.npy", {}, False),
        ("only.npz", {}, False),
        ("only.npz", {"key": "counts"}, False),
        ("labelled.npz", {}, False),
        ("labelled.npz", {"labels": "digit"}, True),
        ("unnamed.npz", {"labels": "rates"}, True),
    ],
)
def test_values_are_taken_as_they_are(files, name, arguments, labelled):
    data = Array(files / name, test=0, validation=0, **arguments).load()
    assert torch.equal(data.train.x, torch.from_numpy(X).float())
    assert (data.train.labels is not None) == labelled
    assert data.identity.name == name
    assert data.identity.value_range == (0.0, 59.0)


def test_key_chooses_the_array(files):
    data = Array(files / "labelled.npz", key="other", labels="digit", test=0, validation=0).load()
    assert torch.equal(data.train.x[:, 0], torch.arange(1.0, 61, 3))
    assert data.train.labels.tolist() == list(range(20))


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("absent.npy", {}, "absent.npy: expected a .npy or .npz file, got no such file"),
        ("folder", {}, "folder: expected a .npy or .npz file, got a folder"),
        ("text.npy", {}, "got one that begins with 312c322c33"),
        ("empty.npy", {}, "got one that begins with nothing"),
        ("cut_one.npy", {}, "cut_one.npy: .* cannot be read: "),
        ("cut_only.npz", {}, "cut_only.npz: .* cannot be read: File is not a zip file"),
        ("cut_labelled.npz", {}, "cut_labelled.npz: .* cannot be read: "),
        ("pickled.npy", {}, "pickled.npy: .*without pickling, .*Object arrays cannot be loaded"),
        ("pickled.npz", {}, "pickled.npz: .*without pickling, .*Object arrays cannot be loaded"),
        ("unnamed.npz", {}, "one called 'x', got rates, counts; name the one .*data.key"),
        ("unnamed.npz", {"key": "count"}, "an array 'count', got .*; did you mean 'counts'?"),
        ("labelled.npz", {"labels": "digits"}, "'digits', got .*; did you mean 'digit'?"),
        ("one.npy", {"key": "x"}, "an array 'x', got a .npy file, whose one array has no name"),
        ("one.npy", {"labels": "y"}, "an array 'y', got a .npy file"),
    ],
)
def test_files_that_do_not_serve_are_refused(files, name, arguments, message):
    with pytest.raises(DataError, match=message) as caught:
        Array(str(files / name), **arguments).load()
    assert caught.value.__cause__ is None


@given(data=st.data())
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_damage_anywhere_is_an_array_or_a_data_error(files, data):
    name = data.draw(st.sampled_from(["one.npy", "only.npz", "labelled.npz"]))
    content = bytearray((files / name).read_bytes())
    position = data.draw(st.integers(0, len(content) - 1))
    content[position] ^= data.draw(st.integers(1, 255))
    damaged = files / f"damaged_{name}"
    damaged.write_bytes(content[: data.draw(st.integers(position, len(content)))])
    with suppress(DataError):  # and no other error
        x, *_ = read_arrays(damaged)
        assert isinstance(x, np.ndarray)
