"""The objectives as Pyro losses: their value, their gradient, and the terms they remember."""

import pyro
import pyro.infer
import pytest
import torch
from pyro import poutine
from pyro.infer import SVI

from pyro_vae.core.errors import DeclarationError, NoClosedFormKL
from pyro_vae.objectives.elbo import ELBO
from pyro_vae.objectives.objective import Objective
from pyro_vae.objectives.pyro_elbos import Trace_ELBO, TraceExactKL_ELBO
from pyro_vae.objectives.terms import elbo_terms
from tests.objectives.common import exact_or_skip, known_to_torch_or_skip
from tests.variants import small_vae, stirred

VECTORIZED = {"num_particles": 3, "vectorize_particles": True, "max_plate_nesting": 1}
OPTIONS = {"one": {}, "loop": {"num_particles": 2}, "vectorized": VECTORIZED}


@pytest.fixture(params=OPTIONS)
def options(request):
    return OPTIONS[request.param]


def loss_and_gradients(loss, vae, x):
    vae.zero_grad()
    value = loss.loss_and_grads(vae.model, vae.guide, x)
    return value, {name: p.grad.clone() for name, p in vae.named_parameters()}


def agree(first, second, rtol):
    (loss, gradients), (other, others) = first, second
    return loss == pytest.approx(other, rel=rtol, abs=1e-5) and all(
        torch.allclose(gradients[name], others[name], rtol=rtol, atol=1e-5) for name in others
    )


def test_trace_elbo_is_pyros_in_value_and_gradient(vae, x, options, seeded):
    first = seeded(loss_and_gradients, Trace_ELBO(**options), vae, x)
    second = seeded(loss_and_gradients, pyro.infer.Trace_ELBO(**options), vae, x)
    assert first[0] == second[0]
    assert all(torch.equal(first[1][name], second[1][name]) for name in second[1])
    value = seeded(Trace_ELBO(**options).loss, vae.model, vae.guide, x)
    assert value == pytest.approx(first[0], rel=1e-6, abs=1e-5)


def test_exact_elbo_is_pyros_mean_field_in_value_and_gradient(vae, x, options, seeded):
    known_to_torch_or_skip(vae, x)
    first = seeded(loss_and_gradients, TraceExactKL_ELBO(**options), vae, x)
    second = seeded(loss_and_gradients, pyro.infer.TraceMeanField_ELBO(**options), vae, x)
    assert agree(first, second, rtol=1e-4)


@pytest.mark.parametrize("kl", ["exact", "sampled"])
def test_gradients_are_those_of_the_hand_written_terms(vae, x, kl, seeded):
    if kl == "exact":
        exact_or_skip(vae, x)
    vae, x = vae.double(), x.double()  # a spline's gradients are large
    pyros = ELBO(kl=kl, particles=3).pyro_loss()
    first = seeded(loss_and_gradients, pyros, vae, x)

    def by_hand(sign=-1):
        vae.zero_grad()
        loss = sign * elbo_terms(vae, x, kl=kl, particles=3).elbo.sum()
        loss.backward()
        return loss.item(), {name: p.grad.clone() for name, p in vae.named_parameters()}

    assert agree(first, seeded(by_hand), rtol=1e-4)
    assert not agree(first, seeded(by_hand, sign=1), rtol=1e-4)  # a planted mistake


def test_a_loss_has_the_gradient_that_it_promises(vae, x, options, seeded):
    exact_or_skip(vae, x)
    loss = TraceExactKL_ELBO(**options)
    value, gradients = seeded(loss_and_gradients, loss, vae, x)
    vae.zero_grad()
    differentiable = seeded(loss.differentiable_loss, vae.model, vae.guide, x)
    differentiable.backward()
    assert differentiable.item() == pytest.approx(value, rel=1e-6, abs=1e-5)
    assert seeded(loss.loss, vae.model, vae.guide, x) == pytest.approx(value, rel=1e-6, abs=1e-5)
    for name, parameter in vae.named_parameters():
        assert torch.allclose(parameter.grad, gradients[name], atol=1e-6)


