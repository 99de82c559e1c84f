"""Closed-form divergences against torch's own, and against a million draws."""

import inspect
import math

import pyro.distributions as dist
import pytest
import torch
import torch.distributions as torch_dist
from pyro.distributions.transforms.householder import ConditionedHouseholder

from pyro_vae.core.errors import NoClosedFormKL
from pyro_vae.distributions.flow import Flow
from pyro_vae.distributions.power_spherical import PowerSpherical
from pyro_vae.distributions.uniform_sphere import UniformSphere
from pyro_vae.objectives import kl as module
from pyro_vae.objectives.kl import kl_exact, kl_method, kl_sampled
from pyro_vae.objectives.structure import full_normal
from tests.variants import Z_CRIT

DRAWS = 1_000_000


def diagonal(batch=(), library=dist):
    loc, scale = torch.randn(2, *batch, 2, dtype=torch.double)
    return library.Independent(library.Normal(loc, (0.3 * scale).exp()), 1)


def full(batch=(), library=dist):
    loc = torch.randn(*batch, 2, dtype=torch.double)
    factor = 0.3 * torch.randn(*batch, 2, 2, dtype=torch.double).tril(-1)
    return library.MultivariateNormal(loc, scale_tril=factor + 0.8 * torch.eye(2).double())


def low_rank(batch=(), library=dist):
    loc, raw = torch.randn(2, *batch, 2, dtype=torch.double)
    factor = torch.randn(*batch, 2, 3, dtype=torch.double)
    return library.LowRankMultivariateNormal(loc, factor, (0.3 * raw).exp())


def reflected(batch=(), library=dist):
    vectors = torch.randn(*batch, 2, 2, dtype=torch.double)
    return Flow(diagonal(batch, library), [ConditionedHouseholder(vectors)])


def laplace(batch=(), library=dist):
    loc, scale = torch.randn(2, *batch, 2, dtype=torch.double)
    return library.Independent(library.Laplace(loc, (0.3 * scale).exp()), 1)


def spherical(batch=(), library=dist):
    loc = torch.nn.functional.normalize(torch.randn(*batch, 3, dtype=torch.double), dim=-1)
    return PowerSpherical(loc, torch.randn(batch, dtype=torch.double).exp())


def uniform(batch=(), library=dist):
    return UniformSphere(torch.zeros(*batch, 3, dtype=torch.double))


SHAPES = {
    "diagonal": diagonal,
    "full": full,
    "low_rank": low_rank,
    "reflected": reflected,
    "laplace": laplace,
    "spherical": spherical,
    "uniform": uniform,
}
NORMALS = [(q, p) for q in ("diagonal", "full", "low_rank", "reflected")
           for p in ("diagonal", "full")]  # fmt: skip
PAIRS = [*NORMALS, ("laplace", "laplace"), ("spherical", "uniform")]
OF_TORCH = [*NORMALS, ("laplace", "laplace")]
ALIKE = [(name, name) for name in ("diagonal", "full", "laplace")]


def of(pairs):
    """The makers of q and of p."""
    return pytest.mark.parametrize(
        "pair", [tuple(SHAPES[name] for name in names) for names in pairs],
        ids=["-".join(names) for names in pairs],
    )  # fmt: skip


@of(OF_TORCH)
@pytest.mark.parametrize("library", [dist, torch_dist], ids=["pyro", "torch"])
@pytest.mark.parametrize("batch", [((), ()), ((4,), ()), ((7, 4), ()), ((7, 4), (4,))])
def test_closed_forms_are_torchs(pair, batch, library):
    q, p = (make(shape, library) for make, shape in zip(pair, batch, strict=True))
    expected = torch_dist.kl_divergence(as_torchs(q), as_torchs(p))
    assert kl_exact(q, p).shape == batch[0]
    assert torch.allclose(kl_exact(q, p), expected, rtol=1e-10)
    assert not torch.allclose(kl_exact(q, p) / 2, expected, rtol=1e-10)  # a planted mistake


