"""A standardization is part of the data, of the model trained on them, and of its folder."""

import numpy as np
import pandas
import pytest
import torch
from typer.testing import CliRunner

from pyro_vae import VAE, DataSet, as_dataset, evaluate, fit, load, load_data, save
from pyro_vae.cli.app import app
from pyro_vae.core.errors import CheckpointError, DataError, IncompatibleComponents
from pyro_vae.experiment.run_folder import RunFolder

RNG = np.random.default_rng(0)
RAW = np.stack([RNG.normal(2459000.5, 2, 300), RNG.normal(-3e-9, 1e-9, 300)], axis=1)
MEAN, SCALE = RAW.mean(0), RAW.std(0)


@pytest.fixture(scope="module")
def data():
    return as_dataset(RAW, standardize="zscore", validation=0, test=0)


@pytest.fixture(scope="module")
def trained(data):
    torch.manual_seed(0)
    vae = VAE(event_shape=(2,), latent_dim=1)
    fit(vae, data, epochs=3, show_progress=False)
    return vae


def test_zscores_are_numpys(data):
    expected = (RAW - MEAN) / SCALE
    assert np.abs(data.train.x.numpy() - expected).max() < 1e-6
    assert np.abs(data.transform(RAW).numpy() - expected).max() < 1e-6
    assert np.allclose(data.inverse(data.train.x).numpy(), RAW, rtol=1e-6, atol=1e-16)
    assert data.to("cpu").standardization == data.standardization


@pytest.mark.parametrize("factor", [1e-200, 1e-60, 1.0, 1e60, 1e200])
def test_zscores_do_not_depend_on_the_unit(factor):
    x = RNG.normal(size=(100, 1))
    one, other = (as_dataset(x * f, standardize="zscore").train.x for f in (1.0, factor))
    assert torch.allclose(one, other, atol=1e-5)


def test_what_float32_cannot_tell_apart_is_refused_by_the_columns_name():
    table = pandas.DataFrame({"row": np.arange(300.0), "day": RAW[:, 0]})
    with pytest.raises(DataError, match=r"\d+ left of 300 in column 'day'.*standardize=zscore"):
        as_dataset(table)
    with pytest.raises(DataError, match=r"1 left of 300 in column \(0,\)"):
        as_dataset(1e8 + RNG.normal(size=(300, 1)))
    with pytest.raises(DataError, match=r"1 left of 300 in column"):
        as_dataset(1e-60 * RNG.normal(size=(300, 1)))
    with pytest.raises(DataError, match=r"infinity \(as float32\).*standardize=zscore"):
        as_dataset(1e60 * RNG.normal(size=(300, 1)))
    with pytest.raises(DataError, match=r"whole numbers below 2\^53"):
        as_dataset(np.arange(2**60, 2**60 + 10)[:, None])


def test_unlike_arrays_have_unlike_hashes():
    near = RNG.normal(size=(300, 1))
    hashes = {as_dataset(x).identity.sha256 for x in (near, near + 1e-12, near.astype("f4"))}
    assert len(hashes) == 3
    whole = np.arange(300)[:, None]
    assert as_dataset(whole).identity == as_dataset(whole.astype("f4")).identity


def test_official_splits_are_standardized_by_the_training_data(tmp_path):
    pandas.DataFrame(RAW, columns=["day", "flux"]).to_parquet(tmp_path / "t.parquet")
    declared = {"kind": "parquet", "path": str(tmp_path / "t.parquet"), "standardize": "zscore"}
    data = load_data(declared)
    train = data.inverse(data.train.x).numpy()
    assert np.allclose(data.standardization.mean.numpy(), train.mean(0), rtol=1e-9)
    assert data.identity.preprocessing == "z-scores by the training data"


def test_arrays_and_tables_are_in_the_datas_units_and_tensors_in_the_models(trained, data):
    by_tensor = trained.encode(data.train.x[:5]).mean
    assert torch.allclose(trained.encode(RAW[data.train.rows[:5]]).mean, by_tensor, atol=1e-6)
    table = pandas.DataFrame(RAW[data.train.rows[:5]])
    assert torch.allclose(trained.point_estimate(table), by_tensor, atol=1e-6)
    again = trained.reconstruct(table)
    assert torch.allclose(again, trained.inverse(trained.reconstruct(data.train.x[:5])))
    with pytest.raises(DataError, match=r"x: expected shape \(N, 2\), as standardized"):
        trained.encode(RAW[:, :1])


def test_what_is_generated_is_in_the_datas_units(trained):
    torch.manual_seed(0)
    drawn = trained.generate(500, sample=True).numpy()
    assert np.all(np.abs(drawn.mean(0) - MEAN) < SCALE)
    torch.manual_seed(0)
    scores = trained.generate(500, sample=True, standardized=True)
    assert torch.equal(trained.inverse(scores), torch.from_numpy(drawn))


def test_a_saved_model_keeps_it(trained, tmp_path):
    again = load(save(trained, tmp_path / "model"))
    assert again.standardization == trained.standardization
    assert torch.equal(again.encode(RAW[:5]).mean, trained.encode(RAW[:5]).mean)
    (tmp_path / "model" / "standardization.safetensors").write_bytes(b"damaged")
    RunFolder(tmp_path / "model").accept()
    with pytest.raises(CheckpointError, match=r"standardization.safetensors: expected tensors"):
        load(tmp_path / "model")


def test_scores_of_raw_values_are_those_of_zscores(trained, data):
    one = evaluate(trained, data, split="train")
    other = evaluate(trained, as_dataset(RAW, standardize=trained.standardization, validation=0,
                                         test=0), split="train")  # fmt: skip
    assert one.elbo == other.elbo
    assert "z-scores by the model's training data" in str(other.identity)
    raw = evaluate(trained, RAW)
    assert raw.identity.preprocessing == "z-scores by the model's training data"
    shifted = as_dataset(RAW + 1, standardize="zscore")
    assert isinstance(shifted, DataSet)
    with pytest.raises(IncompatibleComponents, match="standardized by others"):
        evaluate(trained, shifted)
    with pytest.raises(IncompatibleComponents, match="that are not"):
        evaluate(trained, as_dataset(RNG.normal(size=(100, 2))))


def test_a_run_generates_in_the_datas_units(tmp_path):
    pandas.DataFrame(RAW, columns=["day", "flux"]).to_csv(tmp_path / "t.csv", index=False)
    run = CliRunner().invoke(app, [
        "train", f"data.path={tmp_path / 't.csv'}", "data.kind=csv", "data.standardize=zscore",
        "train.epochs=2", "model.latent_dim=1", "--out", str(tmp_path / "run"), "--no-audit", "-q",
    ])  # fmt: skip
    assert run.exit_code == 0, run.output
    out = tmp_path / "x.npy"
    run = CliRunner().invoke(app, ["generate", str(tmp_path / "run"), "--out", str(out)])
    assert run.exit_code == 0, run.output
    assert np.all(np.abs(np.load(out).mean(0) - MEAN) < SCALE)
    run = CliRunner().invoke(app, ["evaluate", str(tmp_path / "run"), "-q"])
    assert run.exit_code == 0, run.output
    assert "z-scores" in run.output
