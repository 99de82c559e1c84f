"""Mistakes of real programs, planted in any of ours by a handler around its model or guide.

A mistake takes a case and gives it back with the mistake, or a sentence that says why that program
cannot have it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pyro
import pyro.distributions as dist
import torch
from pyro import poutine
from pyro.poutine.messenger import Messenger
from torch import nn

from tests.programs.programs import Case

Planted = Case | str


class At(Messenger):
    """Change the message of one site before it is drawn, or after."""

    def __init__(self, site: str, before: Callable[[dict], None] | None = None,
                 after: Callable[[dict], None] | None = None) -> None:  # fmt: skip
        super().__init__()
        self.site, self.before, self.after = site, before, after

    def _pyro_sample(self, msg):
        if msg["name"] == self.site and self.before:
            self.before(msg)

    def _pyro_post_sample(self, msg):
        if msg["name"] == self.site and self.after:
            self.after(msg)


class Wrapped(dist.TorchDistribution):
    """A distribution whose draws or density are changed."""

    def __init__(self, base, wider=1.0, extra=lambda: 0.0):
        self.base, self.wider, self.extra = base, wider, extra
        self.has_rsample = base.has_rsample
        super().__init__(base.batch_shape, base.event_shape)

    @property
    def support(self):
        return self.base.support

    def rsample(self, sample_shape=torch.Size()):  # noqa: B008
        if self.wider == 1.0:
            return self.base.rsample(sample_shape)
        if isinstance(self.base, dist.Dirichlet):  # whose draws stay within the simplex
            total = self.base.concentration.sum(-1, keepdim=True)
            less = ((total + 1) / self.wider**2 - 1) / total
            return dist.Dirichlet(less * self.base.concentration).rsample(sample_shape)
        try:
            mean = self.base.mean
        except NotImplementedError:
            mean = 0.0
        return mean + self.wider * (self.base.rsample(sample_shape) - mean)

    def sample(self, sample_shape=torch.Size()):  # noqa: B008
        return self.base.sample(sample_shape)

    def log_prob(self, value):
        return self.base.log_prob(value) + self.extra()

    def expand(self, batch_shape, _instance=None):
        return Wrapped(self.base.expand(batch_shape), self.wider, self.extra)

    def __getattr__(self, name):
        return getattr(self.__dict__["base"], name)


def around(program, handler):
    """The program within a handler."""

    def wrapped(*args, **kwargs):
        with handler:
            return program(*args, **kwargs)

    return wrapped


def in_model(case: Case, site: str, before=None, after=None) -> Case:
    return replace(case, model=around(case.model, At(site, before, after)))


def in_guide(case: Case, site: str, before=None, after=None) -> Case:
    return replace(case, guide=around(case.guide, At(site, before, after)))


def sites_of(program, args) -> dict[str, Any]:
    with pyro.get_param_store().scope():
        return dict(poutine.trace(program).get_trace(*args).nodes)


def wrap(**options):
    def before(msg):
        msg["fn"] = Wrapped(msg["fn"], **options)

    return before


# draws and densities -----------------------------------------------------------------------------


def draws_two_percent_too_wide(case: Case) -> Planted:
    return in_guide(case, case.latent, wrap(wider=1.02))


def density_without_its_normalizer(case: Case) -> Planted:
    return in_model(case, case.observed, wrap(extra=lambda: 0.5))


def noise_in_the_likelihood(case: Case) -> Planted:
    return in_model(case, case.observed, wrap(extra=lambda: 0.1 * torch.randn(())))


# plates, scales, masks and factors ---------------------------------------------------------------


def scale_in_the_model_alone(case: Case) -> Planted:
    return in_model(case, case.prior, lambda msg: msg.update(scale=0.5 * msg["scale"]))


def mask_in_the_model_alone(case: Case) -> Planted:
    return in_model(case, case.prior, lambda msg: msg.update(mask=torch.tensor(False)))


def stray_factor(case: Case) -> Planted:
    def model(*args):
        pyro.factor("penalty", torch.tensor(0.3))
        return case.model(*args)

    return replace(case, model=model)


def missing_plate(case: Case) -> Planted:
    def before(msg):
        msg["cond_indep_stack"] = tuple(f for f in msg["cond_indep_stack"] if not f.vectorized)

    return in_model(case, case.observed, before)


def missing_subsample_scale(case: Case) -> Planted:
    return replace(case, data_size=1000)


# sites and supports ------------------------------------------------------------------------------


def site_missing_in_the_guide(case: Case) -> Planted:
    return replace(case, guide=poutine.block(case.guide, hide=[case.prior]))


def extra_site_in_the_guide(case: Case) -> Planted:
    def guide(*args):
        pyro.sample("extra", dist.Normal(0.0, 1.0))
        return case.guide(*args)

    return replace(case, guide=guide)


def another_support(case: Case) -> Planted:
    def before(msg):
        fn = msg["fn"]
        positive = dist.HalfNormal(torch.ones(fn.batch_shape + fn.event_shape))
        msg["fn"] = positive.to_event(len(fn.event_shape))

    return in_model(case, case.prior, before)


def point_mass(case: Case) -> Planted:
    def before(msg):
        value = torch.full(msg["fn"].batch_shape + msg["fn"].event_shape, 0.5)
        msg["fn"] = dist.Delta(value, event_dim=len(msg["fn"].event_shape))

    return in_guide(case, case.prior, before)


# parameters and gradients ------------------------------------------------------------------------


def detached_draw(case: Case) -> Planted:
    if (
        case.guide is not None
        and not sites_of(case.guide, case.args)[case.prior]["fn"].has_rsample
    ):
        return "its gradient does not go through the draw"
    return in_model(case, case.prior, None,
                    lambda msg: msg.update(value=msg["value"].detach()))  # fmt: skip


def parameter_unknown_to_pyro(case: Case) -> Planted:
    unknown = nn.Parameter(torch.zeros(()))
    return in_model(case, case.observed, wrap(extra=lambda: 1e-6 * unknown))


def parameter_without_a_gradient(case: Case) -> Planted:
    def guide(*args):
        pyro.param("unused", torch.zeros(2))
        return case.guide(*args)

    return replace(case, guide=guide)


MISTAKES = [
    draws_two_percent_too_wide, density_without_its_normalizer, noise_in_the_likelihood,
    scale_in_the_model_alone, mask_in_the_model_alone, stray_factor, missing_plate,
    missing_subsample_scale, site_missing_in_the_guide, extra_site_in_the_guide, another_support,
    point_mass, detached_draw, parameter_unknown_to_pyro, parameter_without_a_gradient,
]  # fmt: skip
