"""The weighted ELBO: its weight, its warm-up, its free bits, and what is refused."""

import math

import pyro
import pytest
import torch
from pyro import poutine
from pyro.infer import SVI
from torch import nn
from torch.distributions import kl_divergence

from pyro_vae import fit
from pyro_vae.core.errors import DeclarationError, IncompatibleComponents, NoClosedFormKL
from pyro_vae.objectives.beta_elbo import TraceBeta_ELBO
from pyro_vae.objectives.elbo import ELBO
from pyro_vae.objectives.iwae import IWAE
from pyro_vae.objectives.kl import kl_exact, kl_per_dimension
from pyro_vae.objectives.renyi import Renyi
from pyro_vae.objectives.terms import elbo_terms
from tests.objectives.common import exact_or_skip
from tests.objectives.test_pyro_elbos import loss_and_gradients
from tests.variants import COVERING, small_vae, stirred


@pytest.fixture(params=COVERING[::4])
def vae(request):
    """Every fourth of the models that cover all variants."""
    return stirred(small_vae(**request.param))


@pytest.mark.parametrize("kl", ["sampled", "exact"])
@pytest.mark.parametrize("particles", [1, 3])
def test_value_and_gradient_are_those_of_the_weighted_terms(vae, x, kl, particles, seeded):
    if kl == "exact":
        exact_or_skip(vae, x)
    loss = ELBO(kl=kl, particles=particles, beta=0.3).pyro_loss()
    value, gradients = seeded(loss_and_gradients, loss, vae, x)
    vae.zero_grad()
    terms = seeded(elbo_terms, vae, x, kl=kl, particles=particles)
    expected = (terms.log_likelihood - 0.3 * terms.kl).sum()
    (-expected).backward()
    assert -value == pytest.approx(expected.item(), rel=1e-4, abs=1e-4)
    for name, parameter in vae.named_parameters():
        assert torch.allclose(gradients[name], parameter.grad, rtol=1e-3, atol=1e-4), name
    assert loss.kl.item() == pytest.approx(terms.kl.sum().item(), rel=1e-4, abs=1e-4)
    assert loss.bound.item() == pytest.approx(-value, rel=1e-5, abs=1e-5)


def test_a_weight_of_one_is_the_plain_elbo(vae, x, seeded):
    for kl in ("sampled", "auto"):
        plain, weighted = ELBO(kl=kl).pyro_loss(), TraceBeta_ELBO(kl=kl)
        first, second = (seeded(loss_and_gradients, loss, vae, x) for loss in (plain, weighted))
        assert first[0] == pytest.approx(second[0], rel=1e-5, abs=1e-5)
        for name, gradient in first[1].items():
            assert torch.allclose(gradient, second[1][name], rtol=1e-3, atol=1e-4), name


@pytest.mark.parametrize("estimator", ["sticking_the_landing", "score_function"])
def test_estimators_have_the_value_of_the_pathwise_one(vae, x, estimator, seeded):
    losses = [TraceBeta_ELBO(num_particles=3, estimator=e) for e in ("pathwise", estimator)]
    first, second = (seeded(loss.loss_and_grads, vae.model, vae.guide, x) for loss in losses)
    assert first == pytest.approx(second, rel=1e-5, abs=1e-4)
    assert losses[0].kl.item() == pytest.approx(losses[1].kl.item(), rel=1e-4, abs=1e-4)


def test_warm_up_is_linear_and_changes_the_weight_in_place():
    loss = ELBO(beta=2.0, warm_up=4).pyro_loss()
    weight = loss.beta
    assert weight.item() == 2.0  # until the first epoch is told
    seen = []
    for epoch in range(1, 7):
        loss.begin_epoch(epoch)
        seen.append(weight.item())
    assert seen == [0.5, 1.0, 1.5, 2.0, 2.0, 2.0]
    assert loss.beta is weight


