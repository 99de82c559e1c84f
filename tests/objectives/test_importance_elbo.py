"""The importance-weighted and the Renyi bound: against the exact evidence, and each other."""

import math

import pyro
import pyro.distributions as dist
import pyro.infer
import pytest
import torch
from pyro import poutine
from pyro.infer import SVI

from pyro_vae.core.errors import DeclarationError, IncompatibleComponents, NonFiniteLoss
from pyro_vae.objectives.importance_elbo import TraceImportance_ELBO
from pyro_vae.objectives.iwae import IWAE
from pyro_vae.objectives.pyro_elbos import Trace_ELBO
from pyro_vae.objectives.renyi import Renyi
from tests.objectives import linear
from tests.objectives.test_refusals import Spoiling
from tests.variants import COVERING, Z_CRIT, small_vae, stirred


@pytest.fixture(params=COVERING[::4])
def vae(request):
    """Every fourth of the models that cover all variants."""
    return stirred(small_vae(**request.param))


def drawn(loss, vae, x, repeats=150, copies=100):
    """Draws of the bound, summed over the data, each a mean over copies of them."""
    batch = x.repeat(copies, 1)
    with torch.no_grad():
        values = [loss.loss(vae.model, vae.guide, batch) for _ in range(repeats)]
    return -torch.tensor(values, dtype=torch.float64) / copies


def z_of(values, expected):
    return abs(values.mean() - expected) / (values.std() / math.sqrt(len(values)))


