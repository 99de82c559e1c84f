"""The VAE as a Pyro program in a stranger's code, which knows Pyro and nothing of this package."""

import copy
import gc
import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer import (
    MCMC,
    NUTS,
    SVI,
    Predictive,
    RenyiELBO,
    Trace_ELBO,
    TraceGraph_ELBO,
    TraceMeanField_ELBO,
)
from pyro.infer.inspect import get_dependencies, get_model_relations
from pyro.nn import PyroModule, pyro_method
from torch import nn

from pyro_vae.vae import VAE
from tests.variants import NET, Z_CRIT, small_vae

VECTORIZED = {"num_particles": 3, "vectorize_particles": True, "max_plate_nesting": 1}
LOSSES = {
    "trace": Trace_ELBO,
    "trace_vectorized": lambda: Trace_ELBO(**VECTORIZED),
    "graph": TraceGraph_ELBO,
    "mean_field": TraceMeanField_ELBO,
    "mean_field_vectorized": lambda: TraceMeanField_ELBO(**VECTORIZED),
    "renyi": lambda: RenyiELBO(alpha=0.0, num_particles=2),
    "renyi_vectorized": lambda: RenyiELBO(alpha=0.5, **VECTORIZED),
}


def parameters(vae):
    return {name: value.detach().clone() for name, value in vae.named_parameters()}


def unmoved(vae, before):
    return [name for name, value in vae.named_parameters() if torch.equal(value, before[name])]


def train(vae, x, steps=2, loss=None):
    """The parameters that stayed where they were."""
    svi = SVI(vae.model, vae.guide, pyro.optim.Adam({"lr": 0.01}), loss or Trace_ELBO())
    before = parameters(vae)
    for _ in range(steps):
        assert math.isfinite(svi.step(x))
    return unmoved(vae, before)


@pytest.mark.parametrize("loss", LOSSES)
def test_svi_trains_every_parameter(vae, x, loss):
    assert train(vae, x, loss=LOSSES[loss]()) == []


def test_svi_would_train_nothing_of_a_plain_method():
    class Plain(VAE):
        """A planted mistake: a guide that is no pyro_method."""

        def guide(self, x):
            with pyro.plate("data", len(x)):
                return pyro.sample("z", self.posterior(self.encoder(x)))

    vae = Plain(event_shape=(3,), latent_dim=2, encoder=NET, decoder=NET)
    assert all(name.startswith("encoder") for name in train(vae, torch.randn(5, 3)))
    assert train(vae, torch.randn(5, 3)) != []


def test_svi_makes_the_elbo_better():
    pyro.set_rng_seed(1)
    vae = small_vae(likelihood={"kind": "gaussian", "scale": 0.5})
    x = 3 + torch.randn(50, 1) * torch.tensor([1.0, -1.0, 2.0])
    evaluate = Trace_ELBO(num_particles=20, vectorize_particles=True, max_plate_nesting=1).loss
    before = evaluate(vae.model, vae.guide, x)
    train(vae, x, steps=100)
    assert evaluate(vae.model, vae.guide, x) < 0.7 * before


@pytest.mark.parametrize("parallel", [False, True])
def test_prior_predictive(vae, parallel):
    drawn = Predictive(vae.model, num_samples=4, parallel=parallel)(size=5)
    assert drawn["z"].shape == (4, 5, 2)
    assert drawn["x"].shape == (4, 5, 3)
    assert vae.likelihood.support.check(drawn["x"]).all()


@pytest.mark.parametrize("parallel", [False, True])
def test_posterior_predictive(vae, x, parallel):
    replicate = poutine.uncondition(vae.model)
    drawn = Predictive(replicate, guide=vae.guide, num_samples=4, parallel=parallel)(x)
    assert drawn["z"].squeeze().shape == (4, 6, 2)
    assert drawn["x"].shape == (4, 6, 3)
    seen = Predictive(vae.model, guide=vae.guide, num_samples=4, return_sites=["x"])(x)
    assert torch.equal(seen["x"], x.expand(4, 6, 3))


