"""Mistakes that were made in real VAE code, planted one by one: the audit catches each.

Each is planted where it would be made: in the closed form, in the Pyro program, in a component,
or in the loss.
"""

from __future__ import annotations

import math

import pyro
import pyro.distributions as dist
import pyro.infer
import pytest
import torch
from pyro import poutine
from pyro.nn import pyro_method
from torch.distributions import kl_divergence

from pyro_vae import VAE, audit_elbo
from pyro_vae.core.likelihood import Likelihood
from pyro_vae.likelihoods.gaussian import Gaussian
from pyro_vae.objectives import kl as kl_module
from tests.small_models import stirred

QUICK = {"particles": 1000, "gradients": 20}
right = kl_module.normal_normal


def failing(audit):
    assert not audit.passed
    return {check.quantity for check in audit.failures}


# in the closed form ------------------------------------------------------------------------------


def wrong_sign(q, p):
    return -right(q, p)


def missing_half(q, p):
    return 2 * right(q, p)


def variance_for_scale(q, p):
    return right((q[0], q[1] ** 2), p)


def mean_for_sum(q, p):
    return right(q, p) / q[0].shape[-1]


def sigma_for_log_variance(q, p):
    (loc, scale), (prior_loc, prior_scale) = q, p
    shift = ((loc - prior_loc) / prior_scale).square()
    ratio = scale / prior_scale
    return 0.5 * (shift + ratio.square() - 1 - ratio).sum(-1)


def beta(q, p):
    return 0.99 * right(q, p)


def prior_mean_forgotten(q, p):
    return right(q, (torch.zeros_like(p[0]), p[1]))


CLOSED_FORMS = [wrong_sign, missing_half, variance_for_scale, mean_for_sum,
                sigma_for_log_variance, beta, prior_mean_forgotten]  # fmt: skip


@pytest.mark.parametrize("mistake", CLOSED_FORMS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("model", ["vae", "linear"])
def test_in_the_closed_form(mistake, model, x, request, monkeypatch):
    forms = [(q, p, mistake if form is right else form) for q, p, form in kl_module.CLOSED_FORMS]
    monkeypatch.setattr(kl_module, "CLOSED_FORMS", forms)
    caught = failing(audit_elbo(request.getfixturevalue(model), x, **QUICK))
    assert "kl" in caught
    assert "elbo" in caught or mistake in (beta, prior_mean_forgotten)
    assert any(quantity.startswith("gradient") for quantity in caught)
    if model == "linear":
        assert "evidence" in caught


# in the Pyro program -----------------------------------------------------------------------------


class WrongInput(VAE):
    @pyro_method
    def guide(self, x):
        with pyro.plate("data", len(x), dim=-1):
            return pyro.sample("z", self.posterior(self.encoder(x.flip(0))))


class VarianceForScale(VAE):
    @pyro_method
    def guide(self, x):
        q = self.posterior(self.encoder(x)).base_dist
        with pyro.plate("data", len(x), dim=-1):
            return pyro.sample("z", dist.Normal(q.loc, q.scale**2).to_event(1))


class BetaInTheModel(VAE):
    @pyro_method
    def model(self, x):
        with pyro.plate("data", len(x), dim=-1):
            with poutine.scale(scale=0.99):
                z = pyro.sample("z", self.prior())
            return pyro.sample("x", self.likelihood(self.decoder(z), x), obs=x)

    @pyro_method
    def guide(self, x):
        with pyro.plate("data", len(x), dim=-1), poutine.scale(scale=0.99):
            return pyro.sample("z", self.posterior(self.encoder(x)))


class NoGradientThroughTheGuide(VAE):
    @pyro_method
    def guide(self, x):
        with pyro.plate("data", len(x), dim=-1):
            return pyro.sample("z", self.posterior(self.encoder(x).detach()))


class AnotherPrior(VAE):
    @pyro_method
    def model(self, x):
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", dist.Normal(x.new_zeros(2), 1.0).to_event(1))
            return pyro.sample("x", self.likelihood(self.decoder(z), x), obs=x)


PROGRAMS = {
    WrongInput: {"kl", "log_likelihood", "elbo", "log q(z|x)"},
    VarianceForScale: {"kl", "log q(z|x)"},
    BetaInTheModel: {"kl", "log q(z|x)", "log p(z)"},
    NoGradientThroughTheGuide: {"gradient: encoder"},
    AnotherPrior: {"kl", "log p(z)"},
}


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda cls: cls.__name__)
@pytest.mark.parametrize("model", ["vae", "linear"])
def test_in_the_pyro_program(program, model, x, request):
    declared = request.getfixturevalue(model)
    wrong = program(**declared.declaration)
    wrong.load_state_dict(declared.state_dict())
    assert failing(audit_elbo(wrong, x, **QUICK)) >= PROGRAMS[program]


