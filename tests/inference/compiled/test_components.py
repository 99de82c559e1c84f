"""The compiled step is Pyro's step, for every component of the registry."""

import pyro
import pytest
import torch
from pyro.infer import SVI

from pyro_vae import VAE
from pyro_vae.core.network import Network
from pyro_vae.inference.compiled import CompiledSVI
from pyro_vae.objectives.elbo import ELBO
from tests.variants import COVERING, PICTURES, small_vae, stirred, variants

STEPS = 200


def each_once():
    """Few triples that have every kind and variant of prior, likelihood and posterior."""
    missing = {(role, str(d)) for p in COVERING for role, d in p.values[0].items()}
    left = list(COVERING)
    while missing:
        has = {id(p): {(r, str(d)) for r, d in p.values[0].items()} & missing for p in left}
        best = max(left, key=lambda p: len(has[id(p)]))
        missing -= has[id(best)]
        left.remove(best)
        yield best


def steps(kind, make, x):
    """The losses, and the state, after steps from one seed."""
    pyro.set_rng_seed(1)
    vae = stirred(make(), size=0.05).train()
    vae.initialise(x)
    order = torch.Generator().manual_seed(0)
    optimiser = pyro.optim.Adam({"lr": 1e-3})
    loss = ELBO(kl="auto").pyro_loss()
    gathered = {"batch": lambda index: (x[index],)} if kind is CompiledSVI else {}
    svi = kind(vae.model, vae.guide, optimiser, loss, **gathered)
    losses = []
    for _ in range(STEPS):
        index = torch.randint(len(x), (8,), generator=order)
        losses.append(float(svi.step(index if gathered else x[index])))
    return torch.tensor(losses), vae.state_dict(), svi


def assert_same_steps(make):
    pyro.set_rng_seed(0)
    x = stirred(make(), size=0.05).generate(24, sample=True)
    pyros, its_state, _ = steps(SVI, make, x)
    ours, our_state, svi = steps(CompiledSVI, make, x)
    assert svi.compiled
    torch.testing.assert_close(ours, pyros, rtol=1e-3, atol=1e-3)
    for name, value in its_state.items():
        torch.testing.assert_close(our_state[name], value, rtol=2e-3, atol=2e-3, msg=name)


@pytest.mark.parametrize("parts", list(each_once()))
def test_of_prior_likelihood_and_posterior(parts):
    assert_same_steps(lambda: small_vae(**parts))


@pytest.mark.parametrize("part", variants(Network))
def test_of_network(part):
    _, declared = part
    shape = (2, 5, 6) if declared["kind"] in PICTURES else (4,)
    assert_same_steps(lambda: VAE(shape, 2, encoder=declared, decoder=declared))
