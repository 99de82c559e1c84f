"""Pyro as every test finds it: validating, seeded, with nothing in its parameter store."""

import os
import signal

import pyro
import pyro.distributions as dist
import pytest
import torch

from pyro_vae.core.condition import Condition
from pyro_vae.core.likelihood import Likelihood
from pyro_vae.core.missing_model import MissingModel
from pyro_vae.core.network import Network
from pyro_vae.core.posterior import Posterior
from pyro_vae.core.prior import Prior
from pyro_vae.objectives.objective import Objective
from pyro_vae.training.schedules.schedule import Schedule
from tests.commands import command, trained
from tests.variants import COVERING, handed_over, small_vae, stirred

__all__ = ["command", "trained"]

# A shell starts what is in its background without SIGINT, and nohup without SIGHUP.
for number, default in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGHUP, signal.SIG_DFL),
):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, default)


@pytest.fixture(autouse=True)
def clean_pyro():
    pyro.clear_param_store()
    pyro.set_rng_seed(0)
    with pyro.validation_enabled(True):
        yield


GPU, VISIBLE = torch.cuda.is_available, os.environ.get("CUDA_VISIBLE_DEVICES")


@pytest.fixture(scope="session", autouse=True)
def without_a_gpu():
    """Tests and fixtures run on the CPU, on a machine with a GPU too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cuda, "is_available", lambda: False)
        patch.setenv("CUDA_VISIBLE_DEVICES", "")  # for the processes that a test starts
        yield


@pytest.fixture(autouse=True)
def with_a_gpu(request, monkeypatch):
    """Those marked ``cuda`` have what GPU there is."""
    if request.node.get_closest_marker("cuda") is not None:
        monkeypatch.setattr(torch.cuda, "is_available", GPU)
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
        if VISIBLE is not None:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", VISIBLE)


@pytest.fixture
def registries():
    """Kinds that a test defines are forgotten after it."""
    families = (
        Prior,
        Likelihood,
        Posterior,
        Network,
        Objective,
        Schedule,
        Condition,
        MissingModel,
    )
    known = {family: family.kinds() for family in families}
    yield
    for family, kinds in known.items():
        family._registry.clear()
        family._registry.update(kinds)


@pytest.fixture
def heavy_tailed(registries):
    """A prior over two dimensions that neither this package nor torch has a KL for."""

    class HeavyTailed(Prior):
        def __init__(self, latent_dim: int) -> None:
            super().__init__()
            self.loc = torch.nn.Parameter(torch.zeros(latent_dim))

        def forward(self):
            return dist.StudentT(5.0, self.loc, 0.8).to_event(1)

    return HeavyTailed(2)


@pytest.fixture(params=COVERING)
def vae(request):
    """A small model with each variant of each component in turn, not at its first weights."""
    return stirred(small_vae(**request.param))


@pytest.fixture
def x(vae):
    """Six data that the model's likelihood can have, whichever it is."""
    return handed_over(vae, vae.generate(6, sample=True))
