"""The audit passes what is right, at its stated rate, and leaves everything as it was."""

from __future__ import annotations

import json
import math

import pyro
import pyro.infer
import pytest
import torch
from rich.console import Console

from pyro_vae import VAE, PyroVAEError, audit_elbo
from pyro_vae.core.errors import DataError
from pyro_vae.core.likelihood import Likelihood
from tests.small_models import stirred
from tests.variants import COVERING, LIKELIHOODS, SEQUENCES, handed_over

QUICK = {"particles": 300, "gradients": 12}


@pytest.mark.parametrize("declared", COVERING)
def test_every_component_passes(vae, declared):
    sequence = declared["prior"]["kind"] in SEQUENCES  # a value of z at each time
    model = stirred(vae.swap(**declared, **({"latent_dim": 3} if sequence else {})))
    audit = audit_elbo(model, handed_over(model, model.generate(12, sample=True)), **QUICK)
    assert audit.passed, audit.verdict


@pytest.mark.parametrize("likelihood", sorted(Likelihood.kinds()))
def test_every_likelihoods_density_is_written_by_hand(vae, likelihood):
    model = vae.swap(likelihood=likelihood)
    audit = audit_elbo(model, model.generate(12, sample=True), **QUICK)
    (check,) = [check for check in audit.checks if check.quantity == "log p(x|z)"]
    assert check.reference == "by hand, the same draws"


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_every_likelihood_passes_with_a_linear_decoder(vae, likelihood):
    model = stirred(vae.swap(likelihood=likelihood[1], decoder="linear"))
    audit = audit_elbo(model, model.generate(12, sample=True), **QUICK)
    assert audit.passed, audit.verdict


@pytest.mark.parametrize("kind", ["multivariate_normal", "low_rank_normal", "householder"])
def test_the_evidence_is_reached_from_every_normal_posterior(linear, x, kind):
    audit = audit_elbo(stirred(linear.swap(posterior=kind)), x, **QUICK)
    assert audit.passed, audit.verdict
    evidence = [check for check in audit.checks if check.quantity == "evidence"]
    assert len(evidence) == 2
    assert all(check.relative < 1e-9 for check in evidence)


def test_rows_of_a_model_whose_evidence_is_known(linear, x):
    audit = audit_elbo(linear, x, **QUICK)
    quantities = {check.quantity for check in audit.checks}
    assert {"log_likelihood", "kl", "elbo", "evidence", "log p(x|z)"} <= quantities
    assert {f"gradient: {g}" for g in ("prior", "likelihood", "decoder", "encoder")} <= quantities
    identity = [check for check in audit.checks if check.quantity == "evidence"]
    assert [check.passed for check in identity] == [True, True]
    assert all(check.relative < 1e-9 for check in identity)
    assert set(audit.estimates["closed"].terms) == {"log_likelihood", "kl", "elbo"}


def test_a_term_without_a_closed_form_is_said_to_have_none(vae, x):
    audit = audit_elbo(vae, x, **QUICK)
    assert "log_likelihood" not in audit.estimates["closed"].terms
    assert "no closed form" in str(audit)


def test_a_prior_without_a_closed_form_kl(vae, x, heavy_tailed):
    model = vae.swap(prior=heavy_tailed)
    audit = audit_elbo(model, x, **QUICK)
    assert audit.passed, audit.verdict
    assert "torch has no closed form" in str(audit)


def test_false_alarms_come_at_no_more_than_the_stated_rate(vae, x):
    """At 10 % over all rows and data, 60 audits of a right model fail 6 times or fewer."""
    failed = sum(
        not audit_elbo(vae, x, particles=200, gradients=10, false_alarm=0.1, seed=seed).passed
        for seed in range(60)
    )
    assert failed <= 6 + 4.42 * math.sqrt(60 * 0.1 * 0.9)


def test_values_agree_with_the_terms_that_training_reports(vae, x):
    from pyro_vae import elbo_terms

    audit = audit_elbo(vae, x, particles=2000, gradients=0)
    terms = elbo_terms(vae.double(), x.double(), particles=4000)
    per_datum = audit.per_datum("kl")
    assert torch.allclose(per_datum["closed form, by hand"], terms.kl, rtol=1e-9)
    gap = (audit.per_datum()["Trace_ELBO particles"] - terms.elbo).abs()
    spread = audit.estimates["trace"].terms["elbo"].std(0) * math.sqrt(1 / 2000 + 1 / 4000)
    assert (gap < 5.0 * spread).all()


