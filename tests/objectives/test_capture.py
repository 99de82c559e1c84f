"""Each loss and its gradient trace into one static graph, which sees a schedule's tensors."""

import pyro.infer.trace_elbo
import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from pyro_vae.objectives import pyro_elbos
from pyro_vae.objectives.elbo import ELBO
from pyro_vae.objectives.iwae import IWAE
from pyro_vae.objectives.renyi import Renyi
from tests.variants import small_vae, stirred

LOSSES = {
    "elbo, free bits": ELBO(kl="exact", free_bits=0.3, beta=2.0, warm_up=4, particles=2),
    "elbo, sticking_the_landing": ELBO(estimator="sticking_the_landing", warm_up=4),
    "elbo, score_function": ELBO(particles=2, estimator="score_function", warm_up=4),
    "iwae, doubly_reparameterized": IWAE(3, "doubly_reparameterized"),
    "iwae, score_function": IWAE(3, "score_function"),
    "renyi": Renyi(0.5, 3),
}


@pytest.fixture
def kept_as_tensors(monkeypatch):
    """As a capture does: no number leaves the graph, and nothing is checked within it."""
    for module in (pyro.infer.trace_elbo, pyro.infer.util):
        monkeypatch.setattr(module, "torch_item", lambda value: value)
    monkeypatch.setattr(pyro.infer.trace_elbo, "warn_if_nan", lambda *_: None)
    monkeypatch.setattr(pyro_elbos, "_check_finite", lambda *_: None)


@pytest.mark.usefixtures("kept_as_tensors")
@pytest.mark.parametrize("name", LOSSES)
def test_a_graph_says_what_the_program_says(name):
    vae, x = stirred(small_vae()), torch.randn(5, 3)
    loss = LOSSES[name].pyro_loss()
    parameters = list(vae.parameters())

    def step(x):
        with pyro.validation_enabled(False):
            value = loss.differentiable_loss(vae.model, vae.guide, x)
        gradients = torch.autograd.grad(value, parameters)
        return [value.detach(), loss.log_likelihood, loss.kl, loss.bound, *gradients]

    graph = make_fx(step)(x)
    seen = []
    for epoch in (1, 2, 4):
        loss.begin_epoch(epoch)
        fresh = torch.randn(5, 3)
        torch.manual_seed(epoch)
        replayed = graph(fresh)
        torch.manual_seed(epoch)
        for one, other in zip(replayed, step(fresh), strict=True):
            assert torch.allclose(one, other, rtol=1e-4, atol=1e-5)
        seen.append(replayed[0].item())
    assert len(set(seen)) == 3
