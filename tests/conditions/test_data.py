"""Conditions of data: read, taken from labels, part of the identity, trained on, and in runs."""

from __future__ import annotations

import numpy as np
import pandas
import pytest
import torch

from pyro_vae import VAE, as_dataset, compare, embed, evaluate, fit, load, load_data
from pyro_vae.cli.app import app, guarded
from pyro_vae.compiled import backends
from pyro_vae.conditions import Classes, Vector
from pyro_vae.core.errors import DataError, IncompatibleScores
from pyro_vae.data import CSV, Array, Digits
from pyro_vae.data.conditions import conditioned
from pyro_vae.data.dataset import Split
from pyro_vae.data.feed import Resident, Streamed
from tests.variants import NET, small_vae

VECTOR = {"kind": "vector", "size": 2}
SMALL = ["model.latent_dim=2", "model.decoder.hidden=[8]", "guide.encoder.hidden=[8]",
         "train.step=pyro", "-q"]  # fmt: skip


@pytest.fixture
def rows():
    """Data that are a function of their conditions, and noise."""
    rng = torch.Generator().manual_seed(0)
    c = torch.randn(200, 2, generator=rng)
    return torch.cat([c, c.sum(1, keepdim=True)], 1) + 0.1 * torch.randn(200, 3, generator=rng), c


# reading -----------------------------------------------------------------------------------------


def test_conditions_stay_with_their_rows(rows):
    x, c = rows
    data = as_dataset(x, condition=c)
    for split in data.splits.values():
        assert torch.equal(split.condition, c[split.rows])
        assert torch.equal(split.x, x[split.rows])
    assert data.to("cpu").train.condition is not None


def test_columns_of_a_table_are_conditions_and_no_data(tmp_path):
    frame = pandas.DataFrame(
        {"a": range(20), "age": np.linspace(0, 1, 20), "b": 1.5, "sex": ["f", "m"] * 10}
    )
    frame.to_csv(tmp_path / "t.csv", index=False)
    data = CSV(tmp_path / "t.csv", condition=["sex"], label=None, columns=["a", "b"]).load()
    assert (data.columns, data.event_shape) == (("a", "b"), (2,))
    assert data.train.condition.tolist() == [int(row) % 2 for row in data.train.rows]
    both = frame.drop(columns="sex")
    both.to_csv(tmp_path / "t.csv", index=False)
    data = CSV(tmp_path / "t.csv", condition=["age", "b"]).load()
    assert (data.columns, data.train.condition.shape) == (("a",), (14, 2))
    same = as_dataset(both, condition=["age", "b"])
    assert torch.equal(same.train.condition, data.train.condition)
    one = as_dataset(frame[["a", "b", "sex"]], condition="sex")
    assert one.event_shape == (2,)
    assert set(one.train.condition.tolist()) == {0, 1}


def test_an_array_of_a_file_is_the_condition(tmp_path, rows):
    x, c = rows
    np.savez(tmp_path / "a.npz", data=x, covariates=c)
    data = Array(tmp_path / "a.npz", condition="covariates").load()
    assert torch.equal(data.train.condition, c[data.train.rows])
    with pytest.raises(DataError, match="expected an array 'c', got data, covariates"):
        Array(tmp_path / "a.npz", key="data", condition="c").load()


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        (torch.zeros(3), "condition: expected one for each of the 200 rows"),
        (torch.zeros(3, 2), "condition: expected one for each of the 200 rows, got 3"),
        (torch.full((200, 2), torch.nan), "condition: expected finite numbers"),
        ("age", "condition: expected an array, since x has no columns, got 'age'"),
    ],
)
def test_unfit_conditions_are_refused(rows, condition, message):
    with pytest.raises(DataError, match=message):
        as_dataset(rows[0], condition=condition)
    with pytest.raises(DataError, match="expected columns among a, got 'b'"):
        as_dataset(pandas.DataFrame({"a": [1.0] * 9}), condition=["b"])


# identity ----------------------------------------------------------------------------------------


