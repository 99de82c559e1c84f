"""Small programs in plain Pyro, each with its guide and arguments, as users write them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pyro
import pyro.distributions as dist
import torch
from pyro import poutine
from pyro.infer import config_enumerate
from pyro.infer.autoguide import AutoIAFNormal, AutoMultivariateNormal, AutoNormal
from torch import nn
from torch.distributions import constraints
from torch.nn.functional import softplus


@dataclass
class Case:
    """A program; ``latent`` is one of the guide's sites, ``prior`` one that both have."""

    model: Callable[..., Any]
    guide: Callable[..., Any]
    args: tuple[Any, ...]
    latent: str
    prior: str
    observed: str
    data_size: int | None = None
    options: dict[str, Any] = field(default_factory=dict)


def rand(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


# regression --------------------------------------------------------------------------------------

X = rand(30, 2)
Y = X @ torch.tensor([1.0, -0.5]) + 0.3 * rand(30)


def regression(x, y):
    w = pyro.sample("w", dist.Normal(torch.zeros(2), 1.0).to_event(1))
    scale = pyro.sample("scale", dist.HalfNormal(1.0))
    with pyro.plate("data", len(x)):
        pyro.sample("y", dist.Normal(x @ w, scale), obs=y)


def regression_normal():
    return Case(regression, AutoNormal(regression), (X, Y), "w_unconstrained", "w", "y")


def regression_full():
    guide = AutoMultivariateNormal(regression)
    return Case(regression, guide, (X, Y), "_AutoMultivariateNormal_latent", "w", "y")


def regression_iaf():
    return Case(regression, AutoIAFNormal(regression), (X, Y), "_AutoIAFNormal_latent", "w", "y")


# eight schools -----------------------------------------------------------------------------------

EFFECTS = torch.tensor([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
ERRORS = torch.tensor([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])


def schools_centered(y, errors):
    mu = pyro.sample("mu", dist.Normal(0.0, 5.0))
    tau = pyro.sample("tau", dist.HalfCauchy(5.0))
    with pyro.plate("schools", len(y)):
        theta = pyro.sample("theta", dist.Normal(mu, tau))
        pyro.sample("y", dist.Normal(theta, errors), obs=y)


def schools_noncentered(y, errors):
    mu = pyro.sample("mu", dist.Normal(0.0, 5.0))
    tau = pyro.sample("tau", dist.HalfCauchy(5.0))
    with pyro.plate("schools", len(y)):
        eta = pyro.sample("eta", dist.Normal(0.0, 1.0))
        pyro.sample("y", dist.Normal(mu + tau * eta, errors), obs=y)


def eight_schools_centered():
    guide = AutoNormal(schools_centered)
    return Case(schools_centered, guide, (EFFECTS, ERRORS), "theta_unconstrained", "theta", "y")


def eight_schools_noncentered():
    guide = AutoNormal(schools_noncentered)
    return Case(schools_noncentered, guide, (EFFECTS, ERRORS), "eta_unconstrained", "eta", "y")


# a mixture whose assignments are summed over -----------------------------------------------------


@config_enumerate
def mixture_model(x):
    weights = pyro.sample("weights", dist.Dirichlet(torch.ones(3)))
    with pyro.plate("components", 3):
        locs = pyro.sample("locs", dist.Normal(0.0, 3.0))
    with pyro.plate("data", len(x)):
        k = pyro.sample("assignment", dist.Categorical(weights))
        pyro.sample("x", dist.Normal(locs[k], 0.5), obs=x)


def mixture():
    guide = AutoNormal(poutine.block(mixture_model, hide=["assignment"]))
    x = torch.cat([rand(8) - 2, rand(9) + 2])
    return Case(mixture_model, guide, (x,), "locs_unconstrained", "locs", "x")


# a deep Markov model -----------------------------------------------------------------------------


def deep_markov():
    torch.manual_seed(0)
    transition, emission = nn.Linear(2, 2), nn.Linear(2, 3)
    combiner = nn.Sequential(nn.Linear(2 + 3, 8), nn.Tanh(), nn.Linear(8, 4))

    def model(x):
        pyro.module("transition", transition)
        pyro.module("emission", emission)
        z = x.new_zeros(len(x), 2)
        with pyro.plate("sequences", len(x)):
            for t in pyro.markov(range(x.shape[1])):
                z = pyro.sample(f"z{t}", dist.Normal(transition(z).tanh(), 0.5).to_event(1))
                pyro.sample(f"x{t}", dist.Normal(emission(z), 0.7).to_event(1), obs=x[:, t])

    def guide(x):
        pyro.module("combiner", combiner)
        z = x.new_zeros(len(x), 2)
        with pyro.plate("sequences", len(x)):
            for t in pyro.markov(range(x.shape[1])):
                loc, raw = combiner(torch.cat([z, x[:, t]], -1)).chunk(2, -1)
                z = pyro.sample(f"z{t}", dist.Normal(loc, softplus(raw) + 0.1).to_event(1))

    return Case(model, guide, (rand(6, 4, 3),), "z1", "z1", "x1")


# a sparse Gaussian process -----------------------------------------------------------------------

INDUCING = torch.linspace(-2, 2, 5)


def kernel(a, b):
    return torch.exp(-0.5 * (a[:, None] - b[None]).square())


def gp_parts(x):
    factor = torch.linalg.cholesky(kernel(INDUCING, INDUCING) + 1e-2 * torch.eye(5))
    weights = torch.cholesky_solve(kernel(INDUCING, x), factor).mT  # (N, 5)
    variance = 1 - (weights * kernel(x, INDUCING)).sum(-1)
    return factor, weights, variance.clamp(min=1e-3).sqrt()


def gp_model(x, y):
    factor, weights, scale = gp_parts(x)
    u = pyro.sample("u", dist.MultivariateNormal(torch.zeros(5), scale_tril=factor))
    with pyro.plate("data", len(x)):
        f = pyro.sample("f", dist.Normal(weights @ u, scale))
        pyro.sample("y", dist.Normal(f, 0.2), obs=y)


def gp_guide(x, y):
    _, weights, scale = gp_parts(x)
    loc = pyro.param("u_loc", lambda: 0.1 * torch.ones(5))
    factor = pyro.param(
        "u_factor", lambda: 0.5 * torch.eye(5), constraint=constraints.lower_cholesky
    )
    u = pyro.sample("u", dist.MultivariateNormal(loc, scale_tril=factor))
    with pyro.plate("data", len(x)):
        pyro.sample("f", dist.Normal(weights @ u, scale))


def sparse_gp():
    x = torch.linspace(-2, 2, 12)
    return Case(gp_model, gp_guide, (x, x.sin() + 0.2 * rand(12)), "u", "u", "y")


# a semi-supervised VAE (M2), on data without labels ----------------------------------------------


def joined(a, b):
    shape = torch.broadcast_shapes(a.shape[:-1], b.shape[:-1])
    return torch.cat([a.expand(*shape, -1), b.expand(*shape, -1)], -1)


def m2():
    torch.manual_seed(0)
    decoder = nn.Sequential(nn.Linear(2 + 3, 8), nn.Tanh(), nn.Linear(8, 6))
    classifier, encoder = nn.Linear(6, 3), nn.Linear(6 + 3, 4)

    def model(x):
        pyro.module("decoder", decoder)
        with pyro.plate("data", len(x)):
            y = pyro.sample("y", dist.OneHotCategorical(torch.ones(3) / 3))
            z = pyro.sample("z", dist.Normal(x.new_zeros(2), 1.0).to_event(1))
            logits = decoder(joined(z, y))
            pyro.sample("x", dist.Bernoulli(logits=logits).to_event(1), obs=x)

    @config_enumerate
    def guide(x):
        pyro.module("classifier", classifier)
        pyro.module("encoder", encoder)
        with pyro.plate("data", len(x)):
            y = pyro.sample("y", dist.OneHotCategorical(logits=classifier(x)))
            loc, raw = encoder(joined(x, y)).chunk(2, -1)
            pyro.sample("z", dist.Normal(loc, softplus(raw) + 0.1).to_event(1))

    return Case(model, guide, ((rand(10, 6) > 0).float(),), "z", "z", "x")


# logistic regression on a subsample --------------------------------------------------------------

LABELS = (X[:, 0] + 0.5 * rand(30) > 0).float()


def logistic_model(x, y):
    w = pyro.sample("w", dist.Normal(torch.zeros(2), 1.0).to_event(1))
    with pyro.plate("data", len(x), subsample_size=10) as index:
        pyro.sample("y", dist.Bernoulli(logits=x[index] @ w), obs=y[index])


def logistic_guide(x, y):
    loc = pyro.param("loc", lambda: 0.1 * torch.ones(2))
    scale = pyro.param("scale", lambda: 0.5 * torch.ones(2), constraint=constraints.positive)
    pyro.sample("w", dist.Normal(loc, scale).to_event(1))


def logistic_regression():
    return Case(logistic_model, logistic_guide, (X, LABELS), "w", "w", "y", data_size=30)


# latent Dirichlet allocation ---------------------------------------------------------------------


@config_enumerate
def lda_model(words):
    with pyro.plate("topics", 2):
        topic_words = pyro.sample("topic_words", dist.Dirichlet(torch.ones(6)))
    with pyro.plate("documents", words.shape[1]):
        doc_topics = pyro.sample("doc_topics", dist.Dirichlet(torch.ones(2)))
        with pyro.plate("words", words.shape[0]):
            k = pyro.sample("word_topic", dist.Categorical(doc_topics))
            pyro.sample("word", dist.Categorical(topic_words[k]), obs=words)


def lda_guide(words):
    positive = {"constraint": constraints.positive}
    topics = pyro.param("topic_weights", lambda: 1 + torch.rand(2, 6), **positive)
    documents = pyro.param(
        "document_weights", lambda: 1 + torch.rand(words.shape[1], 2), **positive
    )
    with pyro.plate("topics", 2):
        pyro.sample("topic_words", dist.Dirichlet(topics))
    with pyro.plate("documents", words.shape[1]):
        pyro.sample("doc_topics", dist.Dirichlet(documents))


def lda():
    words = (3 * rand(7, 4)).abs().long().clamp(max=5)
    return Case(lda_model, lda_guide, (words,), "doc_topics", "doc_topics", "word")


CASES = [regression_normal, regression_full, regression_iaf, eight_schools_centered,
         eight_schools_noncentered, mixture, deep_markov, sparse_gp, m2, logistic_regression,
         lda]  # fmt: skip
