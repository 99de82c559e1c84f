"""Conditional models: every part, the exact evidence, the audit, and what is refused."""

from __future__ import annotations

import numpy as np
import pyro
import pytest
import torch
from pyro.nn import pyro_method
from scipy import stats
from torch import nn

import pyro_vae
from pyro_vae import VAE, audit_elbo, calibrate, importance_sampling, impute, quadrature
from pyro_vae.conditions import Classes
from pyro_vae.core.condition import Condition
from pyro_vae.core.errors import DataError, DeclarationError, IncompatibleComponents
from pyro_vae.core.network import Network
from pyro_vae.core.posterior import Posterior
from pyro_vae.evidence.exact import linear_gaussian
from tests.small_models import stirred
from tests.variants import PICTURES, SEQUENCES, small_vae

CLASSES = {"kind": "classes", "count": 3}
C = torch.tensor([0, 1, 2, 2, 1, 1])
QUICK = {"particles": 300, "gradients": 10}


def conditional(**changes):
    return stirred(small_vae(condition=CLASSES, **changes))


@pytest.fixture
def x():
    return torch.randn(6, 3, generator=torch.Generator().manual_seed(0))


# every part --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", sorted(Posterior.kinds()))
def test_every_posterior_depends_on_the_condition(kind, x):
    if kind == "power_spherical":
        vae = small_vae(condition=CLASSES, posterior=kind, prior="uniform_sphere")
    else:
        vae = small_vae(condition=CLASSES, posterior=kind)
    given = vae.given(C)
    given.initialize(x)
    stirred(given)
    q = given.encode(x)
    assert (q.batch_shape, q.event_shape) == ((6,), (2,))
    assert importance_sampling(given, x, samples=5).log_evidence.isfinite().all()
    if kind == "per_example":
        with pytest.raises(DataError, match="per_example holds parameters only for the data"):
            vae.given((C + 1) % 3).encode(x)
    else:
        z = torch.tensor([0.6, 0.8])
        assert (vae.given((C + 1) % 3).encode(x).log_prob(z) != q.log_prob(z)).all()


@pytest.mark.parametrize("kind", sorted(set(Network.kinds()) - {"module_network"}))
def test_every_network_sees_the_condition(kind):
    shape = (2, 8, 8) if kind in PICTURES else (3, 2) if kind in SEQUENCES else (3,)
    usual = {"condition": {"kind": "vector", "size": 2}, "event_shape": shape}
    data, c = torch.randint(1, 5, (4, *shape)).float(), torch.randn(4, 2)
    for part in ("encoder", "decoder"):
        likelihood = "multinomial" if (kind, part) == ("topic_decoder", "decoder") else "gaussian"
        vae = stirred(small_vae(**usual, **{part: kind}, likelihood=likelihood).eval())
        one, other = (vae.reconstruct(data, condition=given) for given in (c, c.flip(0)))
        assert one.shape == data.shape
        assert not torch.equal(one, other)


def test_a_picture_network_sees_constant_channels_and_others_numbers_after_the_input():
    shape = {"event_shape": (2, 8, 8), "condition": CLASSES}
    conv = small_vae(**shape, encoder={"kind": "conv", "channels": [4]}).encoder
    assert conv.network.input_shape == (5, 8, 8)
    assert small_vae(**shape).encoder.network.input_shape == (131,)
    seen = []
    ready = small_vae(**shape, encoder=nn.Sequential(nn.Flatten(), nn.Linear(5 * 64, 4)))
    ready.encoder.network.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    data = torch.rand(2, 2, 8, 8)
    ready.encode(data, condition=[2, 0])
    assert torch.equal(seen[0][:, :2], data)
    assert torch.equal(seen[0][:, 2:, 3, 5], torch.tensor([[0.0, 0, 1], [1, 0, 0]]))
    assert (seen[0][:, 2:] == seen[0][:, 2:, :1, :1]).all()