def as_torchs(d):
    """A normal as one with a full covariance; torch knows any other as it is."""
    if isinstance(d, Flow):
        vectors = d.transforms[0].u_unnormed
        mirror = torch.eye(2).double().expand(*vectors.shape[:-2], 2, 2)
        for v in vectors.unbind(-2):
            outer = v.unsqueeze(-1) * v.unsqueeze(-2) / v.square().sum(-1)[..., None, None]
            mirror = (torch.eye(2).double() - 2 * outer) @ mirror
        covariance = mirror @ d.base_dist.variance.diag_embed() @ mirror.mT
        loc = (mirror @ d.base_dist.mean.unsqueeze(-1)).squeeze(-1)
        return torch_dist.MultivariateNormal(loc, covariance)
    if isinstance(d, torch_dist.LowRankMultivariateNormal):
        return torch_dist.MultivariateNormal(d.loc, d.covariance_matrix)
    if isinstance(d, torch_dist.MultivariateNormal) or isinstance(d.base_dist, torch_dist.Laplace):
        return d
    return torch_dist.MultivariateNormal(d.mean, scale_tril=d.stddev.diag_embed())


def z_score(q, p, expected):
    draws = kl_sampled(q, p, q.sample((DRAWS,)))
    return abs(draws.mean() - expected) / (draws.std() / math.sqrt(DRAWS))


@of(PAIRS)
def test_closed_forms_are_the_mean_over_draws(pair):
    q, p = (make() for make in pair)
    exact = kl_exact(q, p)
    assert z_score(q, p, exact) < Z_CRIT
    assert z_score(q, p, exact / 2) > Z_CRIT  # two planted mistakes
    assert z_score(q, p, -exact) > Z_CRIT


@of([("diagonal", "full"), ("full", "diagonal"), *ALIKE])
def test_the_order_matters(pair):
    q, p = (make() for make in pair)
    assert z_score(q, p, kl_exact(p, q)) > Z_CRIT


def test_a_full_covariance_that_all_data_share_is_factorized_once():
    torch.manual_seed(0)
    below = torch.randn(3, 3, dtype=torch.float64).tril(-1)
    factor = below + torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64).diag()
    p = dist.MultivariateNormal(torch.ones(3, dtype=torch.float64), scale_tril=factor)
    in_plate = p.expand(torch.Size([5]))
    assert full_normal(in_plate)[1].shape == (3, 3)
    loc, scale = torch.randn(5, 3, dtype=torch.float64), torch.rand(5, 3, dtype=torch.float64)
    q = dist.Normal(loc, scale + 0.1).to_event(1)
    full = dist.MultivariateNormal(loc, scale_tril=(scale + 0.1).diag_embed())
    expected = torch_dist.kl_divergence(full, in_plate)
    for first, second in ((q, p), (q, in_plate), (full, p), (full, in_plate)):
        torch.testing.assert_close(kl_exact(first, second), expected, rtol=1e-12, atol=0)


def test_it_is_the_formula_of_the_paper():
    loc, scale = torch.randn(2, 5, 3, dtype=torch.double)
    scale = scale.exp()
    standard = dist.Normal(torch.zeros(3).double(), 1.0).to_event(1)
    expected = 0.5 * (loc**2 + scale**2 - 1 - (scale**2).log()).sum(-1)
    assert torch.allclose(kl_exact(dist.Normal(loc, scale).to_event(1), standard), expected)


@of(PAIRS)
def test_no_divergence_is_negative(pair):
    q, p = (make((100,)) for make in pair)
    assert kl_exact(q, p).min() > 0


@of(ALIKE)
def test_the_divergence_from_itself_is_zero(pair):
    q = pair[0]((100,))
    assert kl_exact(q, q).abs().max() < 1e-12


def test_the_divergence_from_uniform_vanishes_with_the_concentration():
    q = PowerSpherical(spherical().loc, torch.tensor(1e-9).double())
    assert kl_exact(q, uniform()).abs() < 1e-12


def test_reading_a_flow_leaves_its_cache():
    q, p = reflected((4,)), diagonal()
    z = q.rsample()
    before = q.transforms[0]._cached_x_y
    kl_exact(q, p)
    assert q.transforms[0]._cached_x_y is before
    assert before[1] is z