def test_traces_have_one_plate_and_two_sites(vae, x):
    guide = poutine.trace(vae.guide).get_trace(x)
    model = poutine.trace(poutine.replay(vae.model, guide)).get_trace(x)
    model.compute_log_prob()
    guide.compute_log_prob()
    assert list(guide.stochastic_nodes) == ["data", "z"]
    assert model.observation_nodes == ["x"]
    assert model.nodes["z"]["value"] is guide.nodes["z"]["value"]
    for site in (model.nodes["z"], model.nodes["x"], guide.nodes["z"]):
        assert site["log_prob"].shape == (6,)
    assert {name.partition(".")[0] for name in model.param_nodes} <= {vae._pyro_name}
    expected = vae.decode(guide.nodes["z"]["value"], x).log_prob(x)
    assert torch.allclose(model.nodes["x"]["log_prob"], expected)


def test_particles_are_a_dimension_on_the_left(vae, x):
    with pyro.plate("particles", 7, dim=-2):
        guide = poutine.trace(vae.guide).get_trace(x)
        model = poutine.trace(poutine.replay(vae.model, guide)).get_trace(x)
    model.compute_log_prob()
    assert guide.nodes["z"]["value"].shape == (7, 6, 2)
    assert model.nodes["x"]["log_prob"].shape == (7, 6)


def test_the_graph_is_that_of_the_mathematics(vae, x):
    relations = get_model_relations(vae.model, (x,))
    assert relations["sample_sample"] == {"z": [], "x": ["z"]}
    assert relations["observed"] == ["x"]
    assert relations["plate_sample"] == {"data": ["z", "x"]}
    assert set(get_dependencies(vae.model, (x,))["posterior_dependencies"]["z"]) == {"z", "x"}


def test_the_model_is_drawn():
    pytest.importorskip("graphviz")
    drawn = pyro.render_model(small_vae().model, (torch.zeros(4, 3),), render_distributions=True)
    assert "z ->" in str(drawn)


def test_nuts_finds_the_exact_posterior():
    vae = small_vae(latent_dim=1, decoder="linear", likelihood={"kind": "gaussian", "scale": 0.5})
    x = torch.tensor([[1.0, -0.5, 0.3], [0.2, 0.1, -2.0]])
    weight, bias = vae.decoder.affine.weight.detach(), vae.decoder.affine.bias.detach()
    variance = 1 / (1 + weight.square().sum() / 0.5**2)
    mean = variance * (x - bias) @ weight[:, 0] / 0.5**2
    mcmc = MCMC(NUTS(vae.model), num_samples=250, warmup_steps=60, disable_progbar=True)
    mcmc.run(x)
    z = mcmc.get_samples()["z"].squeeze(-1)
    size = mcmc.diagnostics()["z"]["n_eff"].squeeze(-1).clamp(max=len(z))
    errors = (z.mean(0) - mean).abs() / (variance / size).sqrt()
    assert errors.max() < Z_CRIT
    assert ((z.mean(0) - 0.5 * mean).abs() / (variance / size).sqrt()).max() > Z_CRIT


def loaded(vae):
    other = VAE(**vae.declaration)
    other.load_state_dict(vae.state_dict())
    return other


OTHERS = {
    "new": lambda vae: VAE(**vae.declaration),
    "swap": VAE.swap,
    "deepcopy": copy.deepcopy,
    "deepcopy of deepcopy": lambda vae: copy.deepcopy(copy.deepcopy(vae)),
    "load_state_dict": loaded,
}


@pytest.mark.parametrize("make", OTHERS)
@pytest.mark.parametrize("trained", [True, False])
def test_two_models_do_not_touch_each_other(make, trained):
    x = torch.randn(5, 3)
    one = small_vae(prior="diagonal_normal")
    if trained:
        train(one, x)
    other = OTHERS[make](one)
    for mine, yours in ((other, one), (one, other), (other, one)):
        before = parameters(yours)
        assert train(mine, x) == []
        assert unmoved(yours, before) == list(before)


