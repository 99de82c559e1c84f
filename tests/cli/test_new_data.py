"""New data through a run's model, from a file to a file."""

import shutil

import numpy as np
import pandas
import pytest
import scipy.sparse
import torch

from pyro_vae import (
    anomaly_scores,
    as_dataset,
    embed,
    evaluate,
    importance_sampling,
    load,
    score_samples,
)
from pyro_vae.cli.app import app, guarded
from pyro_vae.cli.runs import open_run

NET = {"kind": "mlp", "hidden": [8]}
NETS = ["model.latent_dim=2", "model.decoder.hidden=[8]", "guide.encoder.hidden=[8]",
        "train.epochs=2", "train.step=pyro", "--no-audit", "-q"]  # fmt: skip


@pytest.fixture(scope="module")
def trained_on_a_table(tmp_path_factory):
    """A run on a table with a label, and new data of it, with its columns in another order."""
    folder = tmp_path_factory.mktemp("tables")
    rng = np.random.default_rng(0)
    frame = pandas.DataFrame(
        rng.normal([50, -3, 0.1], [10, 1, 0.01], (80, 3)), columns=list("abc")
    )
    frame.assign(kind="x").to_csv(folder / "old.csv", index=False)
    frame[["c", "a", "b"]].assign(note="new").to_csv(folder / "new.csv", index=False)
    declared = ["data.kind=csv", f"data.path={folder / 'old.csv'}", "data.label=kind"]
    arguments = ["train", *declared, "data.standardize=zscore", *NETS, "--out", folder / "run"]
    assert guarded(lambda: app(list(map(str, arguments)), standalone_mode=False)) == 0
    return folder, frame


@pytest.fixture
def tables(trained_on_a_table, tmp_path):
    """A copy of it."""
    folder, frame = trained_on_a_table
    return shutil.copytree(folder, tmp_path / "copy"), frame


def test_columns_are_found_by_name_and_values_are_raw(tables, command):
    folder, frame = tables
    out = folder / "z.csv"
    status, text, err = command("encode", folder / "run", folder / "new.csv", "--out", out)
    assert (status, "80 codes of 2 numbers" in text) == (0, True), err
    vae = load(folder / "run")
    z = pandas.read_csv(out)
    assert list(z) == ["z0", "z1"]
    np.testing.assert_allclose(z, embed(vae, frame), rtol=1e-5, atol=1e-6)
    assert not np.allclose(z, embed(vae, frame[["c", "a", "b"]].to_numpy()))  # a planted mistake


def test_scores_are_those_of_python_in_the_units_of_the_file(tables, command):
    folder, frame = tables
    out = folder / "scores.npy"
    arguments = ["score", folder / "run", folder / "new.csv", "--nll", 20]
    status, text, err = command(*arguments, "--out", out)
    assert (status, "nats per datum, in the file's own units" in text) == (0, True), err
    vae = load(folder / "run")
    scores = score_samples(vae, frame, 20)
    np.testing.assert_allclose(np.load(out)[:, 0], scores, rtol=1e-5)
    assert list(scores.index) == list(frame.index)
    x = vae.transform(frame)
    of_z_scores = importance_sampling(vae, x, samples=20).log_evidence.numpy()
    np.testing.assert_allclose(scores, of_z_scores - vae.standardization.scale.log().sum().item())
    np.testing.assert_allclose(score_samples(vae, x, 20), of_z_scores)


@pytest.mark.parametrize("method", ["elbo", "typicality", "likelihood_ratio"])
def test_anomaly_scores_are_those_of_python(method, tables, command):
    folder, frame = tables
    run, new, out = folder / "run", folder / "new.csv", folder / "scores.csv"
    given = ["--background", run] if method == "likelihood_ratio" else []
    arguments = ["score", run, new, "--anomaly", method, "--out", out, *given]
    status, text, err = command(*arguments)
    assert (status, f"80 data by {method}" in text) == (0, True), err
    vae = load(run)
    needs = {
        "elbo": {},
        "typicality": {"data": open_run(run).data},
        "likelihood_ratio": {"background": vae},
    }
    expected = anomaly_scores(vae, frame, method, **needs[method])
    np.testing.assert_allclose(pandas.read_csv(out)[method], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--anomaly", "likelihood_ratio"], "expected --background RUN beside it"),
        (["--background", "RUN"], "expected --anomaly likelihood_ratio beside it"),
        (["--anomaly", "complexity"], "expected pictures of shape"),
        (["--anomaly", "typical"], "'typical' is not one of"),
    ],
)
def test_an_anomaly_score_that_cannot_be_is_refused(given, message, tables, command):
    folder, _ = tables
    status, _, err = command("score", folder / "run", folder / "new.csv", *given)
    assert status == 2
    assert message in " ".join(err.replace("│", " ").split())
    assert "Traceback" not in err


