"""The compiled step as a CUDA graph: Pyro's step, and nothing waits for the GPU."""

import pyro
import pytest
import torch
from pyro.infer import SVI, Trace_ELBO

from pyro_vae import VAE, fit
from pyro_vae.compiled import CompiledSVI
from pyro_vae.objectives.elbo import ELBO
from tests.compiled.test_components import TRIPLES, assert_same_steps
from tests.variants import small_vae

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
NET = {"kind": "mlp", "hidden": [32]}


def a_vae():
    pyro.set_rng_seed(0)
    return VAE((16,), 4, likelihood="bernoulli", encoder=NET, decoder=NET).cuda()


def losses(kind, loss):
    vae = a_vae()
    x = torch.rand(256, 16, device="cuda").round()
    gathered = {"batch": lambda index: (x[index],)} if kind is CompiledSVI else {}
    svi = kind(vae.model, vae.guide, pyro.optim.Adam({"lr": 1e-3}), loss, **gathered)
    pyro.set_rng_seed(1)
    index = torch.randint(256, (200, 32), device="cuda")
    found = [torch.as_tensor(svi.step(i if gathered else x[i])) for i in index]
    return torch.stack([value.cpu() for value in found]), vae.state_dict(), svi


@pytest.mark.parametrize("loss", [Trace_ELBO, lambda: ELBO(kl="exact").pyro_loss()])
def test_a_replayed_graph_makes_pyros_steps(loss):
    ours, our_state, svi = losses(CompiledSVI, loss())
    pyros, its_state, _ = losses(SVI, loss())
    assert svi.compiled
    torch.testing.assert_close(ours, pyros.to(ours), rtol=1e-3, atol=1e-3)
    for name, value in its_state.items():
        torch.testing.assert_close(our_state[name], value, rtol=2e-3, atol=2e-3, msg=name)


@pytest.mark.parametrize("parts", TRIPLES)
def test_every_component_is_replayed_alike(parts):
    assert_same_steps(lambda: small_vae(**parts).cuda(), 200, nudge=1e-6)


def test_nothing_waits_for_the_gpu():
    _, _, svi = losses(CompiledSVI, Trace_ELBO())
    index = torch.randint(256, (50, 32), device="cuda")
    torch.cuda.set_sync_debug_mode("error")
    try:
        for i in index:
            svi.step(i)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    svi.check()


def test_cpu_and_gpu_train_to_the_same_elbo():
    x = torch.rand(500, 16).round()
    reached = {}
    for device in ("cpu", "cuda"):
        vae = a_vae().cpu()
        result = fit(vae, x, epochs=30, step="compiled", device=device, show_progress=False)
        reached[device] = result.history[-1]["elbo"]
    assert reached["cuda"] == pytest.approx(reached["cpu"], abs=0.3)