def test_the_model_and_the_generators_are_left_as_they_were(vae, x):
    vae.train()
    before = {name: value.clone() for name, value in vae.state_dict().items()}
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    audit_elbo(vae, x, **QUICK)
    assert torch.equal(torch.rand(1), expected)
    assert vae.training
    assert all(torch.equal(value, before[name]) for name, value in vae.state_dict().items())
    assert next(vae.parameters()).dtype == torch.float32
    assert all(parameter.grad is None for parameter in vae.parameters())


def test_every_datum_is_compared_by_every_method(linear, x):
    audit = audit_elbo(linear, x, **QUICK)
    for term in ("elbo", "kl", "log_likelihood"):
        rows = audit.per_datum_table(term).rows
        assert len(rows) == 3 * len(x)
        assert {row[-1].text for row in rows} == {"agrees"}
    kl = next(c for c in audit.checks if c.method.startswith("Trace_ELBO") and c.quantity == "kl")
    values = torch.tensor([datum.value for datum in kl.per_datum])
    assert torch.allclose(values, audit.per_datum("kl")[kl.method].float())
    differences = [datum.difference.value for datum in kl.per_datum]
    assert kl.difference.value == pytest.approx(sum(differences) / len(x))
    assert abs(kl.worst_z) == max(abs(datum.z) for datum in kl.per_datum)


def test_one_seed_gives_one_audit(vae, x):
    one, two, other = (audit_elbo(vae, x, seed=seed, **QUICK) for seed in (4, 4, 5))
    assert one.to_dict() == two.to_dict()
    assert one.to_dict() != other.to_dict()


def test_single_precision(vae, x):
    assert audit_elbo(vae, x, dtype=torch.float32, **QUICK).passed


def test_the_losses_that_training_uses(vae, x):
    from pyro_vae.objectives.elbo import ELBO

    for kl in ("sampled", "exact", "auto"):
        audit = audit_elbo(vae, x, loss=ELBO(kl=kl).pyro_loss(), **QUICK)
        assert audit.passed, audit.verdict
        assert any("training" in check.method for check in audit.checks)


def test_monte_carlo_error_falls_with_the_root_of_the_particles(linear, x):
    curves = audit_elbo(linear, x, particles=4096, gradients=0).monte_carlo_error()
    assert set(curves) == {"log_likelihood", "kl", "elbo"}
    for sizes, errors, slope in curves.values():
        assert sizes[0] == 1
        assert errors[0] > 4 * errors[-1]
        assert slope == pytest.approx(-0.5, abs=0.1)


def test_shown_in_terminal_jupyter_and_json(vae, x):
    audit = audit_elbo(vae, x, **QUICK)
    console = Console(width=160, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(audit)
    text = console.export_text()
    console.file.close()
    assert "ELBO audit" in text
    assert "PASSED" in text
    html = audit._repr_html_()
    assert html.count("<tr>") > sum(check.problems is None for check in audit.checks)
    assert "sites, supports, event dimensions" in html
    assert json.loads(json.dumps(audit.to_dict()))["passed"] is True
    rows, errors = audit.figure().axes
    assert rows.get_title("left").startswith("Audit: all ")
    assert errors.get_xlabel() == "particles K"


@pytest.mark.parametrize(
    ("options", "message"),
    [({"particles": 10}, "particles: expected at least 100, got 10"),
     ({"gradients": 3}, "gradients: expected at least 10, got 3")],
)  # fmt: skip
def test_too_few_draws_are_refused(vae, x, options, message):
    with pytest.raises(DataError, match=message):
        audit_elbo(vae, x, **options)


def test_unfit_data_are_refused(vae):
    with pytest.raises(PyroVAEError, match=r"shape \(N, 2, 3\), got one of shape \(5, 6\)"):
        audit_elbo(vae, torch.zeros(5, 6))
    with pytest.raises(PyroVAEError, match="at least one datum"):
        audit_elbo(vae, torch.zeros(0, 2, 3))


def test_one_datum_is_enough(vae, x):
    assert audit_elbo(vae, x[:1], **QUICK).passed


def test_the_audits_copies_leave_no_trace_in_pyros_store(vae, x):
    audit_elbo(vae, x, **QUICK)
    assert not [name for name in pyro.get_param_store() if not name.startswith(vae._pyro_name)]


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu(vae, x):
    assert audit_elbo(vae.cuda(), x, **QUICK).passed


def test_validation_is_as_it_was(vae, x):
    with pyro.validation_enabled(False):
        audit_elbo(vae, x, **QUICK)
        assert not pyro.infer.util.is_validation_enabled()
    assert isinstance(vae, VAE)