def test_gaps_and_the_unit_of_the_data_leave_the_condition_as_it_is():
    scaled = {"kind": "gaussian", "scale": "learned"}
    vae = small_vae(condition=CLASSES, missing="zero_and_mask", likelihood=scaled)
    data = 1000 * torch.randn(50, 3)
    vae.initialize(data)
    seen = []
    network = vae.encoder.network.network
    network.layers[0].register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    data[0, 0] = torch.nan
    vae.encode(data[:2], condition=[1, 2])
    unit = float(network.input_unit)
    assert unit > 100
    known = data[:2].nan_to_num() / unit
    assert torch.allclose(seen[0][:, :3], known)
    masks = torch.tensor([[0.0, 1, 1, 0, 1, 0], [1, 1, 1, 0, 0, 1]])
    assert torch.allclose(seen[0][:, 3:], masks)


def test_the_conditional_prior_begins_standard_and_differs_by_condition():
    vae = small_vae(condition=CLASSES, prior="conditional")
    p = vae.given(C).prior()
    assert (p.batch_shape, p.event_shape) == ((6,), (2,))
    assert (p.mean == 0).all()
    assert torch.allclose(p.stddev, torch.ones(6, 2))
    p = stirred(vae).given(C).prior()
    assert torch.equal(p.mean[2], p.mean[3])
    assert not torch.equal(p.mean[0], p.mean[1])


def test_a_kind_of_the_users_embeds_as_it_says(registries, x):
    class Angle(Condition):
        """An angle, by its cosine and sine, scaled by a learned factor."""

        def __init__(self) -> None:
            super().__init__()
            self.shape, self.size = (), 2
            self.factor = nn.Parameter(torch.ones(()))

        def forward(self, c):
            return self.factor * torch.stack([c.cos(), c.sin()], -1)

    vae = small_vae(condition="angle")
    assert VAE(**vae.declaration).condition.kind == "angle"
    adam = pyro.optim.Adam({"lr": 0.1})
    pyro.infer.SVI(vae.model, vae.guide, adam, pyro.infer.Trace_ELBO()).step(x, torch.arange(6.0))
    factors = [p for name, p in vae.named_parameters() if "factor" in name]
    assert len(factors) == 2  # one of the encoder, one of the decoder
    assert all(factor != 1 for factor in factors)


# one mechanism -----------------------------------------------------------------------------------


def test_a_view_shares_the_weights_and_leaves_the_model_as_it_was(x):
    vae = conditional(prior="conditional")
    given = vae.given(C)
    assert [id(p) for p in given.parameters()] == [id(p) for p in vae.parameters()]
    with pytest.raises(DataError, match="Expected a condition for each datum"):
        vae.encode(x)
    together = given.encode(x).mean
    apart = torch.cat([part.encode(batch).mean for part, batch in given.split(x, 4)])
    assert torch.allclose(together, apart)
    assert torch.equal(vae.encode(x, condition=C).mean, together)
    single = vae.encode(x, condition=1).mean
    assert torch.allclose(single[1], together[1])
    assert not torch.allclose(single[0], together[0])


def test_the_programs_take_conditions_as_an_argument_or_given(x):
    vae = conditional(prior="conditional")
    elbo = pyro.infer.Trace_ELBO()
    losses = []
    for model, args in ((vae, (x, C)), (vae.given(C), (x,))):
        torch.manual_seed(0)
        losses.append(elbo.loss(model.model, model.guide, *args))
    assert losses[0] == losses[1]
    with pytest.raises(DataError, match="whole numbers from 0 to 2"):
        vae.guide(x, C + 1)
    assert vae.model(condition=C, size=6).shape == (6, 3)
    with pyro.validation_enabled(False), pytest.raises(DataError, match="declared without, got 5"):
        small_vae().model(None, 5)


def test_results_do_not_depend_on_how_data_are_cut_into_chunks(x, monkeypatch):
    given = conditional(decoder="linear").given(C)
    exact = linear_gaussian(given).log_evidence(x).detach()
    gap = importance_sampling(given, x, samples=2000)
    monkeypatch.setattr(pyro_vae.evidence.chunks, "BUDGET", {"cpu": 40})
    small = importance_sampling(given, x, samples=2000)
    for found in (gap, small):
        assert ((found.log_evidence - exact).abs() < 5 * found.stderr + 1e-4).all()


