"""Every estimator of every objective has the exact gradient of the linear-Gaussian model."""

import math

import pyro
import pyro.distributions as dist
import pytest
import torch

from pyro_vae.auditing.checks import critical_z
from pyro_vae.objectives import beta_elbo, importance_elbo
from pyro_vae.objectives.elbo import ELBO
from pyro_vae.objectives.importance_elbo import TraceImportance_ELBO
from pyro_vae.objectives.iwae import IWAE
from pyro_vae.objectives.renyi import Renyi
from tests.objectives import linear
from tests.variants import small_vae, stirred

FALSE_ALARM = 1e-5


def worst(vae, loss, x, exact):
    """The largest |z| of each group's gradient, and what none should pass."""
    drawn = linear.drawn_gradients(vae, loss, x)
    expected = -linear.gradient_of(vae, exact.sum())
    stderr = drawn.std(0) / math.sqrt(len(drawn))
    gap = (drawn.mean(0) - expected).abs()
    z = torch.where(gap < 1e-9, 0.0, gap / stderr.clamp(min=1e-30))
    found = {name: z[index].max().item() for name, index in linear.groups(vae).items()}
    return found, critical_z(FALSE_ALARM, len(z))


UNBIASED = {
    "elbo pathwise": ELBO(beta=0.7),
    "elbo sticking_the_landing": ELBO(beta=0.7, estimator="sticking_the_landing"),
    "elbo score_function": ELBO(beta=0.7, particles=3, estimator="score_function"),
    "elbo score_function, exact kl": ELBO(
        kl="exact", beta=0.7, particles=2, estimator="score_function"
    ),
}


@pytest.mark.parametrize("name", UNBIASED)
def test_of_the_elbo(name):
    vae, x = linear.tiny(), linear.data()
    found, critical = worst(vae, UNBIASED[name].pyro_loss(), x, linear.exact_elbo(vae, x, 0.7))
    assert max(found.values()) < critical, found
    wrong, _ = worst(vae, UNBIASED[name].pyro_loss(), x, linear.exact_elbo(vae, x, 0.9))
    assert max(wrong.values()) > critical  # a planted mistake


BOUNDS = {
    "iwae pathwise": IWAE(2),
    "iwae doubly_reparameterized": IWAE(2, "doubly_reparameterized"),
    "iwae score_function": IWAE(2, "score_function"),
    "renyi": Renyi(0.5, 2),
    "renyi above 1": Renyi(2.0, 2),
}


@pytest.mark.parametrize("name", BOUNDS)
def test_of_the_importance_weighted_bounds(name):
    vae, x = linear.tiny(), linear.data()
    loss = BOUNDS[name].pyro_loss()
    exact = linear.quadrature(vae, x, 2, loss.alpha)
    found, critical = worst(vae, loss, x, exact)
    assert max(found.values()) < critical, found


def test_the_guides_parameters_in_the_prior_meet_one_weight():
    """VampPrior's prior is made of the encoder, whose direct share is not doubly weighted."""
    vae, x = linear.tiny(prior={"kind": "vamp", "pseudo_inputs": 2}), linear.data()
    found, critical = worst(vae, IWAE(2, "doubly_reparameterized").pyro_loss(), x,
                            linear.quadrature(vae, x, 2, nodes=401))  # fmt: skip
    assert max(found.values()) < critical, found


class TestPlanted:
    """Mistakes that are easy to make, each of which biases the guide's gradient."""

    def biased(self, estimator):
        vae, x = linear.tiny(), linear.data()
        found, critical = worst(
            vae, IWAE(2, estimator).pyro_loss(), x, linear.quadrature(vae, x, 2)
        )
        assert found["encoder"] > critical
        assert found["decoder"] < critical

    def test_sticking_the_landing_of_two_particles(self, monkeypatch):
        """Without the second weight, which is why that estimator is refused."""
        monkeypatch.setattr(importance_elbo, "_weigh_gradient", lambda *_: None)
        self.biased("doubly_reparameterized")

    def test_a_score_that_is_not_taken_out(self, monkeypatch):
        monkeypatch.setattr(
            importance_elbo, "path_of_log_posterior", lambda draws, *_, **__: draws.log_posterior
        )
        self.biased("doubly_reparameterized")

    def test_a_baseline_of_ones_own(self, monkeypatch):
        mean = importance_elbo.vimco_baseline
        monkeypatch.setattr(
            importance_elbo, "vimco_baseline", lambda w: mean(w) + 0.5 * w - 0.5 * w.flip(0)
        )
        self.biased("score_function")

    def test_a_mean_that_leaves_none_out(self, monkeypatch):
        monkeypatch.setattr(beta_elbo, "leave_one_out", lambda values: values.mean(0))
        vae, x = linear.tiny(), linear.data()
        loss = ELBO(particles=2, estimator="score_function").pyro_loss()
        found, critical = worst(vae, loss, x, linear.exact_elbo(vae, x))
        assert found["encoder"] > critical