@pytest.mark.parametrize("alpha", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("particles", [1, 2])
def test_the_mean_is_that_of_quadrature(alpha, particles):
    vae, x = linear.tiny(), linear.data()
    values = drawn(TraceImportance_ELBO(alpha, particles), vae, x)
    assert z_of(values, linear.quadrature(vae, x, particles, alpha).sum()) < Z_CRIT


def test_bounds_are_ordered_up_to_the_evidence():
    """ELBO < IWAE-5 < IWAE-50 < log p(x), and IWAE-5000 within its bias, of order 1/K."""
    vae, x = linear.tiny(), linear.data()
    elbo, evidence = linear.exact_elbo(vae, x).sum(), linear.evidence(vae, x).sum()
    five, fifty = (drawn(IWAE(k).pyro_loss(), vae, x, 100, 20) for k in (5, 50))
    for low, high in ((elbo, five), (five, fifty), (fifty, evidence)):
        gap = torch.as_tensor(high).mean() - torch.as_tensor(low).mean()
        spread = sum(v.var() / len(v) for v in (low, high) if v.dim())
        assert gap > Z_CRIT * spread.sqrt()
    many = drawn(IWAE(5000).pyro_loss(), vae, x, 100, 1)
    assert abs(many.mean() - evidence) < 0.1 * (evidence - five.mean())


def test_renyi_lies_between_the_elbo_and_iwae_draw_by_draw(vae, x, seeded):
    """The power mean of the weights rises with its order, 1 - alpha."""
    losses = [TraceImportance_ELBO(alpha, 4) for alpha in (0.0, 0.3, 0.999999, 3.0)]
    values = [-seeded(loss.loss, vae.model, vae.guide, x) for loss in losses]
    assert values == sorted(values, reverse=True)
    last = losses[2]
    elbo = seeded(last.loss, vae.model, vae.guide, x) and (last.log_likelihood - last.kl).item()
    assert values[2] == pytest.approx(elbo, rel=1e-3)


def value_and_gradient(loss, vae, x):
    vae.zero_grad()
    value = loss.loss_and_grads(vae.model, vae.guide, x)
    return value, {name: p.grad.clone() for name, p in vae.named_parameters()}


def test_one_particle_is_trace_elbo_in_value_and_gradient(vae, x, seeded):
    """The weight is one; and alpha does not matter."""
    first = seeded(value_and_gradient, Trace_ELBO(), vae, x)
    for loss in (IWAE(1).pyro_loss(), Renyi(0.5, 1).pyro_loss()):
        second = seeded(value_and_gradient, loss, vae, x)
        assert second[0] == pytest.approx(first[0], rel=1e-5, abs=1e-5)
        for name, gradient in first[1].items():
            assert torch.allclose(gradient, second[1][name], rtol=1e-3, atol=1e-4), name


def test_renyi_of_order_0_is_iwae(vae, x, seeded):
    first, second = (seeded(value_and_gradient, o.pyro_loss(), vae, x) for o in
                     (IWAE(4), Renyi(0.0, 4)))  # fmt: skip
    assert first[0] == second[0]
    assert all(torch.equal(gradient, second[1][name]) for name, gradient in first[1].items())


@pytest.mark.parametrize("objective", [IWAE(3), IWAE(3, "doubly_reparameterized"), Renyi(2.0, 3),
                                       IWAE(3, "score_function")],
                         ids=lambda objective: str(objective.declaration))  # fmt: skip
def test_the_loss_remembers_the_elbos_terms_and_its_own_value(objective, vae, x, seeded):
    loss = objective.pyro_loss()
    svi = SVI(vae.model, vae.guide, pyro.optim.Adam({"lr": 0.0}), loss)
    plain = Trace_ELBO(num_particles=3, vectorize_particles=True, max_plate_nesting=1)
    elbo = -seeded(plain.loss, vae.model, vae.guide, x)
    for call in (svi.step, svi.evaluate_loss):
        value = seeded(call, x)
        assert value == pytest.approx(-loss.bound.item(), rel=1e-5, abs=1e-5)
        assert elbo == pytest.approx((loss.log_likelihood - loss.kl).item(), rel=1e-4, abs=1e-4)
        if objective.kind == "iwae":
            assert -value >= elbo - 1e-4
    assert not loss.bound.requires_grad


def test_a_scale_multiplies_each_datums_bound(seeded):
    vae, x = stirred(small_vae()), torch.randn(5, 3)
    loss = IWAE(4).pyro_loss()
    plain = seeded(loss.loss, vae.model, vae.guide, x)
    terms = loss.log_likelihood, loss.kl, loss.bound
    for scale in (3.0, torch.tensor(3.0)):
        programs = poutine.scale(vae.model, scale=scale), poutine.scale(vae.guide, scale=scale)
        assert seeded(loss.loss, *programs, x) == pytest.approx(3 * plain, rel=1e-5)
        scaled = loss.log_likelihood, loss.kl, loss.bound
        assert all(torch.allclose(b, 3 * a) for a, b in zip(terms, scaled, strict=True))
    theirs = pyro.infer.RenyiELBO(alpha=0, num_particles=4, vectorize_particles=True,
                                  max_plate_nesting=1)  # fmt: skip
    assert seeded(theirs.loss, *programs, x) != pytest.approx(3 * plain, rel=1e-2)


def test_data_are_weighed_one_by_one(seeded):
    """The bound of a batch is the sum of its data's: not so for weights of whole batches."""
    vae, x = stirred(small_vae()), torch.randn(15, 3)
    loss = IWAE(5).pyro_loss()
    whole = torch.tensor([loss.loss(vae.model, vae.guide, x) for _ in range(100)])
    parts = torch.stack([torch.tensor([loss.loss(vae.model, vae.guide, row) for _ in range(60)])
                         for row in x.split(1)]).sum(0)  # fmt: skip
    spread = (whole.var() / len(whole) + parts.var() / len(parts)).sqrt()
    assert abs(whole.mean() - parts.mean()) < Z_CRIT * spread


def test_a_masked_datum_has_no_bound(seeded):
    vae, x = stirred(small_vae()), torch.randn(4, 3)
    loss, mask = IWAE(3).pyro_loss(), torch.tensor([True, False, True, False])
    programs = [poutine.mask(program, mask=mask) for program in (vae.model, vae.guide)]
    nothing = [
        poutine.mask(program, mask=torch.tensor(False)) for program in (vae.model, vae.guide)
    ]
    assert seeded(loss.loss, *nothing, x) == pytest.approx(0.0, abs=1e-5)
    first = seeded(loss.loss, *programs, x)
    x[1] = x[3] = 100.0  # whatever a masked datum is
    assert seeded(loss.loss, *programs, x) == pytest.approx(first, rel=1e-5)


# planted mistakes --------------------------------------------------------------------------------


class Mistaken(TraceImportance_ELBO):
    """The importance-weighted bound from weights in which something is wrong."""

    def __init__(self, mistake):
        super().__init__(num_particles=2)
        self.mistake = mistake

    def value_and_surrogate(self, draws):
        value = self.mistake(draws.log_weights).sum()
        self.remember(draws, draws.log_posterior - draws.log_prior, value)
        return value, value


def iwae(log_weights):
    return log_weights.logsumexp(0) - math.log(len(log_weights))


MISTAKES = {
    "the loss in place of its negative": lambda w: iwae(-w),
    "the loss in place of its negative, turned back": lambda w: -iwae(-w),
    "a sign": lambda w: -iwae(w),
    "a scale inside the exponent": lambda w: iwae(1.5 * w) / 1.5,
    "fewer particles than asked for": lambda w: iwae(w[:1]),
    "whole batches": lambda w: iwae(w.sum(1, keepdim=True)),
    "no mean of the weights": lambda w: w.logsumexp(0),
}


def test_the_test_passes_what_is_right():
    vae, x = linear.tiny(), linear.data()
    assert (
        z_of(drawn(Mistaken(iwae), vae, x, 150, 10), linear.quadrature(vae, x, 2).sum()) < Z_CRIT
    )


@pytest.mark.parametrize("mistake", MISTAKES)
def test_planted_mistakes_are_caught_by_the_exact_bound(mistake):
    vae, x = linear.tiny(), linear.data(20)
    loss, exact = Mistaken(MISTAKES[mistake]), linear.quadrature(vae, x, 2).sum()
    assert z_of(drawn(loss, vae, x, 400, 1), exact) > Z_CRIT


# refusals ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: IWAE(0), "iwae.particles: must be > 0, got 0"),
        (lambda: IWAE(5, "sticking_the_landing"), "biased for the importance-weighted bound"),
        (lambda: IWAE(1, "score_function"), "needs particles >= 2.*got particles 1"),
        (lambda: IWAE(5, "stl"), "estimator: must be pathwise, sticking_the_landing"),
        (
            lambda: Renyi(1.0),
            "must not be 1, where the Renyi bound is the ELBO: choose kind: elbo",
        ),
        (lambda: Renyi(1), "must not be 1"),
        (lambda: Renyi(-0.5), "renyi.alpha: must be >= 0, got -0.5"),
    ],
)
def test_what_has_no_meaning_is_refused(build, message):
    with pytest.raises(DeclarationError, match=message):
        build()


