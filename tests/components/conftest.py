import pytest

from pyro_vae.core.errors import DeclarationError
from pyro_vae.core.likelihood import Likelihood
from pyro_vae.core.network import Network
from pyro_vae.core.posterior import Posterior
from pyro_vae.core.prior import Prior
from tests.variants import build, stirred, variants


@pytest.fixture(params=variants(Prior, Likelihood, Posterior, Network))
def component(request):
    """Every component there is, not at its first weights."""
    return stirred(build(*request.param))


@pytest.fixture(params=variants(Prior, Likelihood, Posterior))
def random_component(request):
    """Every component that makes a distribution."""
    return stirred(build(*request.param))


@pytest.fixture(params=variants(Likelihood, Posterior))
def conditional(request):
    """Every component that makes a distribution from a network's output."""
    return stirred(build(*request.param))


@pytest.fixture(params=variants(Posterior))
def posterior(request):
    return stirred(build(*request.param))


def in_one_dimension(declared):
    try:
        return build(*declared, latent_dim=1)
    except DeclarationError:  # such as the sphere
        return None


LINES = [
    parameter
    for parameter in variants(Prior, Likelihood, Posterior)
    if parameter.values[0][1]["kind"] != "multinomial"  # of one word it is certain
    and in_one_dimension(*parameter.values)
]


@pytest.fixture(params=LINES)
def line(request):
    """Every component that one dimension is enough for, in double precision."""
    return stirred(build(*request.param, latent_dim=1, event_shape=(1,)).double(), size=0.1)


@pytest.fixture(params=variants(Network))
def declared_network(request):
    return request.param
