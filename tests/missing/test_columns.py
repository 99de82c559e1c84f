"""Columns of several kinds."""

import math

import numpy as np
import pandas as pd
import pyro.distributions as dist
import pytest
import torch
from scipy import stats

from pyro_vae import VAE, as_dataset, audit_elbo, evaluate, fit, impute, load, save
from pyro_vae.core.errors import DataError, DeclarationError, IncompatibleComponents
from pyro_vae.data.table_format import TableFormat
from pyro_vae.distributions.categorical import Categorical as CategoricalDistribution
from pyro_vae.likelihoods import (
    Bernoulli,
    Beta,
    Categorical,
    Columns,
    Gaussian,
    Ordinal,
    Poisson,
    StudentT,
)
from tests.missing.common import GAPS, with_gaps
from tests.small_models import NET
from tests.variants import stirred

QUIET = {"show_progress": False, "epochs": 2}
MIXED = {
    "kind": "columns",
    "columns": {
        "0,3": "gaussian",
        "1": "bernoulli",
        "2": {"kind": "categorical", "categories": 3},
        "4-5": "poisson",
        "7": "beta",
        "8": {"kind": "ordinal", "categories": 4},
        "*": {"kind": "student_t", "scale": "heteroscedastic"},
    },
}


def mixed(**parts):
    torch.manual_seed(0)
    parts = {"decoder": NET, "encoder": NET} | parts
    return stirred(VAE((9,), 2, likelihood=MIXED, **parts))


@pytest.fixture
def frame():
    rng = np.random.default_rng(0)
    group = rng.integers(0, 3, 120)
    table = pd.DataFrame(
        {
            "size": rng.normal(3 * group, 1),
            "kind": pd.Categorical.from_codes(group, ["low", "mid", "high"], ordered=True),
            "count": pd.array(rng.poisson(2 + 3 * group), dtype="Int64"),
            "flag": pd.array(rng.random(120) < 0.3, dtype="boolean"),
            "name": np.array(["x", "y", "z"])[group],
            "balance": pd.array(rng.integers(-50, 50, 120), dtype="Int64"),
        },
        index=[f"row {n}" for n in range(120)],
    )
    lost = rng.random(table.shape) < 0.2
    lost[:, 0] = False
    return table.mask(lost).astype(table.dtypes)


# the likelihood ----------------------------------------------------------------------------------


def test_the_sum_over_columns_is_that_of_the_single_likelihoods():
    vae = mixed().double()
    x, z = vae.generate(20, sample=True), torch.randn(20, 2).double()
    parameters = vae.decoder(z)
    singles = [Gaussian((2,)), Bernoulli((1,)), Categorical((1,), categories=3), Poisson((2,)),
               Beta((1,)), Ordinal((1,), categories=4),
               StudentT((1,), scale="heteroscedastic")]  # fmt: skip
    places = [[0, 3], [1], [2], [4, 5], [7], [8], [6]]
    total, at = torch.zeros(20).double(), 0
    for block, single, columns in zip(vae.likelihood.blocks, singles, places, strict=True):
        single.double().load_state_dict(block.state_dict())
        size = math.prod(single.parameter_shape)
        own = parameters[:, at : at + size].reshape(20, *single.parameter_shape)
        total += single(own).log_prob(x[:, columns])
        at += size
    torch.testing.assert_close(vae.decode(z).log_prob(x), total, rtol=1e-12, atol=0)
    assert at == parameters.shape[1]


def test_a_columns_density_is_scipys():
    columns = {"1": {"kind": "laplace", "scale": 2.0}, "0": {"kind": "gaussian", "scale": 0.5}}
    d = Columns((2,), columns=columns)(torch.tensor([[3.0, 1.5]]).double())  # of 1, then of 0
    got = d.log_prob(torch.tensor([[2.0, 4.0]]).double())
    want = stats.norm(1.5, 0.5).logpdf(2.0) + stats.laplace(3.0, 2.0).logpdf(4.0)
    assert got.item() == pytest.approx(want, rel=1e-6)


@pytest.mark.parametrize("missing", ["none", GAPS])
def test_the_audit_passes(missing):
    vae = mixed(missing=missing)
    x = vae.generate(8, sample=True)
    x = with_gaps(x) if missing == GAPS else x
    assert audit_elbo(vae, x, particles=200, gradients=10).passed


