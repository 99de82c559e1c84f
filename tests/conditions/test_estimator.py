"""Conditional models as scikit-learn's estimators, by metadata routing."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import sklearn
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pyro_vae import VAEEstimator, VAEImputer

NET = {"kind": "mlp", "hidden": [8], "activation": "tanh"}
VECTOR = {"kind": "vector", "size": 2}


def conditional(**changes):
    usual = {"latent_dim": 1, "decoder": NET, "encoder": NET, "condition": VECTOR,
             "epochs": 2, "batch_size": 64, "lr": 0.02, "nll": 2, "step": "pyro",
             "random_state": 0}  # fmt: skip
    return VAEEstimator(**(usual | changes))


@pytest.fixture(scope="module")
def rows():
    """Data that are their conditions and noise, so that the code is of little use."""
    rng = np.random.default_rng(0)
    c = rng.normal(size=(200, 2))
    return np.c_[c, c.sum(1)] + 0.1 * rng.normal(size=(200, 3)), c


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


def requested(estimator):
    estimator = estimator.set_fit_request(condition=True).set_transform_request(condition=True)
    return estimator.set_score_request(condition=True)


def test_every_method_takes_the_condition(rows):
    x, c = rows
    vae = conditional(epochs=40).fit(x, condition=c)
    few, given = x[:20], c[:20]  # scores are by one datum after another
    means = vae.inverse_transform(vae.transform(x, condition=c), condition=c)
    assert np.square(means - x).mean() < 0.1
    assert np.square(vae.inverse_transform(vae.transform(x, c), c[::-1]) - x).mean() > 1
    drawn = vae.sample(200, condition=c)
    assert np.square(drawn - x).mean() < 1
    right, wrong = vae.score(few, condition=given), vae.score(few, condition=given[::-1])
    assert right > wrong + 3
    again = clone(vae).fit(x, condition=c)
    np.testing.assert_array_equal(again.transform(x, c), vae.transform(x, c))
    loaded = pickle.loads(pickle.dumps(vae))
    scores = vae.score_samples(few, given)
    np.testing.assert_array_equal(loaded.score_samples(few, given), scores)
    weights = np.arange(20)
    weighted = vae.score(few, condition=given, sample_weight=weights)
    assert weighted == pytest.approx(weights @ scores / weights.sum())
    vae.partial_fit(x, condition=c)


def test_scores_are_those_of_each_datum_and_its_condition(rows):
    x, c = rows
    vae = conditional().fit(x, condition=c)
    whole = vae.score_samples(x[:20], condition=c[:20])
    some = [0, 7, 15]
    np.testing.assert_allclose(vae.score_samples(x[some], condition=c[some]), whole[some])


def test_gaps_are_imputed_given_the_condition(rows):
    x, c = rows
    gaps = np.where(np.arange(600).reshape(200, 3) % 7 == 0, np.nan, x)
    vae = conditional(missing="zero_and_mask", epochs=40).fit(gaps, condition=c)
    gaps, c, x = gaps[:50], c[:50], x[:50]
    filled = vae.impute(gaps, samples=50, condition=c)
    missing = np.isnan(gaps)
    assert np.square(filled - x)[missing].mean() < 0.3 * np.square(x)[missing].mean()


def test_a_pipeline_routes_the_condition(rows, routing):
    x, c = rows
    given = {"condition": c}
    pipe = make_pipeline(StandardScaler(), requested(conditional()))
    codes = pipe.fit(x, **given).transform(x, **given)
    scaled = StandardScaler().fit_transform(x)
    alone = conditional().fit(scaled, **given)
    np.testing.assert_allclose(codes, alone.transform(scaled, **given))
    few = {"condition": c[:9]}
    assert pipe.score(x[:9], **few) == pytest.approx(alone.score(scaled[:9], **few))
    regression = make_pipeline(requested(conditional()), Ridge())
    regression.fit(x, x[:, 0], **given)
    assert regression.predict(x, **given).shape == (200,)


def test_a_search_routes_the_condition(rows, routing):
    x, c = rows
    search = GridSearchCV(requested(conditional()), {"latent_dim": [1, 2]}, cv=2)
    search.fit(x[:40], condition=c[:40])
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_an_unrequested_condition_is_refused_by_scikit_learn(rows, routing):
    x, c = rows
    with pytest.raises(ValueError, match="are not explicitly set as requested"):
        make_pipeline(StandardScaler(), conditional()).fit(x, condition=c)


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        (None, r"condition: expected one for each of the 200 data.*set_fit_request\(condition="),
        (np.zeros((3, 2)), "condition: expected one for each of the 200 data, got shape"),
        (np.full((200, 2), "a"), "condition: expected numbers"),
    ],
)
def test_a_condition_that_does_not_fit_is_refused_in_words(rows, condition, message):
    x, c = rows
    with pytest.raises(ValueError, match=message):
        conditional().fit(x, condition=condition)
    fitted = conditional().fit(x, condition=c)
    for act in (fitted.transform, fitted.score_samples, fitted.partial_fit):
        with pytest.raises(ValueError, match=message):
            act(x, condition=condition)


def test_a_superfluous_condition_is_refused_in_words(rows):
    x, c = rows
    for act in (conditional(condition=None).fit, conditional(condition=None).fit_transform):
        with pytest.raises(ValueError, match="condition: expected none"):
            act(x, condition=c)
    with pytest.raises(ValueError, match="condition: expected one for each of the"):
        VAEImputer(conditional()).fit(np.where(x > 1, np.nan, x))


def test_few_labels_are_the_classes_of_a_semi_supervised_one(rows):
    x, _ = rows
    labels = np.where(np.arange(200) % 4, -1, x[:, 0] > 0)
    condition = {"kind": "semi_supervised", "count": 2, "classifier": "linear", "weight": 5.0}
    vae = conditional(condition=condition).fit(x, condition=labels)
    assert vae.vae_.classify(x).shape == (200, 2)
    scores = vae.score_samples(x[:9])
    np.testing.assert_array_equal(vae.score_samples(x[:9], condition=np.full(9, -1)), scores)
    classes = vae.vae_.classify(x).argmax(1).numpy()
    np.testing.assert_allclose(vae.transform(x), vae.transform(x, condition=classes))
