"""The estimator: scikit-learn's own checks, and what it computes."""

import pickle

import numpy as np
import pytest
import scipy.sparse
import scipy.stats
import torch
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from pyro_vae import VAE, PyroVAEError, VAEEstimator, importance_sampling, score_samples

NET = {"kind": "mlp", "hidden": [8]}
QUICK = {"encoder": NET, "decoder": NET, "epochs": 2, "step": "pyro", "device": "cpu", "nll": 5}
Z_CRIT = 4.42  # one false alarm in 1e5


def estimator(**changes):
    return VAEEstimator(**QUICK | {"random_state": 0} | changes)


@pytest.fixture(scope="module")
def table():
    return load_iris(as_frame=True).data.set_index(np.arange(150) + 1000)


@parametrize_with_checks([VAEEstimator(**QUICK)])
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


def evidence_of(vae, X):
    """log p(x) of probabilistic PCA on z-scores, by scipy, in the units of ``X``."""
    W = vae.decoder.affine.weight.detach().double().numpy()
    b = vae.decoder.affine.bias.detach().double().numpy()
    unit = float(vae.likelihood.unit)
    with torch.no_grad():
        sigma = float(vae.decode(torch.zeros(1, vae.latent_dim)).variance[0, 0].sqrt())
    scale, mean = vae.standardization.scale.numpy(), vae.standardization.mean.numpy()
    loc = mean + scale * unit * b
    root = scale[:, None] * unit * W
    covariance = root @ root.T + np.diag((scale * sigma) ** 2)
    return scipy.stats.multivariate_normal(loc, covariance).logpdf(X)


def test_score_samples_is_the_density_of_the_data_in_their_own_units(table):
    linear = estimator(decoder="linear", encoder="linear", epochs=300, lr=1e-2, nll=500).fit(table)
    exact = evidence_of(linear.vae_, table.to_numpy())
    for scores, K in ((linear.score_samples(table), 500),
                      (score_samples(linear.vae_, table, 500), 500)):  # fmt: skip
        x = linear.vae_.transform(table.to_numpy())
        error = importance_sampling(linear.vae_, x, samples=K).monte_carlo
        assert abs((scores - exact).mean()) < Z_CRIT * error + 1e-4
        lost = np.log(table.std(ddof=0)).sum()  # the planted mistake: a density of z-scores
        assert abs((scores + lost - exact).mean()) > 10 * Z_CRIT * error
    assert linear.score(table) == pytest.approx(linear.score_samples(table).mean())


def test_transform_is_the_posterior_mean_of_the_z_scores(table):
    fitted = estimator().fit(table)
    x = StandardScaler().fit_transform(table)
    with torch.no_grad():
        mean = fitted.vae_.encode(torch.as_tensor(x, dtype=torch.float32)).mean
    np.testing.assert_allclose(fitted.transform(table), mean, rtol=1e-4, atol=1e-5)


def test_inverse_transform_and_samples_are_in_the_units_of_the_data(table):
    fitted = estimator(epochs=100, latent_dim=3, lr=1e-2).fit(table)
    again = fitted.inverse_transform(fitted.transform(table))
    assert ((again - table) ** 2).mean().mean() < 0.2 * table.var().mean()
    draws = fitted.sample(2000)
    error = draws.std(0) / 2000**0.5 + table.std().to_numpy() / 150**0.5
    assert (abs(draws.mean(0) - table.mean().to_numpy()) < 3 * Z_CRIT * error).all()


def test_a_table_keeps_its_index_and_gets_names(table):
    fitted = estimator().set_output(transform="pandas").fit(table)
    z = fitted.transform(table)
    assert list(z) == list(fitted.get_feature_names_out()) == ["vaeestimator0", "vaeestimator1"]
    assert z.index.equals(table.index)
    with pytest.raises(ValueError, match="feature names"):
        fitted.transform(table[table.columns[::-1]])


def test_a_pipeline_and_a_search(table):
    pipe = make_pipeline(StandardScaler(), estimator(), LogisticRegression())
    assert pipe.fit(table, load_iris().target).score(table, load_iris().target) > 0.3
    search = GridSearchCV(estimator(), {"latent_dim": [1, 2], "prior": ["diagonal_normal"]}, cv=2)
    search.fit(table)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_estimator_.vae_.prior.kind == "diagonal_normal"


