import pyro
import pyro.distributions as dist
import pytest
import torch

from pyro_vae.core.prior import Prior


@pytest.fixture
def unpaired(registries):
    """The name of a prior without a closed-form KL."""

    class Unpaired(Prior):
        """Student's t, which has no KL from a normal."""

        def __init__(self, latent_dim: int):
            super().__init__()
            self.loc = torch.nn.Parameter(torch.zeros(latent_dim))

        def forward(self):
            return dist.StudentT(3.0, self.loc, 1.0).to_event(1)

    return Unpaired.kind


@pytest.fixture
def seeded():
    """Calls a function after seeding, so that two of them draw the same numbers."""

    def call(function, *args, **kwargs):
        pyro.set_rng_seed(7)
        return function(*args, **kwargs)

    return call