def test_pyro_alone_would_mix_up_two_models_of_one_name(monkeypatch):
    x = torch.randn(5, 3)
    one, other = small_vae(), small_vae()
    other._pyro_name = one._pyro_name  # a planted mistake, which the model mends by itself
    monkeypatch.setattr("pyro_vae.core.pyro_store._forget_replaced", lambda name, part: None)
    assert train(one, x) == []
    assert train(other, x) != []
    monkeypatch.undo()
    assert train(other, x) == []


def test_a_model_trains_on_after_its_weights_were_loaded():
    x = torch.randn(5, 3)
    vae = small_vae()
    train(vae, x)
    vae.load_state_dict(small_vae().state_dict())
    assert train(vae, x) == []


def test_the_store_forgets_dead_models():
    x = torch.randn(5, 3)
    store, kept = pyro.get_param_store(), small_vae()
    train(kept, x)
    names = set(store.keys())
    for _ in range(200):
        vae = small_vae()
        poutine.trace(vae.guide).get_trace(x)
        poutine.trace(copy.deepcopy(vae).model).get_trace(x)
    assert set(store.keys()) > names
    del vae
    gc.collect()
    assert set(store.keys()) == names
    assert train(kept, x) == []


def test_a_cleared_store_does_no_harm():
    x = torch.randn(5, 3)
    vae = small_vae()
    train(vae, x)
    pyro.clear_param_store()
    assert train(vae, x) == []


class Shifted(VAE):
    """A user's own guide, with a weight of its own."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.shift = nn.Parameter(torch.zeros(2))

    @pyro_method
    def guide(self, x):
        with pyro.plate("data", len(x)):
            q = self.encode(x)
            loc = q.mean + self.shift
            return pyro.sample("z", dist.Normal(loc, q.stddev).to_event(1))


def test_a_guide_can_be_overridden():
    x = torch.randn(5, 3)
    vae = Shifted(event_shape=(3,), latent_dim=2, encoder=NET, decoder=NET)
    assert train(vae, x) == []
    assert vae.shift.abs().min() > 0
    other = copy.deepcopy(vae)
    before = parameters(vae)
    assert train(other, x) == []
    assert unmoved(vae, before) == list(before)


def test_a_guide_can_extend_the_one_there_is():
    class Louder(VAE):
        """Hands the guide other data."""

        @pyro_method
        def guide(self, x):
            return super().guide(2 * x)

    vae = Louder(event_shape=(3,), latent_dim=2, encoder=NET, decoder=NET)
    x = torch.randn(5, 3)
    assert train(vae, x) == []
    assert torch.equal(poutine.trace(vae.guide).get_trace(x).nodes["z"]["fn"].mean,
                       vae.encode(2 * x).mean)  # fmt: skip


def test_a_vae_can_be_part_of_a_larger_program():
    class Larger(PyroModule):
        """A stranger's program around a VAE."""

        def __init__(self):
            super().__init__()
            self.vae = small_vae()

        def model(self, x):
            return self.vae.model(x)

        def guide(self, x):
            return self.vae.guide(x)

    larger = Larger()
    assert train(larger, torch.randn(5, 3)) == []


def test_conditioning_and_scaling_reach_the_sites(vae, x):
    z = vae.prior().sample(torch.Size([6]))
    with poutine.scale(scale=2.0):
        trace = poutine.trace(poutine.condition(vae.model, data={"z": z})).get_trace(x)
    trace.compute_log_prob()
    expected = vae.prior().log_prob(z).sum() + vae.decode(z, x).log_prob(x).sum()
    assert trace.log_prob_sum().item() == pytest.approx(2 * expected.item(), rel=1e-5)


def test_fifty_steps_leave_everything_finite(vae, x):
    svi = SVI(vae.model, vae.guide, pyro.optim.Adam({"lr": 1e-2}), Trace_ELBO())
    assert all(math.isfinite(svi.step(x)) for _ in range(50))
    assert all(parameter.isfinite().all() for parameter in vae.parameters())
