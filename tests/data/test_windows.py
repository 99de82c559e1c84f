"""Windows of a series, whose last dimension is time."""

import numpy as np
import pytest
import torch

from pyro_vae import VAE, as_dataset, fit, load_data
from pyro_vae.core.errors import DataError, DeclarationError

SERIES = np.arange(40.0).reshape(20, 2)
HOW = {"split": "blocks", "validation": 4, "test": 7}


def test_windows_follow_the_blocks():
    data = as_dataset(SERIES, **HOW, window=3)
    assert data.event_shape == (2, 3)
    assert [len(split) for split in data.splits.values()] == [7, 1, 2]
    first_rows = ([0, 1, 2, 3, 4, 5, 6], [9], [13, 16])
    for split, first in zip(data.splits.values(), first_rows, strict=True):
        assert split.rows.tolist() == first
        for x, row in zip(split.x, first, strict=True):
            assert np.array_equal(x, SERIES[row : row + 3].T)
    assert "windows of 3 rows" in str(data.identity.preprocessing)
    apart = as_dataset(SERIES, **HOW)
    assert data.identity.sha256 == apart.identity.sha256
    assert data.identity != apart.identity


def test_a_window_of_one_row_is_the_row():
    one, rows = (as_dataset(SERIES, **HOW, **window) for window in ({"window": 1}, {}))
    for name, split in one.splits.items():
        assert torch.equal(split.x.squeeze(-1), rows.splits[name].x)


def test_blocks_without_rows_stay_empty():
    data = as_dataset(SERIES, split="blocks", validation=0, test=0, window=4)
    assert [tuple(split.x.shape) for split in data.splits.values()] == [
        (17, 2, 4), (0, 2, 4), (0, 2, 4)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"split": "shuffled"}, "window: expected split blocks, got shuffled"),
        ({"standardize": "zscore"}, "standardize none, got zscore"),
        ({"labels": np.zeros(20, int)}, "no labels"),
        ({"condition": np.zeros(20)}, "no condition"),
        ({"x": np.zeros((20, 2, 2))}, r"rows \(channels,\), got \(2, 2\)"),
        ({"window": 5}, "at least 5 rows in the validation split, got 4"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_is_no_series_is_refused(changes, message):
    given = {"x": SERIES, **HOW, "window": 3} | changes
    with pytest.raises(DataError, match=message):
        as_dataset(given.pop("x"), **given)


def test_a_window_is_a_whole_number_above_0():
    with pytest.raises(DeclarationError, match="window: must be > 0, got 0"):
        as_dataset(SERIES, **HOW, window=0)


def test_a_source_takes_windows_and_a_model_of_them_trains(tmp_path):
    counts = np.random.default_rng(0).poisson(2.0, (60, 3))
    counts[5, 1] = 0
    np.save(tmp_path / "x.npy", counts)
    source = {"kind": "array", "path": str(tmp_path / "x.npy"), "split": "blocks", "window": 4}
    data = load_data(source)
    net = {"kind": "temporal_conv", "channels": [4]}
    vae = VAE((3, 4), 8, "gaussian_process", "poisson", net, encoder=net | {"input": "log1p"},
              missing="zero_and_mask")  # fmt: skip
    result = fit(vae, data, epochs=8, batch_size=10, lr=1e-2, show_progress=False)
    losses = [record["elbo"] for record in result.history]
    assert losses[-1] > losses[0]
    assert vae.encode(data.test.x).event_shape == (8,)