def test_a_seed_gives_the_same_model_and_none_another(table):
    one, two = (estimator().fit(table).transform(table) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    some, other = (estimator(random_state=None).fit(table) for _ in range(2))
    assert not np.allclose(some.transform(table), other.transform(table))
    assert not np.allclose(other.sample(3), other.sample(3))


@pytest.mark.parametrize("again", [lambda e: pickle.loads(pickle.dumps(e)), clone])
def test_copies(table, again):
    fitted = estimator(posterior="iaf", encoder=torch.nn.Linear(4, 20)).fit(table)
    if again is clone:
        assert not hasattr(clone(fitted), "vae_")
    before, other = fitted.transform(table), again(fitted)
    scores = fitted.score_samples(table)
    other = other.fit(table) if again is clone else other
    np.testing.assert_array_equal(other.transform(table), before)
    np.testing.assert_array_equal(other.score_samples(table), scores)
    other.partial_fit(table)
    np.testing.assert_array_equal(fitted.transform(table), before)


def test_a_module_among_the_arguments_stays_as_it_is(table):
    module = torch.nn.Linear(4, 4)
    before = module.weight.detach().clone()
    fitted = estimator(encoder=module).fit(table)
    assert torch.equal(module.weight, before)
    assert not torch.equal(fitted.vae_.encoder.module.weight, before)


def test_partial_fit_goes_on(table):
    one = estimator(epochs=1, lr=1e-2).fit(table)
    many = estimator(lr=1e-2)
    for _ in range(30):
        many.partial_fit(table)
    assert many.score(table) > one.score(table) + 0.5
    first = many.vae_.standardization
    many.partial_fit(table + 1)
    assert many.vae_.standardization == first


def test_sparse_counts():
    counts = np.random.default_rng(0).poisson(0.5, (60, 7)) + np.eye(7)[np.arange(60) % 7]
    sparse, net = scipy.sparse.csr_array(counts), {**NET}
    fitted = estimator(likelihood="multinomial", encoder=net).fit(sparse)
    assert fitted.vae_.standardization is None
    np.testing.assert_array_equal(fitted.transform(sparse), fitted.transform(counts))
    np.testing.assert_array_equal(fitted.score_samples(sparse), fitted.score_samples(counts))
    with pytest.raises(PyroVAEError, match="whole numbers from 0"):
        fitted.score_samples(counts + 0.5)


def test_pictures_take_the_shape_that_their_network_needs():
    X = np.random.default_rng(0).uniform(size=(20, 64))
    conv = {"kind": "conv", "channels": [2, 2]}
    fitted = estimator(event_shape=(1, 8, 8), encoder=conv, decoder=conv).fit(X)
    assert fitted.inverse_transform(fitted.transform(X)).shape == (20, 64)
    assert fitted.score_samples(X).shape == (20,)
    with pytest.raises(ValueError, match="product is the 64 features"):
        estimator(event_shape=(1, 8, 9)).fit(X)


def test_patience_holds_data_out(table):
    fitted = estimator(patience=1, epochs=5).fit(table)
    assert "validation_elbo" in fitted.history_[0]
    assert "validation_elbo" not in estimator().fit(table).history_[0]


def test_what_is_refused(table):
    gap = table.copy()
    gap.iloc[3, 1] = np.nan
    with pytest.raises(ValueError, match="contains NaN"):
        estimator().fit(gap)
    with pytest.raises(PyroVAEError, match="did you mean 'gaussian'"):
        estimator(likelihood="gausian").fit(table)
    with pytest.raises(ValueError, match="codes of 2 numbers, got 3"):
        estimator().fit(table).inverse_transform(np.zeros((1, 3)))


def test_a_vae_itself_is_no_estimator(table):
    vae = VAE((4,), 2)
    with pytest.raises(PyroVAEError, match=r"clone: .*VAEEstimator"):
        clone(vae)
    for steps in ((vae, LogisticRegression()), (StandardScaler(), vae)):
        with pytest.raises(PyroVAEError, match=r"VAE.fit: .*VAEEstimator"):
            make_pipeline(*steps).fit(table, load_iris().target)
