"""Scores of a model on data: right, with what they were measured on and how."""

from __future__ import annotations

import json
import math

import pytest
import torch

from pyro_vae import Annealing, as_dataset, evaluate, load_data
from pyro_vae.core.errors import DataError
from pyro_vae.evidence.exact import linear_gaussian
from pyro_vae.report.estimate import Estimate
from tests.variants import small_vae

QUIET = {"show_progress": False}


@pytest.fixture
def data(linear):
    return as_dataset(linear.generate(100, sample=True), name="simulated")


def test_the_nll_is_minus_the_exact_evidence(known):
    data = as_dataset(known.float().generate(100, sample=True))
    scores = evaluate(known, data, nll=4000, **QUIET)
    exact = linear_gaussian(known.double()).log_evidence(data.test.x.double())
    assert scores.nll.value == pytest.approx(-exact.mean().item(), abs=3 * scores.nll.monte_carlo)
    assert scores.nll.monte_carlo < 0.01
    assert scores.nll.stderr == pytest.approx((exact.std() / math.sqrt(20)).item(), rel=0.02)
    assert scores.nll.value < -scores.elbo.value
    assert scores.estimates["importance_sampling"].samples == 4000


def test_a_wrong_sign_in_the_nll_is_caught(known, monkeypatch):
    right = Estimate.of
    monkeypatch.setattr(Estimate, "of", lambda values, *mc, **known: right(-values, *mc, **known))
    with pytest.raises(AssertionError):
        test_the_nll_is_minus_the_exact_evidence(known)


def test_true_takes_five_thousand(linear, data):
    assert evaluate(linear, data, nll=True, **QUIET).estimates[
        "importance_sampling"
    ].samples == 5000  # fmt: skip


def test_nothing_long_is_done_unless_asked_for(linear, data, monkeypatch):
    monkeypatch.setattr("pyro_vae.diagnostics.evaluate.importance_sampling", None)
    scores = evaluate(linear, data)
    assert scores.nll is None
    assert scores.estimates == {}


def test_the_squared_error_is_that_of_the_reconstructions(linear, data):
    scores = evaluate(linear, data)
    x = data.test.x
    expected = (linear.reconstruct(x) - x).square().mean()
    assert scores.reconstruction.value == pytest.approx(expected.item(), rel=1e-5)


def test_part_of_a_split_is_evenly_spaced_and_told(linear, data):
    scores = evaluate(linear, data, split="train", data_count=7, **QUIET)
    assert (scores.count, scores.available) == (7, 70)
    assert "7 of 70, evenly spaced, train data of simulated" in scores.table().caption
    index = torch.arange(7) * 10
    few = as_dataset(data.train.x[index], validation=0, test=0)
    assert evaluate(linear, few, split="train").elbo == scores.elbo
    assert evaluate(linear, few, split="train").sha256 == scores.sha256
    assert evaluate(linear, data, split="train").sha256 != scores.sha256


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"data_count": 21}, "data_count: expected 1 to 20, the data of the test split, got 21"),
        ({"data_count": 0}, "got 0"),
        ({"particles": 0}, "particles: expected at least 1, got 0"),
        ({"nll": 1}, "samples: expected at least 2, got 1"),
    ],
)
def test_bad_options_are_refused(linear, data, options, message):
    with pytest.raises(DataError, match=message):
        evaluate(linear, data, **options)


def test_an_empty_split_is_refused(linear, data):
    with pytest.raises(DataError, match="Expected data in the validation split, got none"):
        evaluate(linear, as_dataset(data.train.x, validation=0), split="validation")


def test_every_number_says_where_it_comes_from(linear, data):
    scores = evaluate(linear, data, nll=100, particles=3, seed=8, **QUIET)
    assert all(row[-1].text for row in scores.table().rows)
    shown = str(scores)
    assert "ELBO with exact KL, 3 particles, seed 8" in shown
    assert "importance sampling from q, K = 100, seed 8" in shown
    assert data.identity.sha256 in shown
    assert "variance over x of E_q[z] &gt; 0.01" in scores._repr_html_()
    written = json.loads(json.dumps(scores.to_dict(), allow_nan=False))
    assert written["nll"]["value"] == scores.nll.value
    effective = written["effective_sample_sizes"]["importance_sampling"]
    assert effective["samples"] == 100
    assert 1 <= effective["least"] <= effective["median"] <= 100
    assert written["units"]["latent_dim"] == 2
    assert written["identity"]["sha256"] == data.identity.sha256
    assert scores.figure().axes


def test_what_is_probability_and_what_is_density():
    binary = load_data({"kind": "digits", "binarization": "static"})
    options = {"event_shape": (1, 8, 8), "data_count": None}
    del options["data_count"]
    one = evaluate(small_vae(likelihood="bernoulli", **options), binary)
    other = evaluate(small_vae(likelihood="gaussian", **options), binary)
    assert (one.measure, other.measure) == ("probability", "density")


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu(known):
    data = as_dataset(known.float().generate(100, sample=True))
    options = {"nll": 500, "ais": Annealing(10, 16, 3), "sandwich": 4, **QUIET}
    on_cpu, on_gpu = evaluate(known, data, **options), evaluate(known.cuda(), data, **options)
    for one, other in ((on_cpu.nll, on_gpu.nll), (on_cpu.ais, on_gpu.ais)):
        error = math.hypot(one.monte_carlo, other.monte_carlo)
        assert abs(one.value - other.value) < 4.42 * error
    assert torch.allclose(on_cpu.units.variance, on_gpu.units.variance, rtol=1e-3)
    assert on_gpu.sha256 == on_cpu.sha256