def test_training_warms_up_and_its_history_says_what_was_maximized():
    data = torch.randn(80, 3, generator=torch.Generator().manual_seed(0))
    result = fit(small_vae(), data, objective=ELBO(kl="exact", beta=3.0, warm_up=3), epochs=4,
                 show_progress=False)  # fmt: skip
    for record, beta in zip(result.history, (1.0, 2.0, 3.0, 3.0), strict=True):
        expected = record["log_likelihood"] - beta * record["kl"]
        assert record["objective"] == pytest.approx(expected, rel=1e-5)
        assert record["elbo"] == pytest.approx(record["log_likelihood"] - record["kl"], rel=1e-5)
    assert "objective (elbo)" in str(result)


def test_a_warm_up_longer_than_the_run_is_refused_before_any_work():
    vae = small_vae()
    before = {name: p.detach().clone() for name, p in vae.named_parameters()}
    with pytest.raises(DeclarationError, match=r"got 5 epochs of warm-up in a run of 4"):
        fit(vae, torch.randn(80, 3), objective=ELBO(warm_up=5), epochs=4, show_progress=False)
    assert all(torch.equal(before[name], p) for name, p in vae.named_parameters())
    assert fit(vae, torch.randn(80, 3), objective=ELBO(warm_up=4), epochs=4, show_progress=False)


def test_free_bits_floor_the_batchs_mean_of_each_dimension(seeded):
    vae, x = stirred(small_vae()), torch.randn(6, 3)
    each = kl_divergence(vae.encode(x).base_dist, vae.prior().base_dist)  # (N, M), by torch
    mean = each.mean(0)
    floor = mean.mean().item()  # one dimension below, one above
    loss = ELBO(kl="exact", free_bits=floor, particles=2, beta=0.5).pyro_loss()
    value, gradients = seeded(loss_and_gradients, loss, vae, x)
    terms = seeded(elbo_terms, vae, x, kl="exact", particles=2)
    penalty = 6 * (floor + mean.max())
    assert -value == pytest.approx((terms.log_likelihood.sum() - 0.5 * penalty).item(), rel=1e-5)
    assert loss.kl.item() == pytest.approx(each.sum().item(), rel=1e-5)
    vae.zero_grad()
    (0.5 * penalty - terms.log_likelihood.sum()).backward()  # the floor has no gradient
    for name, parameter in vae.named_parameters():
        assert torch.allclose(gradients[name], parameter.grad, rtol=1e-4, atol=1e-5), name


class Blind(nn.Module):
    """A decoder that does not look at z."""

    def __init__(self):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(3))

    def forward(self, z):
        return self.bias + 0 * z.sum(-1, keepdim=True)


def test_free_bits_keep_a_dimension_from_collapsing():
    """With a decoder that does not look at z the KL stays at its floor and not at 0."""
    torch.manual_seed(0)
    kls = {}
    for bits in (0.0, 0.5):
        vae = stirred(small_vae(encoder="linear", decoder=Blind())).eval()
        x, loss = torch.randn(50, 3), ELBO(kl="exact", free_bits=bits).pyro_loss()
        svi = SVI(vae.model, vae.guide, pyro.optim.Adam({"lr": 0.01}), loss)
        with torch.no_grad():
            vae.encoder.affine.bias[:2] += 1.5
        for _ in range(400):
            svi.step(x)
        kls[bits] = kl_per_dimension(vae.encode(x), vae.prior())[0].mean(0)
    assert kls[0.0].max() < 0.05
    assert (kls[0.5] > 0.3).all()


