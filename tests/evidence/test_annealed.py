"""Annealing against the exact evidence, its sandwich, and mistakes that both must not survive."""

from __future__ import annotations

import json

import pyro
import pytest
import torch

from pyro_vae import evaluate
from pyro_vae.core.errors import DataError, IncompatibleComponents
from pyro_vae.evidence import annealed, bidirectional, hmc
from pyro_vae.evidence.annealed import Annealing, annealed_importance_sampling
from pyro_vae.evidence.exact import linear_gaussian
from tests.evidence.common import agrees
from tests.variants import small_vae

QUICK = Annealing(temperatures=20, chains=32, leapfrog=3)
COARSE = Annealing(temperatures=3, chains=8, leapfrog=2)


def sandwich(known, how=QUICK, count=60):
    found = bidirectional.bidirectional_monte_carlo(known, count, how=how)
    return found, linear_gaussian(known).log_evidence(found.x).detach()


def test_the_evidence_is_that_of_the_exact_model(known, data, evidence):
    estimate = annealed_importance_sampling(known, data, how=QUICK)
    assert agrees(estimate, evidence)
    assert estimate.monte_carlo < 0.06
    assert estimate.samples == 32
    assert "T = 20 temperatures, 32 chains, 3 leapfrog steps" in estimate.estimator


def test_the_sandwich_holds_the_exact_evidence(known):
    found, exact = sandwich(known, COARSE)
    low, high = found.lower - exact, exact - found.upper
    assert low.mean() < 0  # so few temperatures leave a gap on either side
    assert high.mean() < 0
    assert found.gap.value > 3 * found.gap.stderr


def test_more_temperatures_close_the_sandwich(known):
    (wide, _), (narrow, exact) = sandwich(known, COARSE), sandwich(known)
    assert narrow.gap.value < wide.gap.value / 2
    for bound in (narrow.lower, narrow.upper):
        error = (bound - exact).std() / len(exact) ** 0.5
        assert abs((bound - exact).mean()) < 3 * error + 0.05


def test_a_transition_leaves_the_posterior_as_it_is(known, data):
    posterior = linear_gaussian(known).posterior(data)
    z = posterior.sample((4000,))
    joint = hmc.Joint(known, data)
    step = torch.full((len(data),), 1.1, dtype=z.dtype)
    accepted = []
    for _ in range(4):
        z, accept = hmc.transition(joint.at(1.0), z, step, 2)
        accepted.append(accept.mean())
    assert 0.3 < torch.stack(accepted).mean() < 0.95  # so that the test has refused many
    root = torch.linalg.inv(posterior.scale_tril)
    standard = ((z - posterior.mean).unsqueeze(-2) * root).sum(-1).flatten(0, 1)
    assert (standard.mean(0).abs() < 4.42 / len(standard) ** 0.5).all()
    assert ((standard.var(0) - 1).abs() < 4.42 * (2 / len(standard)) ** 0.5).all()


def test_a_trajectory_into_nowhere_is_refused(known, data):
    joint, z = hmc.Joint(known, data), torch.zeros(3, len(data), 2).double()
    far = torch.full((len(data),), 1e200, dtype=z.dtype)
    with pyro.validation_enabled(False):  # as it is where chains run
        moved, accept = hmc.transition(joint.at(1.0), z, far, 3)
    assert torch.equal(moved, z)
    assert (accept == 0).all()


def test_pilot_chains_find_step_sizes_that_are_accepted(known, data):
    joint, how = hmc.Joint(known, data), Annealing(temperatures=10, chains=8, leapfrog=3)
    with annealed.annealing(known, data, how, 1, 0, False, "x") as (_, bar), torch.no_grad():
        steps = annealed.tuned(joint, how, bar)
        assert steps.shape == (10, len(data))
        z = linear_gaussian(known).posterior(data).sample((200,))
        accept = hmc.transition(joint.at(how.betas[-2]), z, steps[-1], 3)[1]
    assert 0.5 < accept.mean() < 0.85