def test_generated_data_follow_the_condition():
    vae = small_vae(condition=CLASSES, decoder="linear", likelihood={"kind": "gaussian",
                    "scale": 0.01})  # fmt: skip
    with torch.no_grad():
        vae.decoder.network.affine.weight.zero_()
        vae.decoder.network.affine.weight[:, 2:] = torch.tensor([1.0, 2.0, 3.0])
        vae.decoder.network.affine.bias.zero_()
    assert torch.equal(vae.generate(2, condition=2), torch.full((2, 3), 3.0))
    assert torch.equal(vae.generate(3, condition=[2, 0, 1])[:, 0], torch.tensor([3.0, 1, 2]))


# the exact evidence ------------------------------------------------------------------------------


@pytest.fixture
def linear():
    """A linear-Gaussian model, whose evidence is N(W m + V e(c) + b, W S W' + sigma^2)."""
    vae = small_vae(condition={"kind": "vector", "size": 2}, decoder="linear",
                    prior="diagonal_normal")  # fmt: skip
    return stirred(vae).double().eval()


@pytest.fixture
def c():
    return torch.randn(6, 2, generator=torch.Generator().manual_seed(1)).double()


def test_the_evidence_is_the_normal_density_that_scipy_computes(linear, x, c):
    affine, prior = linear.decoder.network.affine, linear.prior()
    weight, bias = affine.weight.detach(), affine.bias.detach()
    loadings = weight[:, :2] * prior.stddev.detach()
    sigma = linear.given(c).decode(torch.zeros(6, 2).double()).stddev[0].detach()
    covariance = loadings @ loadings.mT + torch.diag(sigma**2)
    mean = weight[:, :2] @ prior.mean.detach() + bias
    ours = linear_gaussian(linear.given(c)).log_evidence(x.double()).detach()
    for row in range(6):
        oracle = stats.multivariate_normal((mean + weight[:, 2:] @ c[row]).numpy(), covariance)
        assert np.isclose(ours[row], oracle.logpdf(x[row].double()), rtol=1e-10)
    wrong = linear_gaussian(linear.given(c.flip(0))).log_evidence(x.double())
    assert (wrong - ours).abs().min() > 1e-6  # the condition counts


def test_every_route_to_the_evidence_agrees(linear, x, c):
    given, x = linear.given(c), x.double()
    exact = linear_gaussian(given).log_evidence(x).detach()
    found = quadrature(given, x)
    assert torch.allclose(found.log_evidence, exact, atol=1e-8)
    sampled = importance_sampling(given, x, samples=4000)
    assert ((sampled.log_evidence - exact).abs() < 5 * sampled.stderr + 1e-9).all()
    how = pyro_vae.Annealing(temperatures=100, chains=16, leapfrog=3)
    annealed = pyro_vae.annealed_importance_sampling(given, x, how=how)
    assert ((annealed.log_evidence - exact).abs() < 6 * annealed.stderr + 0.01).all()


def test_a_prior_of_the_condition_keeps_the_evidence_exact(linear, x, c):
    vae = stirred(linear.swap(prior="conditional")).double().eval()
    given, x = vae.given(c), x.double()
    exact, prior = linear_gaussian(given), given.prior()
    ours = exact.log_evidence(x).detach()
    noise = torch.diag(exact.scale.detach() ** 2)
    for row in range(6):
        loadings = (exact.weight * prior.stddev[row]).detach()
        mean = (exact.weight @ prior.mean[row] + exact.bias[row]).detach()
        oracle = stats.multivariate_normal(mean, loadings @ loadings.mT + noise)
        assert np.isclose(ours[row], oracle.logpdf(x[row]), rtol=1e-10)
    z = exact.posterior(x).sample()
    joint = given.decode(z).log_prob(x) + prior.log_prob(z)
    torch.testing.assert_close((joint - exact.posterior(x).log_prob(z)).detach(), ours)
    audit = audit_elbo(given, x, **QUICK)
    assert audit.passed, audit
    assert "evidence" in {check.quantity for check in audit.checks}


