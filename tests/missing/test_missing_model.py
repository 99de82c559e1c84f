"""Values that are missing by what they are: not-MIWAE's bound, with exact integrals."""

import math

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from scipy import stats

from pyro_vae import (
    VAE,
    audit_elbo,
    compare,
    conditional,
    evaluate,
    fit,
    importance_sampling,
    impute,
    load,
    predict,
    save,
)
from pyro_vae.core.errors import DeclarationError, IncompatibleComponents, IncompatibleScores
from pyro_vae.distributions.extended_skew_normal import ExtendedSkewNormal
from pyro_vae.distributions.marginal import Marginal
from pyro_vae.distributions.self_masked import SelfMasked
from pyro_vae.evidence.exact import linear_gaussian
from pyro_vae.experiment.declaration import Experiment
from pyro_vae.missing_models import SelfMasking
from tests.missing.common import GAPS, Oracle, linear, with_gaps
from tests.small_models import NET, stirred
from tests.variants import Z_CRIT

__all__ = ["linear"]
QUIET = {"show_progress": False}
MASKING = {"kind": "self_masking", "direction": "high"}


def double(*values):
    return torch.tensor(values, dtype=torch.double)


# a linear-Gaussian model, in which one entry is missing ------------------------------------------


@pytest.fixture
def masked(linear):
    """With a missing model, and data that each lack one entry at most."""
    model = linear.swap(missing_model="self_masking").double()
    model.load_state_dict(linear.state_dict(), strict=False)
    model.missing_model.raw_slope.data = torch.tensor([0.0, 0.05, -0.08, 0.1, 0.03]).double()
    model.missing_model.raw_intercept.data = torch.tensor([-0.2, -0.1, 0, 0.05, -0.1]).double()
    torch.manual_seed(4)
    x = linear.generate(8, sample=True)
    x[torch.arange(8), torch.arange(8) % 4 + 1] = math.nan
    x[0] = linear.generate(1, sample=True)[0]
    return model.eval(), x, Oracle(linear)


def parameters(model):
    m = model.missing_model
    return m.slope.detach().numpy(), m.intercept.detach().numpy()


def given_seen(oracle, row, slope, intercept):
    """The missing entry's number, and its distribution given that it is missing."""
    (k,) = np.flatnonzero(np.isnan(row))
    mean, covariance = oracle.conditional(row)
    deviation = math.sqrt(covariance[0, 0])
    return k, ExtendedSkewNormal(*double(mean[0], deviation, slope[k], intercept[k]))


def test_the_evidence_is_that_of_what_is_seen_and_of_what_is_not(masked):
    model, x, oracle = masked
    slope, intercept = parameters(model)
    want = []
    for row in x.numpy():
        seen = ~np.isnan(row)
        log = oracle.log_prob(row)
        log += stats.norm.logsf(intercept + slope * row)[seen].sum()
        if not seen.all():
            _, d = given_seen(oracle, row, slope, intercept)
            log += stats.norm.logcdf(d.threshold.item())
        want.append(log)
    assert linear_gaussian(model) is None
    found = importance_sampling(model, x, samples=5000)
    away = (found.log_evidence - torch.tensor(want)) / found.stderr
    assert away.abs().max() < Z_CRIT
    at_random = [oracle.log_prob(row) for row in x.numpy()]  # a mistake that it would see
    assert ((found.log_evidence - torch.tensor(at_random)) / found.stderr).abs().min() > 10


def test_an_imputation_knows_why_a_value_is_missing(masked):
    model, x, oracle = masked
    found = impute(model, x, draws=1000, samples=4000)
    draws = torch.stack(found.draws)
    for n, row in enumerate(x.numpy()):
        if not np.isnan(row).any():
            continue
        k, d = given_seen(oracle, row, *parameters(model))
        error = found.stderr[n, k].item()
        assert abs(found.mean[n, k] - d.mean).item() < Z_CRIT * error
        error = math.hypot(error, (d.variance / len(draws)).sqrt().item())
        assert abs(draws[:, n, k].mean() - d.mean).item() < Z_CRIT * error
        assert found.deviation[n, k].item() == pytest.approx(d.variance.sqrt().item(), rel=0.15)


def test_a_conditional_is_given_that_its_values_are_missing(masked):
    model, x, oracle = masked
    whole = torch.where(x.isnan(), 0.7, x)
    got = conditional(model, whole, ~x.isnan(), samples=5000)
    for n, row in enumerate(x.numpy()):
        if not np.isnan(row).any():
            continue
        _, d = given_seen(oracle, row, *parameters(model))
        want = d.log_prob(double(0.7)).item()
        assert abs(got.log_prob[n].item() - want) < Z_CRIT * got.stderr[n].item()
    assert got.log_prob[0].item() == pytest.approx(0, abs=Z_CRIT * got.stderr[0].item())


# training ----------------------------------------------------------------------------------------


def not_at_random(count=600):
    """Five columns of two factors; in two of them what is above the mean is missing."""
    generator = torch.Generator().manual_seed(0)
    codes = torch.randn(count, 2, generator=generator)
    weight = torch.tensor([[1.0, 0.8, -0.6, 1.0, 0.2], [0.3, -0.7, 1.0, 0.8, 1.0]])
    whole = codes @ weight + 0.3 * torch.randn(count, 5, generator=generator)
    x = whole.clone()
    x[:, :2][whole[:, :2] > 0] = math.nan
    return whole, x


