"""Data that stream from disk are those in memory, to the bit, whatever their size."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas
import pytest
import torch
from PIL import Image

from pyro_vae import VAE, as_dataset, evaluate, fit, load_data
from pyro_vae.core.errors import DataError, IncompatibleComponents
from pyro_vae.data import chunks, memory, streaming
from pyro_vae.data.chunks import Moments
from pyro_vae.training import amortization
from pyro_vae.training.amortization import starting_data

RNG = np.random.default_rng(0)
ARRAYS = {
    "float32": RNG.normal(size=(103, 5)).astype(np.float32),
    "float64": RNG.normal(size=(103, 5)),
    "float64, some exact": np.concatenate([np.zeros((60, 3)), RNG.normal(size=(40, 3))]),
    "bytes": RNG.integers(0, 256, size=(103, 2, 3), dtype=np.uint8),
    "integers, by column": np.asfortranarray(RNG.integers(0, 9, size=(103, 4))),
}
GREY = RNG.random((103, 1, 4, 4)).astype(np.float32)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    """Chunks of some rows, so that data have many."""
    monkeypatch.setattr(chunks, "VALUES", 40)


def both(tmp_path, **declared):
    """Data in memory, and the same from disk."""
    return load_data(declared), load_data(declared | {"stream": tmp_path / "stream"})


def check_same(one, other, *, exact=True):
    assert one.identity == other.identity
    assert one.columns == other.columns
    for mine, its in zip(one.splits.values(), other.splits.values(), strict=True):
        assert its.streams
        assert mine.dynamic == its.dynamic
        same = {"rtol": 0, "atol": 0 if exact else 1e-6, "equal_nan": True}
        torch.testing.assert_close(its.x, mine.x, **same)
        for name in ("labels", "rows", "condition"):
            value = getattr(mine, name)
            assert (value is None) == (getattr(its, name) is None)
            assert value is None or value.equal(getattr(its, name))


@pytest.mark.parametrize("how", [{}, {"test": 0, "validation": 7}, {"split": "blocks"}])
@pytest.mark.parametrize("kind", ARRAYS)
def test_an_array_is_that_in_memory(tmp_path, kind, how):
    np.save(tmp_path / "x.npy", ARRAYS[kind])
    check_same(*both(tmp_path, kind="array", path=tmp_path / "x.npy", **how))


@pytest.mark.parametrize("binarization", ["threshold", "static", "dynamic"])
def test_draws_are_those_in_memory(tmp_path, binarization):
    np.save(tmp_path / "x.npy", GREY)
    check_same(*both(tmp_path, kind="array", path=tmp_path / "x.npy", binarization=binarization))


@pytest.mark.parametrize("kind", ARRAYS)
def test_z_scores_are_those_in_memory_to_rounding(tmp_path, kind):
    np.save(tmp_path / "x.npy", 1e5 + ARRAYS[kind].astype(np.float64))
    one, other = both(tmp_path, kind="array", path=tmp_path / "x.npy", standardize="zscore")
    check_same(one, other, exact=False)
    for name in ("mean", "scale"):
        expected = getattr(one.standardization, name)
        torch.testing.assert_close(getattr(other.standardization, name), expected)


def test_z_scores_of_one_chunk_are_those_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(chunks, "VALUES", 10**6)
    np.save(tmp_path / "x.npy", ARRAYS["float64"])
    one, other = both(tmp_path, kind="array", path=tmp_path / "x.npy", standardize="zscore")
    check_same(one, other)
    assert one.standardization == other.standardization


@pytest.mark.parametrize("unit", [1e-200, 1.0, 1e200])
def test_moments_add_up_in_any_unit(unit):
    x = torch.from_numpy(3 + RNG.normal(size=(50, 4)))
    x[RNG.random((50, 4)) < 0.2] = torch.nan
    x[:20, 0] = torch.nan  # a first chunk without any
    x[:, 1] = 7.0
    moments = Moments()
    for part in (x * unit).split([20, 1, 0, 29]):
        moments.add(part)
    expected = [f(x.numpy(), axis=0) * unit for f in (np.nanmean, np.nanstd)]
    np.testing.assert_allclose(moments.mean, expected[0], rtol=1e-12)
    np.testing.assert_allclose(moments.spread, expected[1], rtol=1e-12, atol=1e-12 * unit)
    assert moments.varies.tolist() == [True, False, True, True]


@pytest.mark.parametrize("ending", ["parquet", "feather"])
def test_a_folder_of_tables_is_one_table(tmp_path, ending):
    table = pandas.DataFrame(RNG.normal(size=(90, 3)), columns=["a", "b", "c"])
    table["kind"] = ["x", "z", "y"] * 30
    table["dose"] = range(90)
    table.index = pandas.Index(range(100, 190), name="cell")
    table.to_parquet(tmp_path / "whole.parquet", row_group_size=11)
    (tmp_path / "parts").mkdir()
    for number, start in enumerate((0, 40, 41)):
        part = table[start : (40, 41, 90)[number]]
        part = part if ending == "parquet" else part.reset_index(drop=True).rename(columns=str)
        getattr(part, f"to_{ending}")(tmp_path / "parts" / f"{number}.{ending}")
    how = {"kind": "parquet", "label": "kind", "condition": ["dose"], "seed": 3}
    one, other = both(tmp_path, path=tmp_path / "whole.parquet", **how)
    check_same(one, other)
    parts = load_data(how | {"path": tmp_path / "parts", "stream": tmp_path / "stream"})
    check_same(one, parts)
    assert parts.identity.name == "parts"
    assert parts.columns == ("a", "b", "c")
    with pytest.raises(DataError, match=r"got a folder, whose files are read where they stream"):
        load_data(how | {"path": tmp_path / "parts"})


def test_gaps_are_kept_and_counted(tmp_path):
    table = pandas.DataFrame(RNG.normal(size=(90, 3)), columns=["a", "b", "c"])
    table.loc[5:70:3, "b"] = np.nan
    table.to_parquet(tmp_path / "x.parquet")
    declared = {"kind": "parquet", "path": tmp_path / "x.parquet"}
    one, other = (
        load_data(declared | more, missing="keep") for more in ({}, {"stream": tmp_path / "s"})
    )
    check_same(one, other)
    assert "22 of 270 values missing" in other.identity.preprocessing
    with pytest.raises(
        DataError, match=r"row 5, column 'b': expected a finite number, got a miss"
    ):
        load_data(declared | {"stream": tmp_path / "s"})


@pytest.mark.parametrize("how", [{}, {"standardize": "zscore"}])
def test_a_folder_of_images_is_that_in_memory(tmp_path, how):
    for row in range(30):
        (tmp_path / "images" / "ab"[row % 2]).mkdir(parents=True, exist_ok=True)
        pixels = RNG.integers(0, 256, size=(5, 6, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / "ab"[row % 2] / f"{row}.png")
    declared = {"kind": "image_folder", "path": tmp_path / "images", "size": 4} | how
    check_same(*both(tmp_path, **declared), exact=not how)


def test_what_was_written_is_used_until_its_source_changes(tmp_path, monkeypatch):
    path = tmp_path / "x.npy"
    np.save(path, GREY)
    one, other = both(tmp_path, kind="array", path=path)
    write, written = streaming._write, []
    monkeypatch.setattr(streaming, "_write", lambda *a: [written.append(a), write(*a)])
    check_same(one, load_data({"kind": "array", "path": path, "stream": tmp_path / "stream"}))
    assert not written
    assert sorted(p.name for p in (tmp_path / "stream").glob("*/*")) == [
        "identity.json", "test.npy", "train.npy", "validation.npy",
    ]  # fmt: skip
    np.save(path, GREY[:50])
    check_same(*both(tmp_path, kind="array", path=path))
    both(tmp_path, kind="array", path=path, seed=1)
    assert len(written) == 2
    assert other.train.x.equal(one.train.x)  # what is mapped stays as it was


def refused(tmp_path, x, **how):
    np.save(tmp_path / "x.npy", x)
    declared = {"kind": "array", "path": tmp_path / "x.npy", "stream": tmp_path / "s"}
    with pytest.raises(DataError) as caught:
        load_data(declared | how)
    assert not list((tmp_path / "s").glob("*")), "something was left"
    return str(caught.value)


def test_unfit_values_are_refused_and_nothing_is_left(tmp_path, monkeypatch):
    holed = GREY.copy()
    holed[90, 0, 1, 1] = np.nan
    assert "x, its rows counted from 90: expected finite numbers" in refused(tmp_path, holed)
    beyond = "expected intensities in [0, 1], got values from"
    assert beyond in refused(tmp_path, 2 * GREY, binarization="static")
    near = 1e9 + ARRAYS["float64"]
    assert "that float32 can tell apart, got some moved by" in refused(tmp_path, near)
    large = "expected finite numbers, got NaN or infinity (as float32)"
    assert large in refused(tmp_path, 1e200 * ARRAYS["float64"])
    both_ways = {"standardize": "zscore", "binarization": "static"}
    assert "standardized or made binary, not both" in refused(tmp_path, GREY, **both_ways)
    assert "each > 0, got (0, 1, 4, 4)" in refused(tmp_path, GREY[:0])
    assert "each > 0, got (103,)" in refused(tmp_path, GREY[:, 0, 0, 0])
    monkeypatch.setattr(streaming, "BYTES", 10**15)
    assert "GB free; name a folder on another disk (data.stream)" in refused(tmp_path, GREY)


def test_files_that_cannot_stream_are_refused(tmp_path):
    np.savez(tmp_path / "x.npz", x=GREY)
    declared = {"kind": "array", "stream": tmp_path / "s"}
    with pytest.raises(DataError, match=r"expected a \.npy file, .*got a \.npz file; save its"):
        load_data(declared | {"path": tmp_path / "x.npz"})
    np.save(tmp_path / "x.npy", GREY)
    with pytest.raises(DataError, match=r"whose one array has no name"):
        load_data(declared | {"path": tmp_path / "x.npy", "labels": "y"})
    (tmp_path / "x.parquet").write_bytes(b"PAR1, and no more")
    with pytest.raises(DataError, match=r"expected a Parquet file, got one that cannot be read"):
        load_data({"kind": "parquet", "path": tmp_path / "x.parquet", "stream": tmp_path / "s"})


def test_a_damaged_copy_is_named(tmp_path):
    np.save(tmp_path / "x.npy", GREY)
    declared = {"kind": "array", "path": tmp_path / "x.npy", "stream": tmp_path / "s"}
    load_data(declared)
    (place,) = (tmp_path / "s").glob("*/train.npy")
    place.write_bytes(place.read_bytes()[:-4])
    with pytest.raises(DataError, match=r"train\.npy: expected float32 values.*; remove .*again"):
        load_data(declared)


def test_what_does_not_fit_into_memory_says_how_to_stream(tmp_path, monkeypatch):
    np.save(tmp_path / "x.npy", GREY)
    np.savez(tmp_path / "x.npz", x=GREY)
    pandas.DataFrame(GREY.reshape(103, -1)).rename(columns=str).to_parquet(tmp_path / "x.parquet")
    (tmp_path / "images").mkdir()
    Image.new("L", (40, 40)).save(tmp_path / "images" / "1.png")
    monkeypatch.setattr(memory, "available_memory", lambda: 4000)
    for kind, name in {"array": "x.npy", "parquet": "x.parquet", "image_folder": "images"}.items():
        declared = {"kind": kind, "path": tmp_path / name}
        with pytest.raises(DataError, match=r"stream (it|them) from disk \(data\.stream: FOLDER"):
            load_data(declared)
    load_data({"kind": "array", "path": tmp_path / "x.npy", "stream": tmp_path / "s"})
    with pytest.raises(DataError, match=r"save the array with numpy\.save and stream it"):
        load_data({"kind": "array", "path": tmp_path / "x.npz"})


def trained(data, **options):
    torch.manual_seed(0)
    vae = VAE(data.event_shape, 2, decoder={"kind": "mlp", "hidden": [8]}, encoder="mlp")
    settings = {"epochs": 4, "batch_size": 32, "step": "pyro", "show_progress": False}
    result = fit(vae, data, **(settings | options))
    return vae, result


def test_training_scores_and_resuming_are_those_in_memory(tmp_path):
    np.save(tmp_path / "x.npy", ARRAYS["float64"])
    one, other = both(tmp_path, kind="array", path=tmp_path / "x.npy")
    vae, first = trained(one)
    streaming, second = trained(other)
    _, half = trained(other, epochs=2)
    resumed, third = trained(other, resume=half)
    for model in (streaming, resumed):
        for name, value in vae.state_dict().items():
            assert value.equal(model.state_dict()[name])
    told = [{**record, "seconds": 0} for record in first.history]
    for result in (second, third):
        assert [{**record, "seconds": 0} for record in result.history] == told
    scores = [evaluate(vae, data, nll=20, show_progress=False) for data in (one, other)]
    assert scores[0].to_dict() == scores[1].to_dict()


def test_unfit_data_name_the_row_as_it_was_read(tmp_path):
    counts = np.zeros((103, 4))
    counts[80, 2] = 0.5
    np.save(tmp_path / "x.npy", counts)
    data = load_data({"kind": "array", "path": tmp_path / "x.npy", "stream": tmp_path / "s",
                      "split": "blocks", "test": 0, "validation": 0})  # fmt: skip
    found = r"1 value in 1 of 10 rows, .* 0\.5 of those counted from row 80 \(row 80 as it"
    with pytest.raises(IncompatibleComponents, match=found):
        fit(VAE((4,), 2, likelihood="poisson"), data)


def test_data_stream_in_float32(tmp_path):
    np.save(tmp_path / "x.npy", GREY)
    data = load_data({"kind": "array", "path": tmp_path / "x.npy", "stream": tmp_path / "s"})
    with pytest.raises(
        DataError, match=r"float32, in which data stream, got one in torch.float64"
    ):
        fit(VAE((1, 4, 4), 2).double(), data)


def test_a_model_starts_from_some_data_evenly_spaced(monkeypatch):
    train = as_dataset(ARRAYS["float32"], condition=np.arange(103.0)[:, None]).train
    vae = VAE((5,), 2, condition={"kind": "vector", "size": 1})
    given, x = starting_data(vae, train)
    assert x is train.x
    assert given.conditions.equal(train.condition)
    monkeypatch.setattr(amortization, "STARTING", 24)  # values, of 5 a datum
    given, x = starting_data(vae, train)
    index = torch.tensor([0, len(train) // 4, len(train) // 2, 3 * len(train) // 4])
    assert x.equal(train.x[index])
    assert given.conditions.equal(train.condition[index])
    free = as_dataset(ARRAYS["float32"]).train  # parameters for each datum, so all of them
    assert starting_data(VAE((5,), 2, posterior="per_example"), free)[1] is free.x


@pytest.fixture(scope="module")
def of_three_times_the_memory(tmp_path_factory):
    """A file of 144 MB, for processes that have 48 MB more than they need without it."""
    path = tmp_path_factory.mktemp("large") / "x.npy"
    half = np.random.default_rng(0).normal(size=(72 * 2**20 // 4 // 128, 128)).astype(np.float32)
    np.save(path, np.concatenate([half, 1 - half]))
    return path


def started(path, folder, megabytes):
    command = [sys.executable, "-m", "tests.data.larger_than_memory", path, folder, str(megabytes)]
    root = Path(__file__).parents[2]
    known = {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=root, env=os.environ | known, **pipes)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="Linux counts what is not mapped from a file")
def test_data_of_three_times_the_memory_are_trained_scored_and_audited(
    tmp_path, of_three_times_the_memory
):
    stream = started(of_three_times_the_memory, tmp_path / "stream", 48)
    whole = started(of_three_times_the_memory, "", 48)
    out, err = stream.communicate()
    assert stream.returncode == 0, err
    assert json.loads(out)["audit"]
    assert "train 206439, validation 29491, test 58982" in json.loads(out)["identity"]
    assert "expected an array that fits into memory" in whole.communicate()[1]
    assert whole.returncode == 1


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="Linux counts what is not mapped from a file")
def test_under_a_limit_the_numbers_are_those_without(tmp_path, of_three_times_the_memory):
    runs = [started(of_three_times_the_memory, folder, megabytes)
            for folder, megabytes in ((tmp_path / "stream", 48), ("", 0))]  # fmt: skip
    (one, _), (other, _) = (run.communicate() for run in runs)
    assert json.loads(one) == json.loads(other)