FLOWS = ["iaf", "planar", "neural_spline", "gaussian_mixture", "hierarchical", "householder"]


@pytest.mark.parametrize("posterior", FLOWS)
@pytest.mark.parametrize("estimator", ["sticking_the_landing", "doubly_reparameterized"])
def test_path_and_score_are_told_apart_for_every_posterior(posterior, estimator, seeded):
    """Pathwise less path alone is the score, whose gradient is that of log q at fixed draws."""
    vae = stirred(small_vae(posterior=posterior)).double()
    x = torch.randn(4, 3).double()

    def gradient(loss):
        return seeded(lambda: linear.gradient_of(
            vae, loss.differentiable_loss(vae.model, vae.guide, x)))  # fmt: skip

    whole = gradient(beta_elbo.TraceBeta_ELBO())
    path = gradient(
        ELBO(estimator=estimator).pyro_loss()
        if estimator == "sticking_the_landing"
        else IWAE(1, estimator).pyro_loss()
    )
    q = vae.encode(x)
    z = seeded(vae.guide, x).detach()
    score = linear.gradient_of(vae, q.log_prob(z.clone()).sum())
    assert score.abs().max() > 0.1
    assert torch.allclose(whole - path, score, rtol=1e-6, atol=1e-7)


def test_sticking_the_landing_has_no_noise_at_the_exact_posterior():
    vae, x = linear.tiny(off=0.0), linear.data()
    encoder = linear.groups(vae)["encoder"]

    def noise(estimator):
        loss = beta_elbo.TraceBeta_ELBO(estimator=estimator)
        return linear.drawn_gradients(vae, loss, x, repeats=20, copies=1)[:, encoder].std(0).max()

    assert noise("sticking_the_landing") < 1e-3 * noise("pathwise")


def test_the_doubly_reparameterized_gradient_keeps_its_signal_as_particles_grow():
    """Tucker et al. (2019), and Rainforth et al. (2018) of the pathwise one, which drowns."""
    vae, x = linear.tiny(off=0.0), linear.data(2)
    with torch.no_grad():
        vae.encoder.affine.bias.add_(0.3)  # wider than the posterior: weights of finite variance
    encoder = linear.groups(vae)["encoder"]

    def signal_to_noise(estimator, particles):
        loss = IWAE(particles, estimator).pyro_loss()
        drawn = linear.drawn_gradients(vae, loss, x, repeats=150, copies=1)[:, encoder]
        return (drawn.mean(0).norm() / drawn.var(0).sum().sqrt()).item()

    few, many = (signal_to_noise("doubly_reparameterized", k) for k in (4, 64))
    assert many > few
    assert signal_to_noise("pathwise", 64) < signal_to_noise("pathwise", 4) < few


def test_a_guide_that_is_not_reparameterized_is_trained_by_its_score():
    """Two particles of a Poisson guide: no path, and an unbiased gradient all the same."""
    rate = torch.tensor([2.0, 0.7], dtype=torch.float64, requires_grad=True)
    counts = torch.arange(40.0, dtype=torch.float64)

    def model():
        with pyro.plate("data", 2):
            z = pyro.sample("z", dist.Poisson(torch.ones(2).double()))
            pyro.sample("x", dist.Normal(z, 1.0), obs=torch.tensor([1.0, 3.0]).double())

    def guide():
        with pyro.plate("data", 2):
            pyro.sample("z", dist.Poisson(rate))

    def exact():
        q, p = dist.Poisson(rate.unsqueeze(-1)), dist.Poisson(1.0)
        noise = dist.Normal(counts, 1.0).log_prob(torch.tensor([[1.0], [3.0]]).double())
        each = noise + p.log_prob(counts) - q.log_prob(counts)
        return (q.log_prob(counts).exp() * each).sum()

    loss = beta_elbo.TraceBeta_ELBO(num_particles=4, estimator="score_function")
    drawn = torch.stack([
        torch.autograd.grad(loss.differentiable_loss(model, guide), rate)[0] for _ in range(800)
    ])  # fmt: skip
    expected = -torch.autograd.grad(exact(), rate)[0]
    z = (drawn.mean(0) - expected) / (drawn.std(0) / math.sqrt(len(drawn)))
    assert z.abs().max() < critical_z(FALSE_ALARM, 2)
    for pathwise in (beta_elbo.TraceBeta_ELBO(), TraceImportance_ELBO()):
        with pytest.raises(Exception, match=r"has no rsample: choose estimator: score_function"):
            pathwise.loss(model, guide)
