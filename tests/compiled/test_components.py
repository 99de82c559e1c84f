"""The compiled step is Pyro's step, for every component of the registry.

Compiling takes ten seconds or more, so that most of these run the graph as it was captured, and
``make slow`` compiles them all.
"""

import pyro
import pytest
import torch
from pyro.infer import SVI

from pyro_vae import VAE
from pyro_vae.compiled import CompiledSVI, backends
from pyro_vae.core.network import Network
from pyro_vae.objectives.elbo import ELBO
from tests.variants import COVERING, small_vae, stirred, variants


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


def steps(kind, make, x, count, nudge=0.0):
    """The losses, and the state, after steps from one seed."""
    pyro.set_rng_seed(1)
    vae = stirred(make(), size=0.05).train()
    with torch.no_grad():
        for parameter in vae.parameters():
            parameter.mul_(1 + nudge)
    vae.initialize(x)
    order = torch.Generator().manual_seed(0)
    optimizer = pyro.optim.Adam({"lr": 1e-3})
    loss = ELBO(kl="auto").pyro_loss()
    gathered = {"batch": lambda index: (x[index],)} if kind is CompiledSVI else {}
    svi = kind(vae.model, vae.guide, optimizer, loss, **gathered)
    losses = []
    for _ in range(count):
        index = torch.randint(len(x), (8,), generator=order)
        losses.append(float(svi.step(index if gathered else x[index])))
    return torch.tensor(losses), vae.state_dict(), svi


def assert_same_steps(make, count, nudge=0.0):
    """Hold the compiled steps to Pyro's, to float tolerance.

    Some programs amplify a difference in the last place a thousandfold within 200 steps. With a
    nudge to the first weights, as much is allowed beside the tolerance as it moves Pyro's own.
    """
    pyro.set_rng_seed(0)
    x = stirred(make(), size=0.05).generate(24, sample=True)
    pyros, its_state, _ = steps(SVI, make, x, count)
    ours, our_state, svi = steps(CompiledSVI, make, x, count)
    assert svi.compiled
    nudged, nudged_state = pyros, its_state
    if nudge:
        nudged, nudged_state, _ = steps(SVI, make, x, count, nudge)
    moved = (nudged - pyros).abs().cummax(0).values
    torch.testing.assert_close(
        ours.clamp(pyros - moved, pyros + moved), ours, rtol=1e-3, atol=1e-3
    )
    for name, value in its_state.items():
        moved = (nudged_state[name].double() - value.double()).abs().max().item()
        torch.testing.assert_close(our_state[name], value, rtol=2e-3, atol=2e-3 + moved, msg=name)


def of_network(declared):
    shape = {"conv": (2, 5, 6), "resnet": (2, 5, 6), "temporal_conv": (3, 2)}.get(
        declared["kind"], (4,)
    )
    return VAE(shape, 2, encoder=declared, decoder=declared)


TRIPLES = list(each_once())
MAKERS = [
    *(pytest.param(lambda parts=p.values[0]: small_vae(**parts), id=p.id) for p in TRIPLES),
    *(pytest.param(lambda d=p.values[0][1]: of_network(d), id=p.id) for p in variants(Network)),
]


@pytest.mark.parametrize("make", MAKERS)
def test_as_captured(make, monkeypatch):
    monkeypatch.setattr(backends, "_compiled", lambda capture, options: capture.graph)
    assert_same_steps(make, 12)  # from the fourth on the graph is replayed


@pytest.mark.parametrize("make", [MAKERS[1], MAKERS[-5]])
def test_as_compiled(make):
    assert_same_steps(make, 60)


@pytest.mark.slow
@pytest.mark.parametrize("make", MAKERS)
def test_every_one_as_compiled(make):
    assert_same_steps(make, 200, nudge=1e-7)
