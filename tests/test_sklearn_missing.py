"""Missing values in the estimator, and the imputer: scikit-learn's own checks, and exactness."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import sklearn
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from pyro_vae import PyroVAEError, VAEEstimator, VAEImputer, impute, score_samples
from tests.missing.common import Oracle

GAPS = "zero_and_mask"
NET = {"kind": "mlp", "hidden": [8]}
QUICK = {"encoder": NET, "decoder": NET, "epochs": 2, "step": "pyro", "device": "cpu", "nll": 5}
PPCA = {"decoder": "linear", "likelihood": {"kind": "gaussian", "scale": "per_dimension"},
        "epochs": 60, "lr": 1e-2}  # fmt: skip
Z_CRIT = 4.42  # one false alarm in 1e5


def estimator(**changes):
    return VAEEstimator(**QUICK | {"random_state": 0, "missing": GAPS} | changes)


def imputer(estimator_changes=None, **changes):
    return VAEImputer(estimator(**estimator_changes or {}), **{"samples": 20, "random_state": 0}
                      | changes)  # fmt: skip


@pytest.fixture(scope="module")
def table():
    """Half of iris with 30% of its cells removed; something is left of every row."""
    table = load_iris(as_frame=True).data[::2].set_index(np.arange(75) + 1000)
    lost = np.random.default_rng(0).random(table.shape) < 0.3
    lost[lost.all(1), 0] = False
    return table.mask(lost)


@pytest.fixture(scope="module")
def ppca(table):
    return VAEImputer(estimator(**PPCA), random_state=0).fit(table)


@parametrize_with_checks(
    [
        VAEEstimator(**QUICK, missing=GAPS),
        VAEImputer(VAEEstimator(**QUICK), samples=5),
        VAEImputer(VAEEstimator(**QUICK), samples=5, missing_values=-1, add_indicator=True),
    ]
)
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


def oracle_of(vae):
    """The joint normal of the z-scores, and their means and scales."""
    how = vae.standardization
    return Oracle(vae.double()), how.mean.numpy(), how.scale.numpy()


def test_a_gap_gets_its_conditional_mean_in_the_units_of_the_data(ppca, table):
    oracle, mean, scale = oracle_of(pickle.loads(pickle.dumps(ppca)).estimator_.vae_)
    X = table.to_numpy()
    want, marginal = X.copy(), np.where(np.isnan(X), mean, X)
    for row in want:
        lost = np.isnan(row)
        row[lost] = mean[lost] + scale[lost] * oracle.conditional((row - mean) / scale)[0]
    for got in (ppca.transform(table), ppca.estimator_.impute(X)):
        np.testing.assert_allclose(got, want, rtol=1e-5)
        np.testing.assert_array_equal(got[~np.isnan(X)], X[~np.isnan(X)])
    assert abs(want - marginal).max() > 0.5  # the planted mistake: a mean of the column


def test_draws_have_the_conditional_distribution_and_differ_from_call_to_call(ppca, table):
    again = VAEImputer(estimator(**PPCA), sample_posterior=True, random_state=0).fit(table)
    oracle, mean, scale = oracle_of(pickle.loads(pickle.dumps(again)).estimator_.vae_)
    row = table.to_numpy()[table.isna().to_numpy().sum(1).argmax()]
    lost = np.isnan(row)
    draws = again.transform(pd.DataFrame([row] * 4000, columns=table.columns))[:, lost]
    want, covariance = oracle.conditional((row - mean) / scale)
    variance = covariance.diagonal() * scale[lost] ** 2
    away = draws.mean(0) - (mean[lost] + scale[lost] * want)
    assert (abs(away) < Z_CRIT * (variance / 4000) ** 0.5).all()
    assert (abs(draws.var(0) / variance - 1) < Z_CRIT * (2 / 4000) ** 0.5).all()
    fresh = [
        VAEImputer(estimator(**PPCA), sample_posterior=True, random_state=0) for _ in range(2)
    ]
    one, other = (each.fit(table).transform(table) for each in fresh)
    np.testing.assert_array_equal(one, other)
    assert (one != fresh[0].transform(table)).sum() == table.isna().to_numpy().sum()


def test_log_p_is_that_of_what_is_seen_in_the_units_of_the_data(ppca, table):
    fitted = pickle.loads(pickle.dumps(ppca.estimator_)).set_params(nll=2000)
    X = table.to_numpy()
    oracle, mean, scale = oracle_of(pickle.loads(pickle.dumps(fitted)).vae_)
    seen = ~np.isnan(X)
    z = np.array([oracle.log_prob(row) for row in (X - mean) / scale])
    want = z - (np.log(scale) * seen).sum(1)
    wrong = z - np.log(scale).sum()  # the planted mistake: the scales of what is missing too
    for got in (fitted.score_samples(X), score_samples(fitted.vae_, table, 2000)):
        error = (got - want).std() / len(X) ** 0.5
        assert abs((got - want).mean()) < Z_CRIT * error + 1e-3
        assert abs((got - want).mean()) < 0.01 < 0.1 < abs((wrong - want).mean())


def test_complete_rows_have_the_scores_that_they_had(table):
    complete = table.dropna()
    one = estimator().fit(complete)
    how = one.vae_.standardization
    z = score_samples(one.vae_, one.vae_.transform(complete), 5)
    np.testing.assert_array_equal(
        score_samples(one.vae_, complete, 5), z - how.scale.double().log().sum().item()
    )


@pytest.mark.parametrize("method", ["transform", "score_samples", "impute"])
def test_a_datum_with_a_gap_has_the_same_result_in_any_batch(table, method):
    call = getattr(estimator().fit(table), method)
    options = {"samples": 20} if method == "impute" else {}
    whole = call(table, **options)
    apart = np.concatenate([call(table[i : i + 1], **options) for i in range(len(table))])
    np.testing.assert_allclose(apart[::-1], call(table[::-1], **options), rtol=1e-9)
    np.testing.assert_allclose(apart, whole, rtol=1e-9)


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("marked", [False, True])
def test_columns_are_those_of_scikit_learns_imputers(table, keep, marked):
    gaps = table.assign(empty=np.nan, last=1.0)
    options = {"keep_empty_features": keep, "add_indicator": marked}
    ours = imputer(**options).fit(gaps)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Skipping features without any observed values")
        other = IterativeImputer(max_iter=1, tol=1e9, **options).fit(gaps)
        assert ours.transform(gaps).shape == other.transform(gaps).shape
    assert list(ours.get_feature_names_out()) == list(other.get_feature_names_out())
    if keep:
        found = ours.set_output(transform="pandas").transform(gaps)
        assert (found["empty"] == 0).all()
    else:
        with pytest.warns(UserWarning, match="without any observed values"):
            found = ours.set_output(transform="pandas").transform(gaps)
    assert found.index.equals(gaps.index)
    assert not found.isna().any().any()
    assert (found["last"] == 1).all()
    seen = table.notna()
    pd.testing.assert_frame_equal(found[table.columns][seen], table[seen])


def test_a_row_of_which_nothing_is_seen_is_not_trained_on_and_is_filled_in(table):
    empty = pd.DataFrame(np.nan, columns=table.columns, index=[0, 1])
    more = pd.concat([empty, table])
    one, other = imputer().fit(table), imputer().fit(more)
    np.testing.assert_array_equal(one.transform(more), other.transform(more))
    assert np.isfinite(other.transform(more)).all()
    with pytest.raises(PyroVAEError, match="none in 2 of 77 rows; remove these rows"):
        estimator().fit(more)


def test_a_number_may_stand_for_a_missing_value(table):
    number = table.fillna(-1)
    one, other = imputer(), imputer(missing_values=-1)
    np.testing.assert_array_equal(one.fit_transform(table), other.fit_transform(number))
    assert not other.__sklearn_tags__().input_tags.allow_nan
    with pytest.raises(ValueError, match="contains NaN"):
        other.transform(table)


def test_a_pipeline_and_a_search(table):
    y = load_iris().target[::2]
    pipe = make_pipeline(imputer(), LogisticRegression(max_iter=1000))
    search = GridSearchCV(pipe, {"vaeimputer__estimator__latent_dim": [1, 2]}, cv=2)
    search.fit(table, y)
    assert (search.cv_results_["mean_test_score"] > 0.6).all()
    fitted = search.best_estimator_[0]
    assert fitted.estimator.missing == GAPS
    copy = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(copy.transform(table), fitted.transform(table))
    found = impute(fitted.estimator_.vae_, table, draws=2)
    assert len(found.draws) == 2


def test_metadata_goes_past_them_to_who_asks_for_it(table):
    assert not [name for name in dir(imputer()) if name.startswith("set_") and "request" in name]
    weights = np.arange(1.0, 76)
    with sklearn.config_context(enable_metadata_routing=True):
        last = LogisticRegression(max_iter=1000).set_fit_request(sample_weight=True)
        pipe = make_pipeline(imputer(), estimator(), last)
        pipe.fit(table, load_iris().target[::2], sample_weight=weights)
        codes = pipe[:-1].transform(table)
    alone = clone(last).fit(codes, load_iris().target[::2], sample_weight=weights)
    np.testing.assert_allclose(pipe[-1].coef_, alone.coef_)


def test_the_estimator_that_is_given_stays_as_it_is(table):
    given = VAEEstimator(**QUICK)
    fitted = VAEImputer(given, samples=5, random_state=0).fit(table)
    assert (given.missing, given.random_state, hasattr(given, "vae_")) == ("none", None, False)
    assert fitted.estimator_.missing == GAPS


def test_sparse_data_and_counts_with_gaps():
    counts = np.random.default_rng(0).poisson(2.0, (60, 7)).astype(float)
    counts[::3, 2] = np.nan
    fitted = estimator(likelihood="poisson", patience=2).fit(scipy.sparse.csr_array(counts))
    sparse, dense = (fitted.impute(X, 20) for X in (scipy.sparse.csr_array(counts), counts))
    np.testing.assert_array_equal(sparse, dense)
    assert (dense >= 0).all()
    draws = VAEImputer(estimator(likelihood="poisson"), sample_posterior=True, samples=20)
    assert (draws.fit_transform(counts) % 1 == 0).all()


def test_what_is_refused(table):
    fitted = estimator(missing="none").fit(table.dropna())
    for call in (fitted.fit, fitted.transform, fitted.score_samples, fitted.impute):
        with pytest.raises(ValueError, match=r"contains NaN.*missing='zero_and_mask'"):
            call(table)
    with pytest.raises(ValueError, match="infinity"):
        estimator().fit(table.fillna(np.inf))
    with pytest.raises(PyroVAEError, match="missing: must be none, zero_and_mask or set"):
        estimator(missing="zero").fit(table)
    with pytest.raises(PyroVAEError, match="estimator: expected a VAEEstimator or None"):
        VAEImputer(LogisticRegression()).fit(table)
    with pytest.raises(PyroVAEError, match="missing_values: expected NaN or a number, got None"):
        imputer(missing_values=None).fit(table)
    with pytest.raises(PyroVAEError, match="amortized posterior"):
        imputer({"posterior": "per_example", "encoder": "mlp"}).fit(table)
    with pytest.raises(PyroVAEError, match="samples"):
        imputer(samples=1).fit(table)
    with pytest.raises(PyroVAEError, match="at least one column, got none"):
        imputer().fit(table * np.nan)