def test_dimensions_sum_to_the_kl(vae, x):
    q, p = vae.encode(x), vae.prior()
    each, method = kl_per_dimension(q, p)
    if each is None:
        pytest.skip(f"the KL of this pair is no sum over dimensions: {method}")
    assert each.shape == (len(x), vae.latent_dim)
    assert torch.allclose(each.sum(-1), kl_exact(q, p), rtol=1e-4, atol=1e-5)
    assert torch.allclose(each, kl_divergence(q.base_dist, p.base_dist), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("pair", [
    {"posterior": "multivariate_normal"}, {"posterior": "householder"}, {"posterior": "iaf"},
    {"prior": "gaussian_mixture"}, {"prior": "multivariate_normal"}, {"prior": "hierarchical"},
    {"posterior": "power_spherical", "prior": "uniform_sphere"}, {"prior": "student_t"},
])  # fmt: skip
def test_free_bits_of_a_kl_that_is_no_sum_are_refused(pair):
    vae, x = small_vae(**pair), torch.randn(5, 3)
    loss = ELBO(kl="auto", free_bits=0.1).pyro_loss()
    with pytest.raises(NoClosedFormKL, match=r"sum over the latent dimensions.*leave free_bits"):
        loss.loss(vae.model, vae.guide, x)


def test_free_bits_of_a_masked_batch_and_other_masks_are_refused():
    vae, x, mask = small_vae(), torch.randn(4, 3), torch.tensor([True, False, True, True])
    model, guide = (poutine.mask(program, mask=mask) for program in (vae.model, vae.guide))
    with pytest.raises(IncompatibleComponents, match="expected no mask with free bits"):
        ELBO(kl="exact", free_bits=0.1).pyro_loss().loss(model, guide, x)
    with pytest.raises(IncompatibleComponents, match="expected one mask in model and guide"):
        ELBO(kl="exact", beta=0.1).pyro_loss().loss(model, vae.guide, x)


def test_scales_and_masks_weigh_both_terms(seeded):
    vae, x, mask = stirred(small_vae()), torch.randn(4, 3), torch.tensor([True, False, True, True])
    for kl in ("sampled", "exact"):
        loss = ELBO(kl=kl, beta=0.5).pyro_loss()
        plain = seeded(loss.loss, vae.model, vae.guide, x)
        scaled = [poutine.scale(program, scale=3.0) for program in (vae.model, vae.guide)]
        assert seeded(loss.loss, *scaled, x) == pytest.approx(3 * plain, rel=1e-5)
        terms = seeded(elbo_terms, vae, x, kl=kl)
        expected = -(terms.log_likelihood - 0.5 * terms.kl)[mask].sum().item()
        masked = [poutine.mask(program, mask=mask) for program in (vae.model, vae.guide)]
        assert seeded(loss.loss, *masked, x) == pytest.approx(expected, rel=1e-5)
    bits = ELBO(kl="exact", free_bits=0.4).pyro_loss()
    plain = seeded(bits.loss, vae.model, vae.guide, x)
    assert seeded(bits.loss, *scaled, x) == pytest.approx(3 * plain, rel=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"beta": -1.0}, "elbo.beta: must be >= 0, got -1.0"),
        ({"warm_up": -1}, "elbo.warm_up: must be >= 0, got -1"),
        ({"free_bits": 0.5}, "elbo.free_bits: needs a KL in closed form.*choose kl: exact"),
        ({"estimator": "doubly_reparameterized"}, "does not apply to the ELBO.*kind: iwae"),
        (
            {"estimator": "sticking_the_landing", "kl": "exact"},
            "drops the score of a sampled.*choose kl: sampled",
        ),
        ({"estimator": "sticking_the_landing", "kl": "auto"}, "choose kl: sampled"),
        ({"estimator": "score_function"}, "needs particles >= 2.*got particles 1"),
    ],
)
def test_what_has_no_meaning_is_refused(arguments, message):
    with pytest.raises(DeclarationError, match=message):
        ELBO(**arguments)


@pytest.mark.parametrize(
    "objective",
    [ELBO(), ELBO(kl="exact", beta=2.0, warm_up=3), ELBO(particles=2, estimator="score_function")],
    ids=["plain", "warm-up", "score"],
)
def test_declarations_come_back(objective):
    declared = objective.declaration
    assert ELBO(**{k: v for k, v in declared.items() if k != "kind"}).declaration == declared


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu(seeded):
    vae, x = stirred(small_vae()).cuda(), torch.randn(5, 3).cuda()
    loss = ELBO(kl="exact", beta=2.0, warm_up=2, free_bits=0.1).pyro_loss()
    for epoch in (1, 2):
        loss.begin_epoch(epoch)
        on_gpu = seeded(loss.loss_and_grads, vae.model, vae.guide, x)
        assert loss.bound.item() == pytest.approx(-on_gpu, rel=1e-5)
    assert loss.beta.is_cuda
    for objective in (IWAE(3, "doubly_reparameterized"), IWAE(3, "score_function"), Renyi(0.5)):
        assert math.isfinite(objective.pyro_loss().loss_and_grads(vae.model, vae.guide, x))
