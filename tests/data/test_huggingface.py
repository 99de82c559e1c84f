import numpy as np
import pytest
import torch
from PIL import Image

from pyro_vae.core.errors import DataError
from pyro_vae.data import Huggingface
from pyro_vae.data.loading import load_data

datasets = pytest.importorskip("datasets")
SIZES = {"train": 12, "validation": 3, "test": 4}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """A cache of the test's own, and no network."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)


@pytest.fixture
def write(tmp_path):
    """Writes Parquet files of splits, and returns their folder."""

    def folder(columns, sizes=SIZES):
        for split, size in sizes.items():
            table = datasets.Dataset.from_dict(columns(size))
            table.to_parquet(tmp_path / "data" / f"{split}-00000-of-00001.parquet")
        return tmp_path / "data"

    (tmp_path / "data").mkdir()
    return folder


def numbers(size):
    x = np.arange(size * 3.0).reshape(size, 3)
    return {"x": x.tolist(), "age": x[:, 0].tolist(), "label": [i % 2 for i in range(size)]}


def images(size):
    rng = np.random.default_rng(size)
    pixels = rng.integers(0, 256, (size, 6, 5), dtype=np.uint8)
    return {"image": [Image.fromarray(one) for one in pixels]}


def test_a_folder_of_parquet_is_a_data_set(write):
    data = Huggingface(write(numbers), column="x", label="label").load()
    assert [len(split) for split in data.splits.values()] == [12, 3, 4]
    assert torch.equal(data.test.x, torch.arange(12.0).reshape(4, 3))
    assert data.test.labels.tolist() == [0, 1, 0, 1]


def test_a_share_replaces_the_official_validation_set(write):
    declared = {"kind": "huggingface", "path": str(write(numbers)), "column": "x"}
    data = load_data(declared | {"validation": 2})
    assert [len(split) for split in data.splits.values()] == [10, 2, 4]


def test_one_number_a_row_is_an_event_of_one(write):
    assert Huggingface(write(numbers), column="age").load().event_shape == (1,)


def test_images_are_intensities(write):
    data = Huggingface(write(images)).load()
    expected = np.stack([np.asarray(image) for image in images(4)["image"]])[:, None]
    assert torch.equal(data.test.x, torch.from_numpy(expected) / 255)
    small = Huggingface(write(images), size=4, channels=3).load()
    assert small.event_shape == (3, 4, 4)
    assert small.identity.preprocessing == "resized to 4 x 4"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"column": "y"}, "expected the name of a column, got 'y'; choose from x, age, label"),
        ({}, "expected the name of a column, got 'none'; choose from"),
        ({"column": "x", "label": "lable"}, r"did you mean 'label'.*data.label"),
    ],
)
def test_columns_that_are_not_there_are_named(write, arguments, message):
    with pytest.raises(DataError, match=message):
        Huggingface(write(numbers), **arguments).load()


def test_texts_are_refused(write):
    with pytest.raises(DataError, match="expected booleans, integers or real numbers"):
        Huggingface(write(lambda size: {"text": ["a"] * size})).load()


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(DataError, match=r"nowhere.*check its name \(data.path\)"):
        Huggingface(str(tmp_path / "nowhere")).load()


def test_rows_must_be_of_one_shape(write):
    ragged = lambda size: {"x": [[1.0] * (1 + i % 2) for i in range(size)]}  # noqa: E731
    with pytest.raises(DataError, match="real numbers, got object"):
        Huggingface(write(ragged)).load()