def test_a_category_off_by_one_is_caught(monkeypatch):
    right = dist.Categorical.log_prob
    monkeypatch.setattr(
        CategoricalDistribution, "log_prob", lambda self, x: right(self, (x + 1) % 3)
    )
    vae = mixed(missing=GAPS)
    audit = audit_elbo(vae, with_gaps(vae.generate(8, sample=True)), particles=200, gradients=0)
    assert "log p(x|z)" in {check.quantity for check in audit.failures}


def test_a_column_at_anothers_place_is_caught(monkeypatch):
    """Log-densities of each entry that are joined in the parts' order, under a mask."""
    from pyro_vae.distributions.by_column import Layout

    joined = lambda self, values: torch.cat(list(values), -1)  # noqa: E731
    vae = mixed(missing=GAPS)
    x = with_gaps(vae.generate(8, sample=True), 0.5)
    monkeypatch.setattr(Layout, "joined", joined)
    audit = audit_elbo(vae, x, particles=200, gradients=0)
    assert not audit.passed


def test_an_encoder_sees_categories_as_a_one_and_counts_as_logarithms():
    likelihood = Columns((4,), columns={"0": {"kind": "categorical", "categories": 3},
                                        "1": "poisson", "2-3": "bernoulli"})  # fmt: skip
    x = torch.tensor([[2.0, 5.0, 1.0, 0.0], [math.nan, math.nan, math.nan, 1.0]])
    seen = likelihood.features(x).nan_to_num(0.0)
    want = [[0, 0, 1, math.log(6), 1, 0], [0, 0, 0, 0, 0, 1]]
    torch.testing.assert_close(seen, torch.tensor(want))
    assert likelihood.feature_shape == (6,)
    vae = VAE((4,), 2, likelihood=likelihood, missing=GAPS)
    assert vae.encoder.network.input_shape == (10,)


def test_an_encoder_sees_an_ordered_category_as_its_place():
    columns = {"0": {"kind": "ordinal", "categories": 5}, "1": "beta"}
    seen = Columns((2,), columns=columns).features(torch.tensor([[3.0, 0.2], [math.nan, 0.7]]))
    torch.testing.assert_close(seen, torch.tensor([[0.75, 0.2], [math.nan, 0.7]]), equal_nan=True)


def test_columns_of_an_event_of_several_dimensions_are_counted_flattened():
    table = {"0-2": "bernoulli", "3-5": {"kind": "gaussian", "scale": 0.1}}
    x = Columns((2, 3), columns=table)(torch.randn(4, 6)).sample()
    assert x.shape == (4, 2, 3)
    assert set(x[:, 0].unique().tolist()) <= {0.0, 1.0}


