"""Training draws from its seed alone, and leaves the caller's random generators as they were."""

import random

import numpy as np
import pyro
import pytest
import torch

from pyro_vae import VAE, fit

X = torch.randn(200, 6, generator=torch.Generator().manual_seed(0))


def trained(seed=0, **options):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        vae = VAE((6,), 2)
    result = fit(vae, X, epochs=2, seed=seed, show_progress=False, **options)
    return result, torch.cat([p.detach().flatten() for p in vae.parameters()])


def states():
    return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()


@pytest.mark.parametrize("step", ["pyro", "compiled"])
def test_the_callers_generators_go_on_from_where_they_were(step):
    pyro.set_rng_seed(5)
    before = states()
    trained(step=step)
    assert states() == before


def test_the_callers_generators_go_on_after_an_error():
    def fail(result):
        raise RuntimeError("stop")

    before = states()
    with pytest.raises(RuntimeError, match="stop"):
        trained(on_epoch=fail)
    assert states() == before


def test_one_seed_gives_one_result_whatever_the_caller_drew():
    _, first = trained()
    torch.rand(10)
    _, second = trained()
    assert torch.equal(first, second)
    assert not torch.equal(first, trained(seed=1)[1])


def test_a_seed_that_is_drawn_is_recorded():
    result, weights = trained(seed=None)
    again, same = trained(seed=result.settings.seed)
    assert torch.equal(weights, same)
    assert again.history[-1]["elbo"] == result.history[-1]["elbo"]
    assert trained(seed=None)[0].settings.seed != result.settings.seed
