"""Pyro programs that are not VAEs, each with its guide, its loss and its arguments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyro
import pyro.contrib.gp as gp
import torch
from pyro import distributions as dist
from pyro import poutine
from pyro.infer import Trace_ELBO, TraceEnum_ELBO, TraceMeanField_ELBO
from pyro.infer.autoguide import AutoDelta, AutoLowRankMultivariateNormal, AutoNormal
from torch import Tensor, nn


@dataclass
class Program:
    """What an SVI is made of."""

    model: Callable[..., Any]
    guide: Callable[..., Any]
    loss: Any
    arguments: tuple[Tensor, ...]


def regression() -> Program:
    """Bayesian linear regression with a guide written by hand."""
    x = torch.randn(50, 3)
    y = x @ torch.tensor([1.0, -2.0, 0.5]) + 0.1 * torch.randn(50)

    def model(x: Tensor, y: Tensor) -> None:
        weights = pyro.sample("weights", dist.Normal(torch.zeros(3), 1.0).to_event(1))
        scale = pyro.sample("scale", dist.LogNormal(0.0, 1.0))
        with pyro.plate("data", len(x)):
            pyro.sample("y", dist.Normal(x @ weights, scale), obs=y)

    def guide(x: Tensor, y: Tensor) -> None:
        loc = pyro.param("loc", torch.zeros(3))
        spread = pyro.param("spread", torch.full((3,), 0.1), dist.constraints.positive)
        pyro.sample("weights", dist.Normal(loc, spread).to_event(1))
        middle = pyro.param("middle", torch.tensor(0.0))
        width = pyro.param("width", torch.tensor(0.1), dist.constraints.positive)
        pyro.sample("scale", dist.LogNormal(middle, width))

    return Program(model, guide, Trace_ELBO(), (x, y))


def _eight_schools(y: Tensor) -> None:
    mu = pyro.sample("mu", dist.Normal(0.0, 5.0))
    tau = pyro.sample("tau", dist.HalfCauchy(5.0))
    with pyro.plate("schools", 8):
        theta = pyro.sample("theta", dist.Normal(mu, tau))
        pyro.sample("y", dist.Normal(theta, torch.tensor(SPREADS)), obs=y)


SPREADS = [15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0]
EFFECTS = torch.tensor([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])


def hierarchical_normal() -> Program:
    """Eight schools (Rubin, 1981) with an AutoNormal guide and the mean-field ELBO."""
    return Program(_eight_schools, AutoNormal(_eight_schools), TraceMeanField_ELBO(), (EFFECTS,))


def hierarchical_low_rank() -> Program:
    """Eight schools with an AutoLowRankMultivariateNormal guide and several particles."""
    guide = AutoLowRankMultivariateNormal(_eight_schools)
    loss = Trace_ELBO(num_particles=4, vectorize_particles=True)
    return Program(_eight_schools, guide, loss, (EFFECTS,))


def mixture() -> Program:
    """A mixture of Gaussians, its assignments enumerated."""
    x = torch.cat([torch.randn(30) - 3, torch.randn(30) + 3])

    def model(x: Tensor) -> None:
        weights = pyro.sample("weights", dist.Dirichlet(torch.ones(2)))
        with pyro.plate("components", 2):
            locs = pyro.sample("locs", dist.Normal(0.0, 5.0))
        with pyro.plate("data", len(x)):
            which = pyro.sample(
                "which", dist.Categorical(weights), infer={"enumerate": "parallel"}
            )
            pyro.sample("x", dist.Normal(locs[which], 1.0), obs=x)

    guide = AutoDelta(poutine.block(model, hide=["which"]))
    return Program(model, guide, TraceEnum_ELBO(max_plate_nesting=1), (x,))


def gaussian_process() -> Program:
    """A sparse variational Gaussian process, with its kernel's parameters."""
    x = torch.linspace(0, 5, 30)
    y = x.sin() + 0.1 * torch.randn(30)
    kernel = gp.kernels.RBF(input_dim=1)
    process = gp.models.VariationalSparseGP(
        x, y, kernel, Xu=torch.linspace(0, 5, 6), likelihood=gp.likelihoods.Gaussian(), jitter=1e-4
    )
    return Program(process.model, process.guide, Trace_ELBO(), ())


class _DeepMarkov(nn.Module):
    """A deep Markov model over sequences of one length."""

    def __init__(self) -> None:
        super().__init__()
        self.transition = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 4))
        self.emission = nn.Linear(2, 5)
        self.reader = nn.GRU(5, 6, batch_first=True)
        self.combiner = nn.Linear(6 + 2, 4)

    def model(self, x: Tensor) -> None:
        pyro.module("markov", self)
        with pyro.plate("sequences", len(x)):
            z = x.new_zeros(len(x), 2)
            for t in pyro.markov(range(x.shape[1])):
                loc, scale = self.transition(z).chunk(2, -1)
                z = pyro.sample(f"z{t}", dist.Normal(loc, scale.exp()).to_event(1))
                logits = self.emission(z)
                pyro.sample(f"x{t}", dist.Bernoulli(logits=logits).to_event(1), obs=x[:, t])

    def guide(self, x: Tensor) -> None:
        pyro.module("markov", self)
        states, _ = self.reader(x)
        with pyro.plate("sequences", len(x)):
            z = x.new_zeros(len(x), 2)
            for t in pyro.markov(range(x.shape[1])):
                both = torch.cat([states[:, t], z], -1)
                loc, scale = self.combiner(both).chunk(2, -1)
                z = pyro.sample(f"z{t}", dist.Normal(loc, scale.exp()).to_event(1))


def deep_markov() -> Program:
    """A deep Markov model of fixed length (Krishnan et al., 2017), with a recurrent guide."""
    net = _DeepMarkov()
    return Program(net.model, net.guide, Trace_ELBO(), (torch.rand(12, 4, 5).round(),))


def subsampled() -> Program:
    """A mean, learned from random subsamples of a plate."""
    x = torch.randn(200) + 2

    def model(x: Tensor) -> None:
        mean = pyro.sample("mean", dist.Normal(0.0, 10.0))
        with pyro.plate("data", len(x), subsample_size=20) as rows:
            pyro.sample("x", dist.Normal(mean, 1.0), obs=x[rows])

    return Program(model, AutoNormal(model), Trace_ELBO(), (x,))


def score_function() -> Program:
    """A guide that cannot be reparameterized: the score-function estimator."""
    x = (torch.rand(40) < 0.7).float()

    def model(x: Tensor) -> None:
        fair = pyro.sample("fair", dist.Bernoulli(0.5))
        with pyro.plate("data", len(x)):
            pyro.sample("x", dist.Bernoulli(0.5 * fair + 0.7 * (1 - fair)), obs=x)

    def guide(x: Tensor) -> None:
        pyro.sample("fair", dist.Bernoulli(logits=pyro.param("logit", torch.zeros(()))))

    return Program(model, guide, Trace_ELBO(), (x,))


PROGRAMS = {make.__name__: make for make in (
    regression, hierarchical_normal, hierarchical_low_rank, mixture, gaussian_process,
    deep_markov, subsampled, score_function,
)}  # fmt: skip