def error_of(missing_model):
    torch.manual_seed(0)
    whole, x = not_at_random()
    vae = VAE((5,), 2, decoder="linear", encoder=NET, missing=GAPS, missing_model=missing_model)
    fit(vae, x, epochs=40, lr=1e-2, objective={"kind": "iwae", "particles": 5}, **QUIET)
    found = impute(vae, x, samples=500)
    lost = x.isnan()
    return (found.mean - whole)[lost].square().mean().sqrt().item(), vae


def test_what_is_missing_not_at_random_is_imputed_better():
    plain, _ = error_of(None)
    known, vae = error_of(MASKING)
    assert known < 0.8 * plain
    assert (vae.missing_model.slope[:2] > 1).all()


MIXED = {
    "kind": "columns",
    "columns": {"0": "bernoulli", "1": {"kind": "categorical", "categories": 3},
                "2": {"kind": "ordinal", "categories": 4}, "*": "gaussian"},
}  # fmt: skip


def small(likelihood="gaussian", missing=GAPS, missing_model="self_masking"):
    torch.manual_seed(0)
    return VAE((5,), 2, likelihood=likelihood, decoder=NET, encoder=NET, missing=missing,
               missing_model=missing_model)  # fmt: skip


@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli", "ordinal", "categorical", MIXED])
def test_the_audit_passes(likelihood):
    vae = stirred(small(likelihood))
    x = with_gaps(vae.generate(8, sample=True))
    assert not vae.generate(8, sample=True).isnan().any()
    audit = audit_elbo(vae, x.double(), particles=200, gradients=10)
    assert audit.passed


def test_a_missing_entry_that_counts_as_seen_is_caught(monkeypatch):
    vae = stirred(small())
    x = with_gaps(vae.generate(8, sample=True))
    monkeypatch.setattr(SelfMasked, "entries", Marginal.entries)
    assert not audit_elbo(vae, x.double(), particles=200, gradients=0).passed


@pytest.mark.parametrize("missing", [GAPS, "set"])
def test_it_trains_is_scored_and_comes_back(tmp_path, missing):
    vae = small(MIXED, missing, MASKING)
    x = with_gaps(vae.generate(100, sample=True))
    fit(vae, x, epochs=2, objective={"kind": "iwae", "particles": 3}, **QUIET)
    share = x[:80].isnan().float().mean()
    assert abs(torch.special.ndtr(vae.missing_model.intercept).mean() - share) < 0.2
    scores = evaluate(vae, x, nll=20, **QUIET)
    total = sum(found.value for found in scores.columns.values())
    assert total == pytest.approx(scores.log_likelihood.value, rel=1e-5)
    plain = small(MIXED, missing, None)
    with pytest.raises(IncompatibleScores, match="with which values are missing"):
        compare({"one": scores, "other": evaluate(plain, x, nll=20, **QUIET)})
    again = load(save(vae, tmp_path / "model"))
    assert again.declaration == vae.declaration
    assert again.declaration["missing_model"] == MASKING
    z = torch.randn(len(x), 2)
    assert torch.equal(again.decode(z).log_prob(x), vae.decode(z).log_prob(x))
    assert "missing model: {'kind': 'self_masking'" in str(vae)
    assert vae.swap(missing_model=None).missing_model is None


def test_the_compiled_step_is_pyros():
    x = with_gaps(small().generate(60, sample=True))
    histories = []
    for step in ("pyro", "compiled"):
        result = fit(small(), x, step=step, epochs=2, **QUIET)
        histories.append([record["elbo"] for record in result.history])
    np.testing.assert_allclose(*histories, rtol=1e-4)


def test_it_begins_at_what_is_seen_and_in_any_unit():
    x = with_gaps(torch.randn(400, 5) * 2 + 1)
    one, other = SelfMasking((5,), "low"), SelfMasking((5,), "low")
    one.initialize(x)
    other.initialize(1e3 * x)
    share = (x.isnan().sum(0) + 0.5) / 401
    torch.testing.assert_close(torch.special.ndtr(one.intercept), share, rtol=0, atol=0.01)
    assert (one.slope < 0).all()
    p, q = (dist.Normal(unit * torch.ones(5), unit * 2.0) for unit in (1.0, 1e3))
    torch.testing.assert_close(one(Marginal(p, 1)).log_chance, other(Marginal(q, 1)).log_chance)
    kept = one.center.clone()
    one.initialize(x + 5)
    assert torch.equal(one.center, kept)


def test_a_declaration_has_it():
    model = {"missing": "set", "missing_model": MASKING}
    experiment = Experiment.read({"model": model})
    assert experiment.mapping["model"]["missing_model"] == MASKING
    assert Experiment.read(experiment.mapping).mapping == experiment.mapping
    assert "missing_model" not in Experiment.read({}).mapping["model"]


def test_what_it_does_not_go_with_is_refused():
    with pytest.raises(DeclarationError, match="missing_model: needs a model that knows missing"):
        small(missing="none")
    with pytest.raises(DeclarationError, match="did you mean 'self_masking'"):
        small(missing_model="selfmasking")
    with pytest.raises(IncompatibleComponents, match="integral over what is missing is exact"):
        small("poisson")
    with pytest.raises(IncompatibleComponents, match="predict: expected a model without"):
        predict(small(), torch.randn(4, 5), hidden=[1])