@pytest.mark.parametrize("kl", ["sampled", "exact"])
@pytest.mark.parametrize("particles", [1, 3])
def test_remembered_terms_are_those_of_the_step(vae, x, kl, particles, seeded):
    if kl == "exact":
        exact_or_skip(vae, x)
    loss = ELBO(kl=kl, particles=particles).pyro_loss()
    svi = SVI(vae.model, vae.guide, pyro.optim.Adam({"lr": 0.0}), loss)
    terms = seeded(elbo_terms, vae, x, kl=kl, particles=particles)
    for call in (svi.step, svi.evaluate_loss, svi.evaluate_loss):  # forgotten before each
        value = seeded(call, x)
        assert value == pytest.approx((loss.kl - loss.log_likelihood).item(), rel=1e-5, abs=1e-5)
        assert loss.kl.item() == pytest.approx(terms.kl.sum().item(), rel=1e-4, abs=1e-5)
        expected = terms.log_likelihood.sum().item()
        assert loss.log_likelihood.item() == pytest.approx(expected, rel=1e-4, abs=1e-5)
    assert not loss.kl.requires_grad
    assert not loss.log_likelihood.requires_grad


def test_a_loop_of_particles_remembers_their_mean(vae, x):
    for loss in (Trace_ELBO(num_particles=4), TraceExactKL_ELBO(kl="auto", num_particles=4)):
        value = loss.loss(vae.model, vae.guide, x)
        assert value == pytest.approx((loss.kl - loss.log_likelihood).item(), rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("weighted", [
    lambda program: poutine.scale(program, scale=3.0),
    lambda program: poutine.scale(program, scale=torch.tensor(3.0)),
    lambda program: poutine.mask(program, mask=torch.tensor([True, False, True, True, False])),
    lambda program: poutine.mask(program, mask=False),
])  # fmt: skip
@pytest.mark.parametrize("cls", [Trace_ELBO, TraceExactKL_ELBO])
def test_equal_scales_and_masks_weigh_both_terms(cls, weighted, seeded):
    vae, x = stirred(small_vae()), torch.randn(5, 3)
    theirs = {Trace_ELBO: pyro.infer.Trace_ELBO, TraceExactKL_ELBO: pyro.infer.TraceMeanField_ELBO}
    programs = weighted(vae.model), weighted(vae.guide)
    loss = cls()
    value = seeded(loss.loss, *programs, x)
    assert value == pytest.approx(seeded(theirs[cls]().loss, *programs, x), rel=1e-5)
    assert value == pytest.approx((loss.kl - loss.log_likelihood).item(), rel=1e-5, abs=1e-5)


def test_routes_are_told(unpaired, seeded):
    x = torch.randn(5, 3)
    for prior, method in (("standard_normal", "exact"), (unpaired, "sampled")):
        vae, loss = stirred(small_vae(prior=prior)), TraceExactKL_ELBO(kl="auto")
        value = seeded(loss.loss, vae.model, vae.guide, x)
        assert loss.methods == {"z": method}
        kind = "exact" if method == "exact" else "sampled"
        assert value == pytest.approx(-seeded(elbo_terms, vae, x, kl=kind).elbo.sum().item())


def test_exact_training_refuses_what_has_no_closed_form(unpaired):
    vae, x = small_vae(prior=unpaired), torch.randn(5, 3)
    before = {name: p.detach().clone() for name, p in vae.named_parameters()}
    loss = ELBO(kl="exact").pyro_loss()
    svi = SVI(vae.model, vae.guide, pyro.optim.Adam({"lr": 0.1}), loss)
    with pytest.raises(NoClosedFormKL, match="choose kl: sampled, or kl: auto"):
        svi.step(x)
    assert all(torch.equal(before[name], p) for name, p in vae.named_parameters())
    for kl, lr in (("auto", 0.1), ("sampled", 0.07)):
        loss = ELBO(kl=kl).pyro_loss()
        SVI(vae.model, vae.guide, pyro.optim.Adam({"lr": lr}), loss).step(x)
    assert not any(torch.equal(before[name], p) for name, p in vae.named_parameters())


@pytest.mark.parametrize("kind", Objective.kinds())
def test_every_objective_trains_by_name(kind, vae, x):
    loss = Objective.kinds()[kind]().pyro_loss()
    before = {name: p.detach().clone() for name, p in vae.named_parameters()}
    svi = SVI(vae.model, vae.guide, pyro.optim.Adam({"lr": 0.01}), loss)
    svi.step(x)
    svi.step(x)
    assert [name for name, p in vae.named_parameters() if torch.equal(before[name], p)] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"kl": "exat"},
            "elbo.kl: must be sampled, exact or auto, got 'exat'; did you mean 'exac",
        ),
        ({"particles": 0}, "elbo.particles: must be > 0, got 0"),
    ],
)
def test_bad_objectives_are_refused(arguments, message):
    with pytest.raises(DeclarationError, match=message):
        ELBO(**arguments)
