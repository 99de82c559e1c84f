"""Calibration, on models whose exact posterior is known, and on ones that it refuses."""

from __future__ import annotations

import math
import sys

import pytest
import torch
from scipy import stats

from pyro_vae import VAE, calibrate
from pyro_vae.core.errors import DataError, IncompatibleComponents, NonFiniteLoss
from pyro_vae.diagnostics.psis import pareto_k
from tests.diagnostics.exact_guide import PLANTED, exact_guide
from tests.variants import COVERING, small_vae, stirred

QUIET = {"show_progress": False}


def rejections(vae, count, **options):
    return sum(not calibrate(vae, seed=seed, **options, **QUIET).passed for seed in range(count))


def test_the_exact_posterior_passes_at_the_stated_rate():
    failed = rejections(exact_guide(), 20, simulations=500, draws=50, false_alarm=0.1)
    assert stats.binomtest(failed, 20, 0.1, "greater").pvalue > 1e-4


@pytest.mark.slow
def test_the_exact_posterior_passes_at_the_stated_rate_over_200_seeds():
    failed = rejections(exact_guide(), 200, simulations=1000, draws=100, false_alarm=0.1)
    print(f"{failed} of 200 rejected at a false-alarm rate of 0.1")
    assert stats.binomtest(failed, 200, 0.1, "greater").pvalue > 1e-5
    assert stats.binomtest(failed, 200, 0.05, "less").pvalue > 1e-5  # it is not far below


@pytest.mark.parametrize("name", PLANTED)
def test_a_guide_that_is_off_is_rejected(name):
    found = calibrate(exact_guide(**PLANTED[name]), simulations=20_000, draws=50, **QUIET)
    assert not found.passed
    assert "log weight" in found.failures
    reading = found.table().rows
    said = {row[0].text: row[-1].text for row in reading}
    if "scale" in name:
        wrong = "narrow" if "narrow" in name else "wide"
        assert said["log q(z|x)"] == f"q is too {wrong}"
        assert (found.coverage[0.8] > 0.8) == (wrong == "wide")
    elif "mean" in name:
        assert said["z0"] == said["z1"] == "q is too high"
    else:
        assert said["z0"] == said["z1"] == "uniform"  # the marginals are right


@pytest.mark.slow
def test_power():
    """The table of docs/calibration.md: run with -s."""
    guides = {"exact": {}, **PLANTED, "mean off by 0.05 s.d.": {"shift": 0.05}}
    rates = {}
    for name, off in guides.items():
        vae = exact_guide(**off)
        rates[name] = [rejections(vae, 20, simulations=n) for n in (1000, 2000, 5000, 20_000)]
        print(name, rates[name])
    assert rates.pop("exact") == [0, 0, 0, 0]
    assert {rate[-1] for rate in rates.values()} == {20}


def test_regions_hold_what_they_should():
    found = calibrate(exact_guide(), simulations=4000, **QUIET)
    for level, held in found.coverage.items():
        assert abs(held - level) < 4.5 * math.sqrt(level * (1 - level) / 4000)


def test_ranks_are_those_of_scipy():
    vae = exact_guide()
    found = calibrate(vae, simulations=300, draws=2000, **QUIET)
    exact = calibrate(vae, simulations=300, draws=25, **QUIET)
    assert found.ranks.shape == exact.ranks.shape == (300, 4)
    for column in found.ranks.T.numpy():
        assert stats.kstest(column, "uniform").pvalue > 1e-5
    assert not torch.equal(found.ranks, exact.ranks)


def test_pareto_k_finds_the_shape_of_a_pareto_tail():
    for shape in (0.2, 0.8):
        draws = stats.genpareto(shape).rvs((4000, 100), random_state=0)
        found = pareto_k(torch.as_tensor(draws).log())
        assert abs(found.mean() - shape) < 0.1


@pytest.mark.parametrize(
    ("weights", "expected"),
    [([0.0] * 99, -math.inf), ([-math.inf] * 98 + [0.0], math.inf), ([-math.inf] * 99, math.inf)],
    ids=["equal", "one", "none"],
)
def test_pareto_k_of_weights_without_a_tail(weights, expected):
    assert pareto_k(torch.tensor(weights).unsqueeze(-1)).item() == expected


