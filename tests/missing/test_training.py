"""A model with missing values from data to audit, and what it refuses."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from pyro_vae import VAE, as_dataset, audit_elbo, evaluate, fit, impute, load, save
from pyro_vae.core.errors import DataError, DeclarationError, IncompatibleComponents
from pyro_vae.core.likelihood import Likelihood
from pyro_vae.core.missing import seen_mean
from pyro_vae.distributions.marginal import Marginal
from pyro_vae.likelihoods import Bernoulli, Gaussian
from tests.missing.common import GAPS, with_gaps
from tests.small_models import NET, stirred

QUICK = {"particles": 200, "gradients": 10}
QUIET = {"show_progress": False, "epochs": 2}


def small(likelihood="gaussian", shape=(5,), **parts):
    torch.manual_seed(0)
    return VAE(shape, 2, likelihood=likelihood, decoder=NET, encoder=NET, missing=GAPS, **parts)


def data_of(vae, count=40):
    return with_gaps(vae.generate(count, sample=True).detach())


SEPARABLE = sorted(set(Likelihood.kinds()) - {"multinomial"})


@pytest.mark.parametrize("kind", SEPARABLE)
def test_the_audit_of_every_likelihood_passes(kind):
    vae = stirred(small(kind))
    assert audit_elbo(vae, data_of(vae, 8).double(), **QUICK).passed


def test_the_audit_of_the_linear_model_knows_the_evidence_of_what_is_seen(linear, x):
    audit = audit_elbo(linear, x, **QUICK)
    assert audit.passed
    assert sum(check.quantity == "evidence" for check in audit.checks) == 2


def without_a_normalizer(self, value):
    """The first column's normalizer is masked out with the missing values."""
    base = self.base_dist
    entries = base.log_prob(self.filled(value))
    entries = torch.where(value.isnan(), 0.0, entries)
    entries = entries + base.scale.log() * (torch.arange(value.shape[-1]) == 0)
    return entries.sum(-1)


def with_the_missing(self, value):
    """The mask is forgotten: a missing value counts as 0."""
    return self.base_dist.log_prob(self.filled(value)).sum(-1)


@pytest.mark.parametrize("mistake", [without_a_normalizer, with_the_missing])
def test_a_mistaken_mask_is_caught(mistake, linear, x, monkeypatch):
    monkeypatch.setattr(Marginal, "log_prob", mistake)
    audit = audit_elbo(linear, x, **QUICK)
    assert "log_likelihood" in {check.quantity for check in audit.failures}
    assert "log p(x|z)" in {check.quantity for check in audit.failures}


@pytest.mark.parametrize("kind", SEPARABLE)
def test_a_missing_entry_adds_nothing_and_has_no_gradient(kind):
    vae = small(kind)
    x = data_of(vae)
    lost = x.isnan()
    z = torch.randn(len(x), 2)
    parameters = vae.decoder(z).detach().requires_grad_()
    base = vae.likelihood(parameters, x).base_dist
    d = Marginal(base, 1)
    by_entry = [base.log_prob(torch.where(lost, x.nan_to_num(0.0), x))[n][~lost[n]].sum()
                for n in range(len(x))]  # fmt: skip
    torch.testing.assert_close(d.log_prob(x), torch.stack(by_entry))
    d.log_prob(x).sum().backward()
    assert parameters.grad.isfinite().all()
    if kind != "columns":
        where = parameters.grad if parameters.dim() == 2 else parameters.grad.abs().sum(1)
        assert (where[lost] == 0).all()


def test_the_compiled_step_is_pyros():
    x = data_of(small(), 60)
    histories = []
    for step in ("pyro", "compiled"):
        result = fit(small(), x, step=step, **QUIET)
        histories.append([record["elbo"] for record in result.history])
    np.testing.assert_allclose(*histories, rtol=1e-4)


def test_miwaes_bound_trains_and_scores(tmp_path):
    vae = small()
    x = data_of(vae, 100)
    fit(vae, x, objective={"kind": "iwae", "particles": 5}, **QUIET)
    scores = evaluate(vae, x, nll=20, show_progress=False)
    assert math.isfinite(scores.nll.value)
    assert math.isfinite(scores.reconstruction.value)
    assert "values missing" in str(scores.identity)
    again = load(save(vae, tmp_path / "model"))
    assert again.missing == GAPS
    assert torch.equal(again.encode(x).mean, vae.encode(x).mean)


@pytest.mark.parametrize("posterior", ["per_example", "iaf"])
@pytest.mark.parametrize("prior", ["standard_normal", "vamp"])
def test_other_guides_and_priors(posterior, prior):
    if (posterior, prior) == ("per_example", "vamp"):
        pytest.skip("refused")
    vae = small(prior=prior, posterior=posterior)
    x = as_dataset(data_of(vae), missing="keep", validation=0)
    fit(vae, x, **QUIET)
    assert vae.encode(x.train.x).sample().isfinite().all()


def test_pictures_have_a_mask_channel_for_each_of_theirs():
    vae = VAE((3, 8, 8), 2, encoder="conv", missing=GAPS)
    assert vae.encoder.network.input_shape == (6, 8, 8)
    assert vae.encode(torch.full((2, 3, 8, 8), math.nan)).mean.isfinite().all()