def test_conditions_are_part_of_the_identity(rows):
    x, c = rows
    plain, one, other = (as_dataset(x, condition=given) for given in (None, c, c.flip(0)))
    assert one.identity == as_dataset(x, condition=c).identity
    assert plain.identity != one.identity != other.identity
    digits = Digits().load()
    labelled = conditioned(digits, Classes(10))
    assert labelled.identity != digits.identity
    assert "conditions [sha256 " in str(labelled.identity)
    assert torch.equal(labelled.train.condition, digits.train.labels)
    assert conditioned(labelled, Classes(10)).identity == labelled.identity
    assert digits.train.condition is None  # the caller's stay as they were


@pytest.mark.parametrize(
    ("data", "condition", "message"),
    [
        ((None, None), Vector(2), "got train data without conditions or labels"),
        ((None, 0), None, "Expected data without conditions"),
        ((None, 1), Vector(2), r"condition of train: .* of shape \(N, 2\), got shape \(140, 1\)"),
        ((2, None), Classes(2), r"condition of train \(its labels\): expected classes, whole"),
    ],
)
def test_data_that_do_not_fit_the_model_are_refused(rows, data, condition, message):
    x, c = rows
    labels, number = data
    given = None if number is None else c[:, number : number + 1]
    labels = None if labels is None else torch.full((200,), labels)
    with pytest.raises(DataError, match=message):
        conditioned(as_dataset(x, labels, condition=given), condition)


# training ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("binary", [False, True])
def test_streamed_data_bring_the_same_conditions(rows, binary):
    x, c = rows
    split = Split(x.sigmoid().reshape(200, 3, 1), dynamic=binary, condition=c)
    index = torch.tensor([7, 3, 199])
    resident, streamed = Resident(split, torch.device("cpu")), Streamed(split, torch.device("cpu"))
    torch.manual_seed(0)
    one = resident.arguments(index)
    torch.manual_seed(0)
    other = streamed.arguments(streamed._arrived(*streamed._sent(index)))
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    assert torch.equal(one[1], c[index])


def test_training_uses_the_condition(rows):
    x, c = rows
    torch.manual_seed(0)
    vae = VAE((3,), 1, decoder="linear", encoder="linear", condition=VECTOR)
    settings = {"epochs": 40, "lr": 0.03, "batch_size": 64, "step": "pyro", "show_progress": False}
    data, shuffled = (as_dataset(x, condition=given) for given in (c, c[torch.randperm(200)]))
    other = vae.swap()
    fit(vae, data, **settings)
    fit(other, shuffled, **settings)
    best, worse = (
        evaluate(model, given, show_progress=False).elbo.value
        for model, given in ((vae, data), (other, shuffled))
    )
    assert best > worse + 1
    assert abs(vae.generate(1, condition=[1.0, 2.0])[0, 2] - 3) < 0.5


def test_the_compiled_step_is_pyros(rows, monkeypatch):
    monkeypatch.setattr(backends, "_compiled", lambda capture, options: capture.graph)
    x, c = rows
    data = as_dataset(x, condition=c, validation=0, test=0)
    vae = VAE((3,), 1, decoder="linear", encoder="linear", condition=VECTOR)
    settings = {"epochs": 3, "lr": 0.03, "batch_size": 100, "show_progress": False}
    found = []
    for step in ("pyro", "compiled"):
        torch.manual_seed(0)
        result = fit(vae.swap(), data, step=step, **settings)
        found.append([epoch["elbo"] for epoch in result.history])
    assert "captured in" in result.step
    assert found[1] == pytest.approx(found[0], rel=1e-5)


def test_a_training_goes_on_to_the_same_weights(rows, tmp_path):
    x, c = rows
    data = as_dataset(x, condition=c)
    settings = {"batch_size": 64, "step": "pyro", "show_progress": False}
    torch.manual_seed(0)
    whole = small_vae(condition=VECTOR, prior="conditional")
    halves = small_vae(condition=VECTOR, prior="conditional")
    halves.load_state_dict(whole.state_dict())
    fit(whole, data, epochs=4, **settings)
    result = fit(halves, data, epochs=2, **settings)
    fit(halves, data, epochs=4, resume=result, **settings)
    assert all(map(torch.equal, whole.state_dict().values(), halves.state_dict().values()))