WRONG = {
    "another key names it": ({"0-3": "gaussian", "3": "poisson", "*": "bernoulli"}, "columns.3"),
    "out of range": ({"9": "gaussian", "*": "bernoulli"}, r"columns from 0 to 6"),
    "no number": ({"size": "gaussian", "*": "bernoulli"}, "such as 3, 0-4"),
    "not all": ({"0-3": "gaussian"}, r"got none for \[4, 5, 6\]"),
    "typo": ({"*": "gausian"}, "did you mean 'gaussian'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_mapping_is_refused(case):
    columns, text = WRONG[case]
    with pytest.raises(DeclarationError, match=text):
        VAE((7,), 2, likelihood={"kind": "columns", "columns": columns})


def test_a_joint_likelihood_of_columns_is_refused():
    with pytest.raises(IncompatibleComponents, match="whose entries are independent given z"):
        VAE((3,), 2, likelihood={"kind": "columns", "columns": {"*": "multinomial"}})


def test_values_outside_a_columns_support_are_refused():
    x = mixed().generate(30, sample=True)
    x[3, 2] = 7.0
    with pytest.raises(IncompatibleComponents, match=r"row 3 at position \(2,\): 7"):
        fit(mixed(), as_dataset(x, validation=0, test=0), **QUIET)


# tables ------------------------------------------------------------------------------------------


def test_a_table_is_declared_by_its_types(frame):
    columns = VAE.for_table(frame).declaration["likelihood"]["columns"]
    assert columns == {
        "0,5": {"kind": "gaussian", "scale": "per_dimension"},
        "1": {"kind": "ordinal", "categories": 3},
        "2": "negative_binomial",
        "3": "bernoulli",
        "4": {"kind": "categorical", "categories": 3},
    }


def test_a_table_comes_back_with_its_types(frame, tmp_path):
    vae = VAE.for_table(frame, 2, decoder=NET, encoder=NET)
    fit(vae, frame, **QUIET)
    reconstructed, found = vae.reconstruct(frame), impute(vae, frame, draws=2)
    for table in (vae.generate(5), vae.generate(5, sample=True), reconstructed, found.mean,
                  *found.draws):  # fmt: skip
        pd.testing.assert_series_equal(table.dtypes, frame.dtypes)
        assert table["kind"].cat.categories.tolist() == ["low", "mid", "high"]
        assert not table.isna().any().any()
    for table in (reconstructed, found.mean):
        assert table.index.equals(frame.index)
    pd.testing.assert_frame_equal(found.mean.where(frame.notna(), frame).astype(frame.dtypes),
                                  frame)  # fmt: skip
    again = load(save(vae, tmp_path / "model"))
    assert again.standardization == vae.standardization
    torch.manual_seed(0)
    one = vae.generate(4)
    torch.manual_seed(0)
    pd.testing.assert_frame_equal(one, again.generate(4))


def test_only_real_columns_are_standardized_by_the_training_rows(frame):
    vae = VAE.for_table(frame, 2, decoder=NET, encoder=NET)
    data = as_dataset(frame, standardize=vae.standardization, missing="keep")
    train = frame["size"].iloc[data.train.rows]
    assert data.standardization.mean[0].item() == pytest.approx(train.mean())
    assert data.standardization.scale[0].item() == pytest.approx(train.std(ddof=0))
    assert data.standardization.mean[1:5].tolist() == [0, 0, 0, 0]
    assert data.standardization.scale[1:5].tolist() == [1, 1, 1, 1]


def test_columns_are_scored_one_by_one(frame):
    vae = VAE.for_table(frame, 2, decoder=NET, encoder=NET)
    fit(vae, frame, **QUIET)
    scores = evaluate(vae, frame, particles=3, show_progress=False)
    assert list(scores.columns) == list(frame)
    total = sum(found.value for found in scores.columns.values())
    assert total == pytest.approx(scores.log_likelihood.value, rel=1e-5)
    assert "of it, balance" in str(scores)
    assert scores.to_dict()["columns"]["kind"]["unit"] == "nats per datum"


def test_the_most_probable_category_is_imputed():
    """Against the posterior over the category by quadrature over z."""
    torch.manual_seed(0)
    columns = {"0": "gaussian", "1": {"kind": "categorical", "categories": 3}}
    likelihood = {"kind": "columns", "columns": columns}
    vae = stirred(VAE((2,), 1, likelihood=likelihood, decoder=NET, encoder=NET, missing=GAPS), 1)
    x = torch.tensor([[-1.0, math.nan], [0.2, math.nan], [2.0, math.nan]])
    z = torch.linspace(-8, 8, 4001).reshape(-1, 1, 1)
    joint = vae.decode(z, x).log_prob(x) + vae.prior().log_prob(z)
    weight = joint.softmax(0)
    probs = (weight.unsqueeze(-1) * vae.decode(z).base_dist.parts[1].probs[..., 0, :]).sum(0)
    found = impute(vae, x, samples=20_000)
    assert torch.equal(found.mean[:, 1], probs.argmax(-1).float())
    error = found.stderr[:, 1]
    assert ((found.deviation[:, 1] - 1 + probs.amax(-1)).abs() < 4.42 * error).all()


TABLES = {
    "one category": (pd.DataFrame({"a": ["x", "x"]}), "at least 2 categories"),
    "dates": (pd.DataFrame({"a": pd.to_datetime(["2024-01-01"])}), "got datetime64"),
    "no rows": (pd.DataFrame({"a": []}), "a table with rows"),
}


@pytest.mark.parametrize("case", TABLES)
def test_a_table_without_a_meaning_is_refused(case):
    table, text = TABLES[case]
    with pytest.raises(DataError, match=text):
        VAE.for_table(table)


def test_another_table_is_refused(frame):
    how = TableFormat.of(frame)
    with pytest.raises(DataError, match=r"without \['size'\]"):
        how.encode(frame.drop(columns="size"))
    with pytest.raises(DataError, match=r"Column 'name': expected one of .* got 'w'"):
        how.encode(frame.assign(name="w"))
    with pytest.raises(DataError, match="a model that was fitted"):
        VAE.for_table(frame).encode(frame)
    assert TableFormat.from_json(how.to_json()) == how