def test_a_tensor_is_scored_as_evaluate_does(trained):
    vae = load(trained)
    data = as_dataset(torch.rand(40, 1, 8, 8), test=0.5)
    scores = score_samples(vae, data.test.x, 300)
    nll = evaluate(vae, data, nll=300).nll
    assert abs(-scores.mean() - nll.value) < 4.42 * 2**0.5 * nll.monte_carlo


def test_pictures_and_sparse_counts(trained, command, tmp_path):
    x = np.random.default_rng(0).uniform(size=(7, 1, 8, 8))
    np.save(tmp_path / "new.npy", x)
    arguments = ["encode", trained, tmp_path / "new.npy", "--out", tmp_path / "z.npy"]
    assert command(*arguments)[0] == 0
    np.testing.assert_allclose(np.load(tmp_path / "z.npy"), embed(load(trained), x), rtol=1e-5)
    counts = np.random.default_rng(0).poisson(2.0, (50, 4)) + 1
    scipy.sparse.save_npz(tmp_path / "counts.npz", scipy.sparse.csr_array(counts))
    path, run = tmp_path / "counts.npz", tmp_path / "run"
    done = command("train", "data.kind=sparse_counts", f"data.path={path}",
                   "model.likelihood=poisson", *NETS, "--out", run)  # fmt: skip
    assert done[0] == 0, done[2]
    assert command("score", run, path, "--out", tmp_path / "s.csv")[0] == 0
    frame = pandas.read_csv(tmp_path / "s.csv")
    sparse = score_samples(load(run), scipy.sparse.csr_array(counts))
    np.testing.assert_allclose(frame["log_p"], sparse, rtol=1e-5)


def test_sparse_data_are_made_dense_a_batch_at_a_time(monkeypatch):
    vae = load_free()
    seen = []
    transform = type(vae).transform
    monkeypatch.setattr(
        type(vae), "transform", lambda self, x: seen.append(x.shape) or transform(self, x)
    )
    x = scipy.sparse.csr_array(np.eye(4)[[0, 1, 2, 3, 0]])
    whole = embed(vae, x.toarray())
    np.testing.assert_allclose(embed(vae, x, batch_size=2), whole, rtol=1e-5, atol=1e-6)
    assert seen[1:] == [(2, 4), (2, 4), (1, 4)]
    assert score_samples(vae, x, batch_size=2).shape == (5,)


def load_free():
    from pyro_vae import VAE

    return VAE((4,), 2, encoder=NET, decoder=NET)


def test_grey_pixels_become_binary_as_the_runs_did(command, tmp_path):
    run = tmp_path / "run"
    assert command("train", "data.binarization=dynamic", "model.likelihood=bernoulli", *NETS,
                   "--out", run)[0] == 0  # fmt: skip
    x = np.random.default_rng(0).uniform(size=(7, 1, 8, 8))
    np.save(tmp_path / "new.npy", x)
    for name in ("one", "two"):
        out = tmp_path / f"{name}.csv"
        assert command("score", run, tmp_path / "new.npy", "--out", out)[0] == 0
    assert (tmp_path / "one.csv").read_text() == (tmp_path / "two.csv").read_text()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("new.txt", "a", "ends in .csv, .parquet, .npy or .npz"),
        ("new.csv", "a,b\n1,2\n", "expected a column 'c', got a, b"),
        ("new.csv", "a,b,c\n1,2,\n", "got a missing value"),
        ("none.csv", None, "no such file"),
        ("new.npz", "PK", "cannot be read"),
    ],
)
def test_what_is_refused(tables, command, name, content, message):
    folder, _ = tables
    if content is not None:
        (folder / name).write_text(content)
    out = folder / "z.csv"
    status, _, err = command("encode", folder / "run", folder / name, "--out", out)
    assert (status, message in err) == (2, True), err
    assert not out.exists()


def test_a_shape_or_a_name_that_does_not_fit(trained, command, tmp_path):
    np.save(tmp_path / "flat.npy", np.zeros((3, 64)))
    status, _, err = command("score", trained, tmp_path / "flat.npy", "--out", tmp_path / "s.csv")
    assert (status, "expected data of shape (1, 8, 8)" in err) == (2, True)
    status, _, err = command("encode", trained, tmp_path / "flat.npy", "--out", tmp_path / "z.txt")
    assert (status, "ends in .csv or .npy" in err) == (2, True)