def sites(*names, data=None, of_data=1.0):
    """A program with normal sites in a plate, and perhaps data, scaled by themselves."""

    def program():
        with pyro.plate("data", 4):
            for name in names:
                pyro.sample(name, dist.Normal(torch.zeros(2), 1.0).to_event(1))
            if data is not None:
                with poutine.scale(scale=of_data):
                    pyro.sample("x", dist.Normal(torch.zeros(2), 1.0).to_event(1), obs=data)

    return program


def beside_a_global_site(program):
    def both():
        pyro.sample("u", dist.Normal(0.0, 1.0))
        program()

    return both


MODEL, GUIDE = sites("a", "b", data=torch.zeros(4, 2)), sites("a", "b")
PROGRAMS = {
    "another site": (MODEL, sites("a"), r"same sites, got \['a', 'b'\] and \['a'\]"),
    "a site outside the plate": (
        *map(beside_a_global_site, (MODEL, GUIDE)),
        "expected every site within one plate over the data",
    ),
    "a scale in the guide": (
        MODEL, poutine.scale(GUIDE, scale=2.0), "expected one scale in model and guide"
    ),
    "a scale of the data": (
        sites("a", "b", data=torch.zeros(4, 2), of_data=2.0), GUIDE, "expected one scale"
    ),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:Found")  # Pyro notices one of them too
@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_without_weights_of_each_datum_are_refused(name):
    model, guide, message = PROGRAMS[name]
    with pytest.raises(IncompatibleComponents, match=message):
        TraceImportance_ELBO(num_particles=2).loss(model, guide)


def test_several_sites_are_one_weight():
    loss = TraceImportance_ELBO(num_particles=3)
    expected = -4 * dist.Normal(torch.zeros(2), 1.0).log_prob(torch.zeros(2)).sum().item()
    assert loss.loss(MODEL, GUIDE) == pytest.approx(expected)
    with pytest.raises(IncompatibleComponents, match=r"one latent site.*got \['a', 'b'\]"):
        TraceImportance_ELBO(estimator="doubly_reparameterized").loss(MODEL, GUIDE)


@pytest.mark.filterwarnings("ignore:Encountered")
def test_a_loss_that_is_not_finite_names_the_site_and_the_rows():
    vae = small_vae(decoder=Spoiling([1, 3]))
    svi = SVI(vae.model, vae.guide, pyro.optim.Adam({"lr": 0.1}), IWAE(3).pyro_loss())
    with (
        pyro.validation_enabled(False),
        pytest.raises(NonFiniteLoss, match=r"log p\(x\) is not finite in 2 of 5 rows.*\[1, 3\]"),
    ):
        svi.step(torch.zeros(5, 3))