def test_a_narrow_guide_has_heavy_tails_on_real_data_too():
    x = exact_guide().generate(50, sample=True)
    good = calibrate(exact_guide(scale=1.0), x, simulations=100, draws=500, **QUIET)
    narrow = calibrate(exact_guide(scale=0.4), x, simulations=100, draws=500, **QUIET)
    assert good.above_threshold == {"simulated": 0.0, "given": 0.0}
    assert min(narrow.above_threshold.values()) > 0.5


def test_the_same_seed_gives_the_same_and_leaves_the_generators_alone():
    vae = small_vae()
    torch.manual_seed(5)
    one = calibrate(vae, simulations=100, draws=25, **QUIET)
    after = torch.rand(1)
    two = calibrate(vae, simulations=100, draws=25, **QUIET)
    torch.manual_seed(5)
    assert torch.equal(one.ranks, two.ranks)
    assert torch.equal(after, torch.rand(1))
    assert vae.training


@pytest.mark.parametrize("parts", COVERING[::3])
def test_every_amortized_model_can_be_calibrated(parts):
    vae = stirred(small_vae(**parts))
    if not vae.posterior.amortized:
        with pytest.raises(IncompatibleComponents, match="expected an encoder"):
            calibrate(vae, **QUIET)
        return
    x = vae.generate(3, sample=True)
    found = calibrate(vae, x, simulations=100, draws=25, **QUIET)
    assert found.ranks.min() > 0
    assert found.ranks.max() < 1
    assert found.pareto_k["given"].shape == (3,)


def test_documents_keep_the_lengths_of_the_data():
    vae = small_vae(likelihood={"kind": "multinomial", "total_count": 3})
    seen = []
    vae.encoder.register_forward_hook(lambda module, given, out: seen.append(given[0].sum(-1)))
    x = torch.tensor([[5.0, 0.0, 0.0], [0.0, 9.0, 9.0]])
    calibrate(vae, x, simulations=100, draws=25, **QUIET)
    assert {5.0, 18.0} == set(torch.cat(seen).tolist())


def test_it_shows_a_table_and_a_picture():
    found = calibrate(small_vae(), torch.randn(4, 3), simulations=100, draws=25, **QUIET)
    assert "Calibration of q(z|x)" in str(found)
    assert "of 4 given data" in found.table().caption
    assert '<img src="data:image/png;base64,' in found._repr_html_()
    written = found.to_dict()
    assert written["passed"] == found.passed
    assert set(written["p_values"]) == {"z0", "z1", "log q(z|x)", "log weight"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"simulations": 99}, "simulations: expected at least 100"),
        ({"draws": 24}, "draws: expected at least 25"),
        ({"false_alarm": 0.0}, "false_alarm: expected a probability from 1e-6"),
        ({"x": torch.zeros(2, 5)}, "Expected x to be a tensor of shape"),
        ({"x": torch.zeros(0, 3)}, "data in x: expected at least 1"),
    ],
    ids=["simulations", "draws", "false_alarm", "shape", "none"],
)
def test_refusals(options, message):
    with pytest.raises(DataError, match=message):
        calibrate(small_vae(), **options, **QUIET)


def test_weights_that_are_nan_are_reported():
    vae = small_vae()
    with torch.no_grad():
        vae.decoder.layers[0].weight.fill_(math.nan)
    with pytest.raises(NonFiniteLoss, match=r"decoder.*: expected finite weights"):
        calibrate(vae, simulations=100, **QUIET)


def test_densities_that_are_nan_are_reported(monkeypatch):
    import pyro.distributions as dist

    monkeypatch.setattr(dist.Independent, "log_prob", lambda self, z: z.sum(-1) * math.nan)
    with pytest.raises(NonFiniteLoss, match=r"got NaN for 5100 of 5100 codes"):
        calibrate(small_vae(posterior="multivariate_normal"), simulations=100, draws=50, **QUIET)


def test_a_likelihood_that_cannot_be_sampled_is_refused(monkeypatch):
    import pyro.distributions as dist

    def sample(*arguments):
        raise NotImplementedError

    vae = small_vae()
    monkeypatch.setattr(dist.Independent, "sample", sample)
    with pytest.raises(IncompatibleComponents, match="a likelihood that can be sampled"):
        calibrate(vae, **QUIET)


def test_without_arviz_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "arviz_stats", None)
    with pytest.raises(DataError, match=r"pip install 'pyro-vae\[arviz\]'"):
        calibrate(VAE((3,), 2), **QUIET)