# in a component ----------------------------------------------------------------------------------


class NoNormalizer(dist.Normal):
    def log_prob(self, value):
        return -0.5 * ((value - self.loc) / self.scale).square()


class HalfNormalizer(dist.Normal):
    def log_prob(self, value):
        return super().log_prob(value) + 0.5 * math.log(2 * math.pi)


class MeanOverPixels(dist.Independent):
    def log_prob(self, value):
        return super().log_prob(value) / value[0].numel()


class SquaredErrorOverVariance(dist.Normal):
    def log_prob(self, value):
        return super().log_prob(value) - 0.5 * ((value - self.loc) / self.scale).square()


def likelihood_of(wrap):
    """A Gaussian likelihood of scale 1/2 whose distribution is wrapped in a mistake."""

    class Mistaken(Likelihood):
        support = Gaussian.support

        def forward(self, parameters, x=None):
            return wrap(parameters)

    del Likelihood._registry["mistaken"]
    return Mistaken((2, 3))


COMPONENTS = {
    "no_normalizer": lambda loc: NoNormalizer(loc, 0.5).to_event(2),
    "half_the_normalizer": lambda loc: HalfNormalizer(loc, 0.5).to_event(2),
    "mean_for_sum": lambda loc: MeanOverPixels(dist.Normal(loc, 0.5), 2),
    "missing_half": lambda loc: SquaredErrorOverVariance(loc, 0.5).to_event(2),
}


@pytest.mark.parametrize("mistake", COMPONENTS)
def test_in_a_component(mistake, vae, x):
    wrong = stirred(
        VAE((2, 3), 2, likelihood=likelihood_of(COMPONENTS[mistake]), decoder="linear")
    )
    assert "log p(x|z)" in failing(audit_elbo(wrong, x, **QUICK))


# in the loss -------------------------------------------------------------------------------------


class Beta(pyro.infer.Trace_ELBO):
    """A beta of 0.99: a hundredth of the KL is missing."""

    def loss(self, model, guide, *args):
        trace = poutine.trace(guide).get_trace(*args)
        replayed = poutine.trace(poutine.replay(model, trace)).get_trace(*args)
        log_prior = replayed.nodes["z"]["fn"].log_prob(trace.nodes["z"]["value"]).sum()
        kl = trace.log_prob_sum() - log_prior
        return float(0.99 * kl - replayed.nodes["x"]["fn"].log_prob(args[0]).sum())


class BetaOnTheExactKL(pyro.infer.TraceMeanField_ELBO):
    def _differentiable_loss_particle(self, model_trace, guide_trace):
        loss, surrogate = super()._differentiable_loss_particle(model_trace, guide_trace)
        q, p = guide_trace.nodes["z"]["fn"], model_trace.nodes["z"]["fn"]
        return loss - 0.01 * float(kl_divergence(q, p).sum()), surrogate


class MeanOverTheBatch(pyro.infer.Trace_ELBO):
    def loss(self, model, guide, x):
        return super().loss(model, guide, x) / len(x)


@pytest.mark.parametrize(
    "loss", [Beta, BetaOnTheExactKL, MeanOverTheBatch], ids=lambda cls: cls.__name__
)
def test_in_the_loss(loss, vae, x):
    audit = audit_elbo(vae, 4 * x, loss=loss(), particles=4000, gradients=0)
    assert failing(audit) == {"elbo"}
    assert [f"the training's {loss.__name__}.loss"] == [check.method for check in audit.failures]