def test_a_vamp_prior_has_pseudo_inputs_with_conditions(x):
    vae = conditional(prior={"kind": "vamp", "pseudo_inputs": 6})
    given = vae.given(C)
    given.initialize(x)
    u = vae.prior.pseudo_inputs * vae.encoder.input_unit  # in the encoder's units
    known = vae.prior.conditions
    assert sorted(known.tolist()) == sorted(C.tolist())
    for datum, condition in zip(u, known, strict=True):
        row = torch.isclose(x, datum, atol=1e-5).all(1).nonzero().item()
        assert C[row] == condition
    parts = vae.given(known).encode(u)
    z = torch.randn(5, 2)
    want = parts.log_prob(z.unsqueeze(1)).logsumexp(1) - np.log(6)
    assert torch.allclose(vae.prior().log_prob(z), want, atol=1e-5)
    audit = audit_elbo(given, x, **QUICK)
    assert audit.passed, audit
    other = VAE(**vae.declaration)
    other.load_state_dict(vae.state_dict())
    assert torch.equal(other.prior.conditions, known)


def test_what_is_missing_is_imputed_given_the_condition(linear, x, c):
    data = x.double().clone()
    data[:, 0] = torch.nan
    found = impute(linear.given(c), data)
    given = linear_gaussian(linear.given(c))
    z = given.posterior(data).mean
    mean = (z @ given.weight.mT + given.bias).detach()
    assert found.estimator == "exact"
    assert torch.allclose(found.mean[:, 0], mean[:, 0])


def test_simulated_data_take_the_conditions_in_turn(linear, c):
    vae = linear.given(c[:3])
    found = calibrate(vae, simulations=100, draws=25, show_progress=False)
    assert found.ranks.shape == (100, 4)
    assert pyro_vae.bidirectional_monte_carlo(
        vae, 4, how=pyro_vae.Annealing(temperatures=4, chains=2, leapfrog=1)
    ).lower.shape == (4,)


# the audit ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"prior": "conditional"},
        {"decoder": "linear"},
        {"missing": "zero_and_mask", "posterior": "multivariate_normal"},
    ],
    ids=str,
)
def test_the_audit_passes(changes, x):
    audit = audit_elbo(conditional(**changes).given(C), x, **QUICK)
    assert audit.passed, audit
    assert "condition" in {check.quantity for check in audit.checks}


class EncoderAlone(VAE):
    """A model whose program forgets the condition: it takes all data for class 0."""

    @pyro_method
    def model(self, x, condition=None):
        vae = self.given(torch.zeros(len(x)))
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", vae.prior())
            return pyro.sample("x", vae.likelihood(vae.decoder(z), x), obs=x)


class OffByOne(VAE):
    """A model whose program counts classes from 1."""

    @pyro_method
    def model(self, x, condition=None):
        vae = self.given((self.conditions + 1) % self.condition.size)
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", vae.prior())
            return pyro.sample("x", vae.likelihood(vae.decoder(z), x), obs=x)


class PriorOffByOne(VAE):
    @pyro_method
    def model(self, x, condition=None):
        other = self.given((self.conditions + 1) % self.condition.size)
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", other.prior())
            return pyro.sample("x", self.likelihood(self.decoder(z), x), obs=x)


class GuideOffByOne(VAE):
    @pyro_method
    def guide(self, x, condition=None):
        vae = self.given((self.conditions + 1) % self.condition.size)
        with pyro.plate("data", len(x), dim=-1):
            return pyro.sample("z", vae.posterior(vae.encoder(x)))


PROGRAMS = {
    EncoderAlone: "log p(x|z)",
    OffByOne: "log p(x|z)",
    PriorOffByOne: "log p(z)",
    GuideOffByOne: "log q(z|x)",
}


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda cls: cls.__name__)
def test_the_audit_catches_a_condition_that_one_program_takes_for_another(program, x):
    right = conditional(prior="conditional")
    wrong = program(**right.declaration)
    wrong.load_state_dict(right.state_dict())
    audit = audit_elbo(wrong.given(C), x, particles=300, gradients=0)
    assert PROGRAMS[program] in {check.quantity for check in audit.failures}


def problems(vae, x):
    audit = audit_elbo(vae.given(C), x, particles=100, gradients=0)
    (check,) = [check for check in audit.checks if check.quantity == "condition"]
    assert check.passed == (not check.problems)
    return check.problems