def test_the_inverse_temperatures_go_from_0_to_1():
    betas = Annealing(temperatures=50).betas
    assert (betas[0], betas[-1], len(betas)) == (0.0, 1.0, 51)
    assert betas == sorted(betas)


def test_the_draws_come_from_the_seed_alone(known, data):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    one, two = (annealed_importance_sampling(known, data[:2], how=COARSE) for _ in range(2))
    assert torch.equal(torch.rand(1), expected)
    assert torch.equal(one.log_evidence, two.log_evidence)


@pytest.mark.parametrize("prior", ["maf", "gaussian_mixture"])
def test_priors_of_any_kind(prior):
    vae = small_vae(prior=prior)
    found = evaluate(vae, vae.generate(20, sample=True), split="train", nll=2000,
                     ais=Annealing(10, 16, 3), sandwich=4, show_progress=False)  # fmt: skip
    error = (found.nll.monte_carlo**2 + found.ais.monte_carlo**2) ** 0.5
    assert abs(found.nll.value - found.ais.value) < 4.42 * error
    written = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert (written["nll"]["value"], written["ais"]["value"]) == (found.nll.value, found.ais.value)
    assert written["sandwich"]["count"] == 4
    assert "4 simulated data" in found._repr_html_()
    assert "Sandwich" in found.sandwich._repr_html_()


def test_codes_on_the_sphere_are_refused_before_anything_is_done():
    vae = small_vae(prior="uniform_sphere", posterior="power_spherical")
    for options in ({"ais": 10}, {"sandwich": True}):
        with pytest.raises(IncompatibleComponents, match="UniformSphere, whose codes lie on"):
            evaluate(vae, None, **options)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"temperatures": 1}, "temperatures: expected at least 2, got 1"),
     ({"chains": 1}, "chains: expected at least 2, got 1"),
     ({"leapfrog": 0}, "leapfrog: expected at least 1, got 0")],
)  # fmt: skip
def test_too_little_is_refused(arguments, message, known):
    with pytest.raises(DataError, match=message):
        Annealing(**arguments)
    with pytest.raises(DataError, match="count: expected at least 2, got 1"):
        bidirectional.bidirectional_monte_carlo(known, 1)


# mistakes ----------------------------------------------------------------------------------------


def test_a_likelihood_that_is_counted_twice_is_caught(known, data, evidence, monkeypatch):
    right = hmc.Joint.terms
    monkeypatch.setattr(hmc.Joint, "terms", lambda self, z: [2 * v for v in right(self, z)])
    assert not agrees(annealed_importance_sampling(known, data, how=QUICK), evidence)


def test_chains_that_never_refuse_are_caught(known, data, evidence, monkeypatch):
    def always(log_density, z, step, leapfrog):
        return z + 0.5 * torch.randn_like(z), torch.full_like(z[..., 0], 0.65)

    monkeypatch.setattr(annealed, "transition", always)
    assert not agrees(annealed_importance_sampling(known, data, how=QUICK), evidence)


def test_a_mean_of_logarithms_is_caught(known, data, evidence, monkeypatch):
    class MeanOfLogs(annealed.LogMean):
        def add(self, log_weights):
            super().add(log_weights)
            self.value_ = log_weights.mean(0)

        value = property(lambda self: self.value_)

    monkeypatch.setattr(annealed, "LogMean", MeanOfLogs)
    coarse = Annealing(temperatures=3, chains=400, leapfrog=2)
    assert not agrees(annealed_importance_sampling(known, data, how=coarse), evidence)


def test_codes_that_are_no_draw_of_the_posterior_are_caught(known, monkeypatch):
    right = bidirectional._simulated

    def other_codes(vae, count, seed):
        return vae.prior().sample((count,)), right(vae, count, seed)[1]

    monkeypatch.setattr(bidirectional, "_simulated", other_codes)
    found, exact = sandwich(known, COARSE)
    assert (found.upper - exact).mean() < 0
