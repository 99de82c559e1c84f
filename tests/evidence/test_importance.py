"""Importance sampling against the exact evidence, and mistakes that it must not survive."""

from __future__ import annotations

import pytest
import torch

from pyro_vae.core.errors import DataError
from pyro_vae.evidence import chunks, importance
from pyro_vae.evidence.estimate import LogMean
from pyro_vae.evidence.importance import importance_sampling
from pyro_vae.objectives.terms import elbo_terms_of_data
from pyro_vae.report.numbers import number
from tests.evidence.common import agrees

SAMPLES = 4000


def test_the_evidence_is_that_of_the_exact_model(known, data, evidence):
    estimate = importance_sampling(known, data, samples=SAMPLES)
    assert agrees(estimate, evidence)
    assert estimate.monte_carlo < 0.05
    z = (estimate.log_evidence - evidence) / estimate.stderr
    assert z.abs().max() < 5.0
    assert estimate.samples == SAMPLES
    assert estimate.estimator == "importance sampling from q, K = 4,000, seed 0"


def test_the_error_and_the_weights_are_nothing_at_the_exact_posterior(known, data, evidence):
    from pyro_vae.evidence.exact import linear_gaussian

    known.encode = linear_gaussian(known).posterior
    estimate = importance_sampling(known, data, samples=10)
    assert torch.allclose(estimate.log_evidence, evidence, rtol=1e-9)
    assert torch.allclose(estimate.effective, torch.full_like(evidence, 10.0))
    assert estimate.monte_carlo < 1e-6


def test_the_stated_error_is_that_of_repetitions(known, data):
    runs = [importance_sampling(known, data, samples=500, seed=seed) for seed in range(60)]
    spread = torch.stack([run.log_evidence for run in runs]).std(0)
    stated = torch.stack([run.stderr for run in runs]).median(0).values
    assert (spread / stated).log().abs().median() < 0.3


def test_more_samples_raise_the_bound(known, data, evidence):
    elbo = elbo_terms_of_data(known, data, particles=500).elbo.mean()
    two, many = (
        torch.stack(
            [importance_sampling(known, data, samples=k, seed=s).log_evidence for s in range(200)]
        ).mean()
        for k in (2, 20)
    )
    assert elbo < two < many < evidence.mean()


def test_chunks_of_any_size_give_as_many_samples(known, data, monkeypatch):
    whole = importance_sampling(known, data, samples=700)
    monkeypatch.setitem(chunks.BUDGET, "cpu", 6 * 40)
    parted = importance_sampling(known, data, samples=700)
    assert chunks.chunk_sizes(known, data, 700) == (1, 40)
    assert parted.samples == whole.samples == 700
    error = (parted.stderr.square() + whole.stderr.square()).sqrt()
    assert ((parted.log_evidence - whole.log_evidence).abs() < 5 * error).all()


def test_the_draws_come_from_the_seed_alone(known, data):
    known.train()
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    one = importance_sampling(known, data, samples=50, seed=3)
    assert torch.equal(torch.rand(1), expected)
    assert known.training
    two, other = (importance_sampling(known, data, samples=50, seed=s) for s in (3, 4))
    assert torch.equal(one.log_evidence, two.log_evidence)
    assert not torch.equal(one.log_evidence, other.log_evidence)


def test_every_component_has_an_evidence_above_its_elbo(vae, x):
    found = importance_sampling(vae, x, samples=200)
    elbo = elbo_terms_of_data(vae, x, particles=200).elbo.double()
    assert (found.log_evidence.mean() > elbo.mean() - 5 * found.monte_carlo).all()


def test_a_single_sample_is_refused(known, data):
    with pytest.raises(DataError, match="samples: expected at least 2, got 1"):
        importance_sampling(known, data, samples=1)


# mistakes ----------------------------------------------------------------------------------------

right = importance.log_weights


def the_sign_of_the_loss(vae, x, q, count):
    return -right(vae, x, q, count)


def prior_forgotten(vae, x, q, count):
    z = q.rsample(torch.Size([count]))
    return vae.decode(z, x).log_prob(x) - q.log_prob(z)


def guide_forgotten(vae, x, q, count):
    z = q.rsample(torch.Size([count]))
    return vae.decode(z, x).log_prob(x) + vae.prior().log_prob(z)


def fewer_draws(vae, x, q, count):
    return right(vae, x, q, count // 2)


MISTAKES = [the_sign_of_the_loss, prior_forgotten, guide_forgotten]


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda f: f.__name__)
def test_a_mistake_in_the_weights_is_caught(mistake, known, data, evidence, monkeypatch):
    monkeypatch.setattr(importance, "log_weights", mistake)
    assert not agrees(importance_sampling(known, data, samples=SAMPLES), evidence)


def test_the_mean_of_the_logarithms_is_caught(known, data, evidence, monkeypatch):
    class MeanOfLogs(LogMean):
        def add(self, log_weights):
            super().add(log_weights)
            self.logs = [*getattr(self, "logs", []), log_weights]

        @property
        def value(self):
            return torch.cat(self.logs).mean(0)

    monkeypatch.setattr(importance, "LogMean", MeanOfLogs)
    assert not agrees(importance_sampling(known, data, samples=SAMPLES), evidence)


def test_fewer_draws_than_asked_for_are_told(known, data, monkeypatch):
    monkeypatch.setattr(importance, "log_weights", fewer_draws)
    estimate = importance_sampling(known, data, samples=SAMPLES)
    assert estimate.samples == SAMPLES // 2
    assert "K = 2,000" in estimate.estimator


def test_the_last_value_of_the_progress_is_that_of_all_data(known, data, capsys, monkeypatch):
    """In chunks of unequal sizes, of which the last one's mean is another."""
    monkeypatch.setattr(importance, "chunk_sizes", lambda *args: (len(data) - 1, 20))
    estimate = importance_sampling(known, data, samples=20, show_progress=True)
    last = capsys.readouterr().out.splitlines()[-1]
    assert f"nll {number(-estimate.log_evidence.mean().item())} " in last
