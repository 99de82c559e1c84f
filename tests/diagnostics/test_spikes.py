"""Bits per spike, held to a computation by hand, and co-smoothing, held to the exact integral."""

import json
import math

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import integrate, stats
from scipy.sparse import csr_array

from pyro_vae import VAE, Replicates, as_dataset, bits_per_spike, evaluate, predict
from pyro_vae.core.errors import DataError, IncompatibleComponents
from tests.small_models import NET, stirred
from tests.variants import Z_CRIT

TRAIN = np.array([[1, 0, 0], [3, 1, 0]])
X = np.array([[2, 0, 1], [0, 1, 0], [4, 2, 0]])
MEANS = [2.0, 0.5, 0.25]  # of the last neuron, which never fired, half a count in all
QUIET = {"show_progress": False}


@pytest.fixture
def spikes():
    rng = np.random.default_rng(0)
    return rng.poisson(np.exp(rng.normal(size=(60, 1)) * [1.0, -0.5, 0.5, 0.8]))


@pytest.fixture
def vae():
    torch.manual_seed(0)
    model = VAE((4,), 1, likelihood="poisson", decoder=NET, encoder=NET, missing="zero_and_mask")
    return stirred(model).eval()


def by_hand(log_prob, x, means):
    """The score and its standard error by the delta method."""
    independent = stats.poisson(means).logpmf(x).sum(1)
    gain, count = np.asarray(log_prob) - independent, x.sum(1)
    score = gain.sum() / (count.sum() * math.log(2))
    away = gain / math.log(2) - score * count
    return score, np.std(away, ddof=1) / math.sqrt(len(x)) / count.mean()


def test_bits_per_spike_are_those_by_hand():
    rates = np.array([[1.5, 0.2, 0.5], [0.5, 1.0, 0.1], [3.0, 1.0, 0.3]])
    found = bits_per_spike(rates, X, train=TRAIN)
    want = by_hand(stats.poisson(rates).logpmf(X).sum(1), X, MEANS)
    assert (found.value, found.stderr) == pytest.approx(want, rel=1e-12)
    assert found.unit == "bits per spike"
    lost = X.astype(float)
    lost[1, 1] = np.nan
    without = [rates[[0, 2]], X[[0, 2]]]
    assert bits_per_spike(rates, lost, train=TRAIN).value * 9 == pytest.approx(
        bits_per_spike(*without, train=TRAIN).value * 9
        + sum(
            stats.poisson(r).logpmf(0) - stats.poisson(m).logpmf(0)
            for r, m in ((0.5, 2.0), (0.1, 0.25))
        )
        / math.log(2)
    )


@pytest.mark.parametrize("nll", [False, 20])
def test_evaluate_scores_against_independent_counts(vae, spikes, nll):
    data = as_dataset(spikes, split="blocks")
    scores = evaluate(vae, data, nll=nll, against="independent", **QUIET)
    estimate = scores.estimates.get("importance_sampling")
    log_prob = estimate.log_evidence if nll else scores.terms.elbo
    test = spikes[-12:]
    want = by_hand(log_prob.double().numpy(), test, spikes[:42].mean(0))
    bits = scores.bits_per_spike
    assert (bits.value, bits.stderr) == pytest.approx(want, rel=1e-5)
    assert bits.estimator.startswith("importance sampling" if nll else "ELBO, a lower bound")
    assert "bits per spike" in str(scores)
    over_seeds = Replicates({0: scores, 1: scores}).estimates["bits per spike (no nats)"]
    assert over_seeds.value == pytest.approx(bits.value)
    assert json.loads(json.dumps(scores.to_dict()))["bits_per_spike"]["unit"] == "bits per spike"
    assert evaluate(vae, data, **QUIET).bits_per_spike is None


def test_a_prediction_is_the_mean_given_the_other_neurons(vae, spikes):
    """By quadrature over the one dimension of z."""
    z = torch.linspace(-8, 8, 4001)
    log_rates = vae.decode(z.unsqueeze(-1)).base_dist.mean.detach().double().numpy()
    x, seen, hidden = spikes[:6], [0, 2], [1, 3]
    found = predict(vae, x, hidden, samples=4000)
    for row, (mean, error) in enumerate(zip(found.mean, found.stderr, strict=True)):
        weight = stats.poisson(log_rates[:, seen]).pmf(x[row, seen]).prod(1)
        weight = weight * stats.norm.pdf(z.numpy())
        total = integrate.simpson(weight, x=z.numpy())
        want = integrate.simpson(weight[:, None] * log_rates[:, hidden], x=z.numpy(), axis=0)
        assert (np.abs(mean - want / total) < Z_CRIT * error.numpy()).all()


def test_hidden_values_are_not_looked_at(vae, spikes):
    other = spikes.copy()
    other[:, [1, 3]] = 7
    one, another = (predict(vae, x, [1, 3], samples=50, draws=2) for x in (spikes, other))
    np.testing.assert_array_equal(one.mean, another.mean)
    assert one.draws[1].shape == one.deviation.shape == (60, 2)
    assert not np.array_equal(predict(vae, other, [3], samples=50).mean[:, 0], one.mean[:, 1])


def test_tensors_tables_and_masks_give_the_same(vae, spikes):
    want = predict(vae, spikes, [1, 3], samples=50).mean
    mask = [False, True, False, True]
    found = predict(vae, torch.tensor(spikes), mask, samples=50).mean
    np.testing.assert_array_equal(found.numpy(), want.astype("float32"))
    found = predict(vae, csr_array(spikes), [-1, 1], samples=50).mean
    np.testing.assert_array_equal(found, want)
    table = pd.DataFrame(spikes, columns=list("abcd"), index=range(5, 65))
    found = predict(vae, table, ["d", "b"], samples=50).mean
    assert (list(found.columns), found.index[0]) == (["b", "d"], 5)
    np.testing.assert_array_equal(found.to_numpy(), want)


@pytest.mark.parametrize("hidden", [[4], [], [0, 1, 2, 3], [True, False], ["a"], 0.5, [[1.0]]])
def test_what_is_no_part_of_the_neurons_is_refused(vae, spikes, hidden):
    with pytest.raises(DataError, match=r"hidden: expected whole numbers from 0 to 3.*got"):
        predict(vae, spikes, hidden)


def test_what_cannot_be_scored_is_refused(vae, spikes):
    with pytest.raises(IncompatibleComponents, match=r"poisson, negative_binomial.*got gaussian"):
        evaluate(VAE((4,), 1), spikes.astype(float), against="independent")
    with pytest.raises(DataError, match="against: expected independent"):
        evaluate(vae, spikes, against="chance")
    with pytest.raises(DataError, match="expected spikes in the data scored, got none"):
        bits_per_spike(np.ones((2, 3)), np.zeros((2, 3)), train=TRAIN)
    with pytest.raises(DataError, match="above 0, got 0"):
        bits_per_spike(np.zeros((3, 3)), X, train=TRAIN)
    with pytest.raises(DataError, match="of one shape"):
        bits_per_spike(np.ones((3, 2)), X, train=TRAIN)
    with pytest.raises(DataError, match="x: expected whole numbers"):
        bits_per_spike(np.ones((3, 3)), X + 0.5, train=TRAIN)
    with pytest.raises(IncompatibleComponents, match="missing: zero_and_mask"):
        predict(vae.swap(missing="none"), spikes, [1])