def test_scores_need_the_same_conditions_to_be_compared():
    digits = load_data("digits")
    vae = VAE(digits.event_shape, 2, decoder=NET, encoder=NET,
              condition={"kind": "classes", "count": 10}, prior="conditional")  # fmt: skip
    plain = vae.swap(prior="standard_normal", condition=None)
    one, other, third = (
        evaluate(model, digits, data_count=20, nll=3, show_progress=False)
        for model in (vae, vae.swap(), plain)
    )
    assert compare({"one": one, "other": other}).verdicts
    with pytest.raises(IncompatibleScores, match="conditions"):
        compare({"one": one, "plain": third})


# runs --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run on a table whose rows are around their class's number."""
    folder = tmp_path_factory.mktemp("conditions")
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 3, 120)
    frame = pandas.DataFrame(10.0 * kind[:, None] + rng.normal(size=(120, 2)), columns=["a", "b"])
    frame.assign(kind=kind).to_csv(folder / "t.csv", index=False)
    arguments = ["train", "data.kind=csv", f"data.path={folder / 't.csv'}", "data.label=kind",
                 "model.condition={kind: classes, count: 3}", *SMALL, "train.epochs=60",
                 "train.lr=0.03", "--no-audit", "--out", folder / "run"]  # fmt: skip
    assert guarded(lambda: app(list(map(str, arguments)), standalone_mode=False)) == 0
    return folder


def test_a_run_loads_and_generates_by_class(run, command, tmp_path):
    vae = load(run / "run")
    assert vae.condition.kind == "classes"
    assert (run / "run" / "pictures" / "classes.png").is_file()
    out = tmp_path / "x.npy"
    status, _, err = command("generate", run / "run", "--condition", 2, "-n", 50, "--out", out)
    assert status == 0, err
    assert abs(np.load(out).mean() - 20) < 4
    for given, message in [
        ([], "--condition: expected one, since the run's model depends on it"),
        (["--condition", 3], "condition: expected classes, whole numbers from 0 to 2, got 3"),
        (["--condition", "1,2"], "got shape (2,)"),
        (["--condition", "two"], "--condition: expected a class, such as 3, or numbers"),
    ]:
        status, _, err = command("generate", run / "run", *given, "-n", 5, "--out", out)
        assert status == 2
        assert message in err


def test_a_run_is_audited_and_scored(run, command):
    assert command("audit", run / "run", "--data", 6, "--particles", 200)[0] == 0
    status, text, err = command("evaluate", run / "run", "--nll", 5, "--data-count", 5)
    assert (status, "conditions [sha256" in text.replace("\n", " ")) == (0, True), err


def test_new_data_bring_their_conditions(run, command, tmp_path):
    frame = pandas.read_csv(run / "t.csv")
    status, _, err = command("encode", run / "run", run / "t.csv", "--out", tmp_path / "z.npy")
    assert status == 0, err
    vae = load(run / "run")
    z = embed(vae.given(frame["kind"]), frame[["a", "b"]])
    np.testing.assert_allclose(np.load(tmp_path / "z.npy"), z, rtol=1e-4, atol=1e-5)
    frame.drop(columns="kind").to_csv(tmp_path / "without.csv", index=False)
    status, _, err = command("score", run / "run", tmp_path / "without.csv")
    assert (status, "expected a column 'kind'" in err) == (2, True)
    frame.assign(kind="x").to_csv(tmp_path / "texts.csv", index=False)
    status, _, err = command("encode", run / "run", tmp_path / "texts.csv")
    assert (status, "column 'kind': expected a finite number, got 'x'" in err) == (2, True)


def test_a_run_needs_conditions_in_its_data(run, command, tmp_path):
    declared = ["train", "data.kind=csv", f"data.path={run / 't.csv'}", *SMALL]
    without = [*declared, "model.condition={kind: classes, count: 3}"]
    status, _, err = command(*without, "--out", tmp_path / "run")
    assert (status, "got train data without conditions or labels" in err) == (2, True)
    superfluous = [*declared, "data.condition=[kind]"]
    status, _, err = command(*superfluous, "--out", tmp_path / "run")
    assert (status, "Expected data without conditions" in err) == (2, True)
