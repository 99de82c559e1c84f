"""Pyro's store identifies parameters by name: a model must train its own current ones."""

import copy
import pickle

import pyro
import torch
from pyro.infer import SVI, Trace_ELBO
from pyro.nn import PyroModule, pyro_method

from pyro_vae import VAE


def trains(vae, x):
    before = {name: value.detach().clone() for name, value in vae.named_parameters()}
    SVI(vae.model, vae.guide, pyro.optim.Adam({"lr": 1e-2}), Trace_ELBO()).step(x)
    return [n for n, value in vae.named_parameters() if torch.equal(value, before[n])] == []


def binary(size=6):
    return torch.rand(size, 4).round()


def test_parameters_that_were_replaced_train_in_the_place_of_the_old_ones():
    vae, other = (VAE((4,), 2, likelihood="bernoulli") for _ in range(2))
    assert trains(vae, binary())
    vae.load_state_dict(other.state_dict(), assign=True)
    assert trains(vae, binary())
    vae.encoder = other.encoder
    assert trains(vae, binary())


def test_two_models_of_one_name_take_turns():
    vae = VAE((4,), 2, likelihood="bernoulli")
    assert trains(vae, binary())
    twin = pickle.loads(pickle.dumps(vae))
    assert trains(twin, binary())
    assert trains(vae, binary())


class WithPyroChild(VAE):
    def __init__(self, **declaration):
        super().__init__(**declaration)
        self.extra = PyroModule[torch.nn.Linear](4, 4)

    @pyro_method
    def guide(self, x):
        with pyro.plate("data", len(x), dim=-1):
            return pyro.sample("z", self.posterior(self.encoder(self.extra(x))))


def test_a_copys_pyro_children_have_the_copys_name():
    vae = WithPyroChild(event_shape=(4,), latent_dim=2, likelihood="bernoulli")
    assert trains(vae, binary())
    copied = copy.deepcopy(vae)
    assert copied.extra._pyro_name.startswith(f"{copied._pyro_name}.")
    assert trains(copied, binary())
    assert trains(vae, binary())