def test_the_encoder_sees_zeros_and_what_is_seen():
    seen = []

    class Watching(nn.Module):
        def forward(self, x):
            seen.append(x)
            return x.new_zeros(len(x), 2, 2)

    vae = VAE((2,), 2, encoder=Watching(), missing=GAPS)
    vae.encode(torch.tensor([[1.5, math.nan]]))
    assert seen[-1].tolist() == [[1.5, 0.0, 1.0, 0.0]]


def test_the_mask_is_0_or_1_in_any_unit():
    vae = small()
    x = 1e4 * data_of(vae)
    vae.initialize(x)
    first = []
    layer = vae.encoder.network.layers[0]
    layer.register_forward_pre_hook(lambda _, given: first.append(given[0]))
    vae.encode(x)
    torch.testing.assert_close(first[0][:, 5:], (~x.isnan()).float())
    assert first[0][:, :5].abs().max() < 30


def test_learned_parts_begin_at_what_is_seen():
    x = with_gaps(torch.tensor([[3.0, 1.0], [3.0, -1.0]]).repeat(50, 1))
    gaussian = Gaussian(event_shape=(2,))
    gaussian.initialize(x)
    assert gaussian.unit.item() == pytest.approx(x[~x.isnan()].square().mean().sqrt().item())
    binary = with_gaps((torch.rand(200, 3) < 0.7).float())
    bernoulli = Bernoulli(event_shape=(3,), offset="data_mean")
    bernoulli.initialize(binary)
    torch.testing.assert_close(bernoulli.shift.sigmoid(), binary.nanmean(0))
    optimal = Gaussian(event_shape=(2,), scale="optimal").train()
    sigma = optimal(torch.zeros(100, 2), x).base_dist.scale
    assert sigma.unique().item() == pytest.approx(x[~x.isnan()].square().mean().sqrt().item())


def test_the_mean_of_what_is_seen_is_torchs_where_nothing_is_missing():
    x = torch.randn(7, 1000)
    assert torch.equal(seen_mean(x), x.mean())
    assert torch.equal(seen_mean(x, 0), x.mean(0))
    assert torch.equal(seen_mean(x, 1), x.mean(1))


def test_standardization_and_identity_ignore_what_is_missing():
    x = with_gaps(torch.randn(200, 4) * 5 + 3)
    data = as_dataset(x, standardize="zscore", missing="keep")
    train = x[data.train.rows]
    torch.testing.assert_close(data.standardization.mean, train.double().nanmean(0))
    seen = [column[~column.isnan()] for column in train.double().T]
    spread = torch.stack([column.std(correction=0) for column in seen])
    torch.testing.assert_close(data.standardization.scale, spread)
    assert data.identity.value_range == (x.nan_to_num(99).min(), x.nan_to_num(-99).max())
    assert data.identity == as_dataset(x, standardize="zscore", missing="keep").identity


def test_a_table_comes_back_as_a_table():
    frame = pd.DataFrame(data_of(small(), 50).numpy().astype(float), columns=list("abcde"))
    frame.index = [f"row {n}" for n in range(50)]
    data = as_dataset(frame * 10 + 5, standardize="zscore", missing="keep")
    vae = small()
    fit(vae, data, **QUIET)
    raw = frame * 10 + 5
    found = impute(vae, raw, draws=2)
    assert isinstance(found.mean, pd.DataFrame)
    assert not found.mean.isna().any().any()
    assert found.mean.index.equals(raw.index)
    pd.testing.assert_frame_equal(found.mean.where(raw.notna()), raw)
    array = impute(vae, raw.to_numpy(), draws=1)
    np.testing.assert_array_equal(array.mean, found.mean.to_numpy())
    inside = impute(vae, vae.transform(raw))
    lost = inside.deviation > 0
    torch.testing.assert_close(
        found.deviation[lost], (inside.deviation * data.standardization.scale)[lost]
    )


# refused -----------------------------------------------------------------------------------------


def test_gaps_without_the_declaration_are_refused_with_the_remedy():
    x = data_of(small())
    plain = small().swap(missing="none")
    for do in (lambda: fit(plain, x, **QUIET), lambda: as_dataset(x),
               lambda: evaluate(plain, pd.DataFrame(x.numpy()), show_progress=False)):  # fmt: skip
        with pytest.raises(DataError, match=r"model\.missing: zero_and_mask"):
            do()
    with pytest.raises(IncompatibleComponents, match=r"model\.missing: zero_and_mask"):
        fit(plain, as_dataset(x, missing="keep"), **QUIET)


def test_infinity_is_never_a_missing_value():
    with pytest.raises(DataError, match="expected finite numbers"):
        fit(small(), torch.tensor([[1.0, math.inf, 0, 0, 0]] * 20), **QUIET)


def test_what_missing_values_do_not_go_with_is_refused():
    with pytest.raises(IncompatibleComponents, match="a joint distribution of its event"):
        small("multinomial")
    with pytest.raises(DeclarationError, match="did you mean 'zero_and_mask'"):
        VAE((2,), 2, missing="zero_mask")
    half = with_gaps(torch.rand(50, 3))
    with pytest.raises(DataError, match="expected no missing values, got"):
        as_dataset(half, binarization="threshold", missing="keep")
    half[7] = math.nan
    with pytest.raises(DataError, match="got none in 1 of 50 rows"):
        as_dataset(half, missing="keep")
    half[:, 1] = math.nan
    half[7] = 0.5
    half[7, 1] = math.nan
    with pytest.raises(DataError, match=r"got none at \(1,\)"):
        as_dataset(half, standardize="zscore", missing="keep")
