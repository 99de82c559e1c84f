import pytest
import torch

from pyro_vae.core.errors import DataError
from pyro_vae.data import Raw, as_dataset
from pyro_vae.data.prepare import Preprocessing, prepare

X = torch.rand(200, 2, 3, generator=torch.Generator().manual_seed(0)) * 5 + 100


def zscored(x=X, **changes):
    return prepare(Raw(x, **changes), Preprocessing(standardize="zscore"))


def test_training_data_have_mean_0_and_standard_deviation_1():
    train = zscored().train.x
    assert train.dtype == torch.float32
    assert torch.allclose(train.mean(0), torch.zeros(2, 3), atol=1e-5)
    assert torch.allclose(train.std(0, correction=0), torch.ones(2, 3), atol=1e-5)


def test_other_splits_are_on_the_training_datas_scale():
    plain, scaled = as_dataset(X), zscored()
    mean, scale = plain.train.x.mean(0), plain.train.x.std(0, correction=0)
    for name in ("validation", "test"):
        there = scaled.splits[name].x * scale + mean
        assert torch.allclose(there, plain.splits[name].x, atol=1e-3)
    moved = zscored(test=(X + 10, None)).test.x
    assert moved.mean() > 3  # a planted mistake: its own statistics would give 0


def test_what_does_not_vary_is_centred_only():
    x = X.clone()
    x[:, 1, 1] = 0.1  # whose mean is not exact
    assert zscored(x).train.x[:, 1, 1].abs().max() < 1e-6


def test_it_is_part_of_the_identity():
    assert zscored().identity != as_dataset(X).identity
    assert zscored().identity.sha256 == as_dataset(X).identity.sha256
    assert zscored(preprocessing="halved").identity.preprocessing == (
        "halved; z-scores by the training data"
    )


def test_binary_data_are_not_standardized():
    with pytest.raises(DataError, match="zscore: expected binarization none, got dynamic"):
        prepare(Raw(X / 200), Preprocessing(standardize="zscore", binarization="dynamic"))


def test_official_validation_data_are_kept_whole():
    raw = Raw(X, validation=(X[:7] + 1, torch.arange(7)), test=(X[:5], None))
    data = prepare(raw, Preprocessing(validation=0.5, test=0.5))
    assert [len(split) for split in data.splits.values()] == [200, 7, 5]
    assert torch.equal(data.validation.x, X[:7] + 1)
    assert data.validation.labels.tolist() == list(range(7))
    with pytest.raises(DataError, match=r"validation x: expected .* shape \(2, 3\)"):
        prepare(Raw(X, validation=(X[:, :1], None)), Preprocessing())