def test_the_gradient_is_torchs():
    loc, raw = torch.randn(2, 4, 2, dtype=torch.double, requires_grad=True).unbind()
    q = dist.Normal(loc, raw.exp()).to_event(1)
    p = diagonal()
    ours = torch.autograd.grad(kl_exact(q, p).sum(), (loc, raw), retain_graph=True)
    theirs = torch.autograd.grad(torch_dist.kl_divergence(q, p).sum(), (loc, raw))
    assert all(torch.allclose(a, b) for a, b in zip(ours, theirs, strict=True))


class Tempered(dist.Normal):
    """A normal in name only: its density is another."""

    def log_prob(self, value):
        return 2 * super().log_prob(value)


class Grouped(dist.Independent):
    """Likewise."""

    def log_prob(self, value):
        return 2 * super().log_prob(value)


class Correlated(dist.MultivariateNormal):
    """Likewise."""


ZEROS, ONES = torch.zeros(2), torch.ones(2)
NORMAL = dist.Normal(ZEROS, ONES).to_event(1)
UNKNOWN = {
    "Independent(StudentT, 1)": dist.StudentT(3.0, ZEROS, ONES).to_event(1),
    "Independent(Tempered, 1)": Tempered(ZEROS, ONES).to_event(1),
    "Grouped(Normal, 1)": Grouped(dist.Normal(ZEROS, ONES), 1),
    "Correlated": Correlated(ZEROS, torch.eye(2)),
    "Normal": dist.Normal(ZEROS, ONES),
    "Independent(Normal, 2)": dist.Normal(torch.zeros(2, 2), 1.0).to_event(2),
    "Independent(Delta, 1)": dist.Delta(ZEROS).to_event(1),
    "Transformed(Independent(Normal, 1), [ExpTransform])": torch_dist.TransformedDistribution(
        NORMAL, [torch_dist.ExpTransform()]
    ),
    "Transformed(Independent(Normal, 1), [ConditionedHouseholder])": dist.TransformedDistribution(
        NORMAL,
        [ConditionedHouseholder(torch.ones(1, 2))],  # whose draws another class makes
    ),
    "Transformed(Independent(Normal, 1), [ConditionedHouseholder, ExpTransform])": Flow(
        NORMAL, [ConditionedHouseholder(torch.ones(1, 2)), torch_dist.ExpTransform()]
    ),
    "MaskedDistribution": NORMAL.mask(True),
    "MixtureSameFamily": dist.MixtureSameFamily(
        dist.Categorical(logits=ZEROS), dist.Normal(torch.zeros(2, 2), 1.0).to_event(1)
    ),
}


@pytest.mark.parametrize("name", UNKNOWN)
@pytest.mark.parametrize("order", [1, -1], ids=["as q", "as p"])
def test_what_has_no_closed_form_raises_and_never_samples(name, order, monkeypatch):
    def no_draws(*args, **kwargs):
        raise AssertionError("it sampled")

    pair = [UNKNOWN[name], NORMAL][::order]
    for cls in (torch_dist.Normal, torch_dist.Laplace, torch_dist.Independent):
        monkeypatch.setattr(cls, "rsample", no_draws)
    state = torch.get_rng_state()
    with pytest.raises(NoClosedFormKL, match="choose kl: sampled, or kl: auto") as caught:
        kl_exact(*pair)
    assert f" = {name}" in str(caught.value)
    assert kl_method(*pair, "auto") == kl_method(*pair, "sampled") == "sampled"
    with pytest.raises(NoClosedFormKL):
        kl_method(*pair, "exact")
    assert torch.equal(state, torch.get_rng_state())


@of(PAIRS)
def test_the_route_of_what_is_known(pair):
    q, p = (make() for make in pair)
    assert kl_method(q, p) == kl_method(q, p, "auto") == kl_method(q, p, "exact") == "exact"
    assert kl_method(q, p, "sampled") == "sampled"


def test_the_closed_forms_are_the_projects_own():
    assert "kl_divergence" not in inspect.getsource(module)