def test_the_audit_catches_a_condition_that_no_part_of_the_model_sees(x):
    vae = conditional()
    assert problems(vae, x) == []
    vae.decoder.network.layers[0].weight.data[:, 2:] = 0  # it reaches the encoder alone
    assert problems(vae, x) == ["p(x|z, c) is the same for every condition"]
    vae.encoder.network.layers[0].weight.data[:, 3:] = 0
    assert len(problems(vae, x)) == 2


def test_the_audit_catches_classes_that_look_alike(x, monkeypatch):
    right = Classes.forward
    monkeypatch.setattr(Classes, "forward", lambda self, c: right(self, c.clamp(max=1)))
    assert problems(conditional(), x) == [
        f"{name}.condition gives conditions 1 and 2 one embedding"
        for name in ("encoder", "decoder")
    ]


def test_data_of_one_condition_are_not_compared(x):
    audit = audit_elbo(conditional().given(1, 6), x, particles=100, gradients=0)
    (check,) = [check for check in audit.checks if check.quantity == "condition"]
    assert (check.note, check.passed) == ("not compared", True)


# what is refused ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (3, "expected classes, whole numbers from 0 to 2, got 3"),
        ([0, 1], r"expected one for each datum, of shape \(6,\).* got shape \(2,\)"),
        ([0, 1, 2, -1, 0, 0], "in 1 of 6 rows, the first in row 3: -1"),
        ([0.5] * 6, "whole numbers from 0 to 2"),
        ("seven", "expected numbers, got 'seven'"),
        (float("nan"), "whole numbers"),
        (torch.zeros(6, 2), r"got shape \(6, 2\)"),
    ],
)
def test_a_wrong_condition_is_refused_in_words(given, message, x):
    vae = conditional()
    for act in (vae.encode, vae.reconstruct):
        with pytest.raises(DataError, match=message):
            act(x, condition=given)
    with pytest.raises(DataError, match=message):
        vae.generate(6, condition=given)


def test_a_superfluous_or_missing_condition_is_refused_in_words(x):
    with pytest.raises(DataError, match="declared without, got 1; leave it out"):
        small_vae().generate(2, condition=1)
    with pytest.raises(DataError, match="Expected a condition for each datum"):
        conditional().generate(2)
    few = conditional().given([0, 1])
    for act in (few.encode, lambda x: audit_elbo(few, x), lambda x: importance_sampling(few, x),
                lambda x: pyro_vae.embed(few, x)):  # fmt: skip
        with pytest.raises(DataError, match="expected one for each of 6 data, got 2"):
            act(x)
    with pytest.raises(DataError, match="Expected a condition for each datum"):
        audit_elbo(conditional(), x)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"condition": "klasses"}, DeclarationError, "unknown condition 'klasses'.*classes"),
        ({"condition": {"kind": "classes", "count": 0}}, DeclarationError, "condition.count"),
        ({"condition": nn.Linear(1, 1)}, DeclarationError, "condition: must be a Condition"),
        ({"prior": "conditional"}, IncompatibleComponents, "expected a model with a condition"),
        ({"condition": CLASSES | {"kind": "semi_supervised"}, "prior": "vamp"},
         IncompatibleComponents, "expected a condition that is known for all data"),
        ({"condition": CLASSES, "encoder": {"kind": "mlp", "input": "standardize"}},
         IncompatibleComponents, "encoder.input: must be none or log1p"),
    ],
)  # fmt: skip
def test_a_declaration_that_does_not_fit_is_refused_in_words(changes, error, message):
    with pytest.raises(error, match=message):
        small_vae(**changes)


def test_declarations_are_rebuilt_and_swapped():
    vae = small_vae(condition=CLASSES, prior="conditional")
    assert VAE(**vae.declaration).declaration == vae.declaration
    plain = vae.swap(prior="standard_normal", condition=None)
    assert plain.condition is None
    assert plain.generate(2).shape == (2, 3)
    ready = small_vae(condition=Classes(3))
    assert ready.declaration["condition"] == CLASSES
    assert "condition: {'kind': 'classes', 'count': 3}" in str(vae)
    with pytest.raises(IncompatibleComponents, match="aggregate posterior"):
        pyro_vae.kl_decomposition(vae.given(C), torch.randn(6, 3))
