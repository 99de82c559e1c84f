"""What free parameters for each datum are for: the best that a diagonal normal can do."""

import pytest
import torch

from pyro_vae import fit
from pyro_vae.data.prepare import as_dataset
from pyro_vae.evidence.exact import linear_gaussian
from pyro_vae.networks.lookup import SPEED
from pyro_vae.objectives.kl import kl_exact
from pyro_vae.posteriors import MultivariateNormal
from tests.variants import small_vae, stirred

NARROW = {"kind": "mlp", "hidden": [1], "activation": "tanh"}
NOISE = {"kind": "gaussian", "scale": 0.5}


@pytest.fixture
def linear():
    """A linear-Gaussian model with a correlated posterior, whose decoder stays as it is."""
    vae = stirred(small_vae(decoder="linear", likelihood=NOISE, posterior="per_example"), 1.0)
    vae.decoder.requires_grad_(False)
    return vae


@pytest.fixture
def x(linear):
    return linear.generate(40, sample=True)


def exact_elbo(vae, x):
    """The ELBO of each datum in nats, every term in closed form."""
    q = vae.encode(x)
    return linear_gaussian(vae).expected_log_likelihood(x, q) - kl_exact(q, vae.prior())


def climb(vae, x):
    """Maximize the exact ELBO over the guide until it moves no more."""
    optimizer = torch.optim.LBFGS(
        vae.encoder.parameters(), max_iter=500, tolerance_change=1e-14, tolerance_grad=1e-10,
        line_search_fn="strong_wolfe",
    )  # fmt: skip

    def loss():
        optimizer.zero_grad()
        value = -exact_elbo(vae, x).mean()
        value.backward()
        return value

    optimizer.step(loss)


def test_the_optimum_is_the_best_diagonal_member_around_the_exact_posterior(linear, x):
    """KL(q || p(z|x)) is least at the exact mean and at the precisions of each dimension alone."""
    linear.double().initialize(x.double())
    x = x.double()
    climb(linear, x)
    q, exact = linear.encode(x), linear_gaussian(linear).posterior(x)
    precision = exact.precision_matrix.diagonal(dim1=-2, dim2=-1)
    assert torch.allclose(q.mean, exact.mean, atol=1e-5)
    assert torch.allclose(q.stddev, precision.rsqrt(), rtol=1e-5)
    assert not torch.allclose(q.stddev, exact.stddev, rtol=0.05)  # which is wider: a mistake
    gap = 0.5 * (precision.log().sum(-1) - torch.logdet(exact.precision_matrix))
    reached = linear_gaussian(linear).log_evidence(x) - exact_elbo(linear, x)
    assert torch.allclose(reached, gap, atol=1e-9)
    assert gap.min() > 0.05


def test_no_amortized_guide_of_the_same_family_is_better_for_any_datum(linear, x):
    """The amortization gap is 0 or more; that of so small a network is more."""
    linear.double().initialize(x.double())
    amortized = linear.swap(posterior="diagonal_normal", encoder=NARROW).double()
    amortized.decoder.load_state_dict(linear.decoder.state_dict())
    for vae in (linear, amortized):
        climb(vae, x.double())
    gap = exact_elbo(linear, x.double()) - exact_elbo(amortized, x.double())
    assert gap.min() > -1e-9
    assert gap.mean() > 0.01


@pytest.mark.filterwarnings("ignore:.*because requires_grad=False")
def test_svi_comes_near_the_optimum(linear, x):
    data = as_dataset(x, validation=0, test=0)
    linear.initialize(x)
    before = exact_elbo(linear, x).mean()
    many = {"kind": "elbo", "particles": 10}
    fit(linear, data, objective=many, epochs=400, batch_size=20, show_progress=False)
    after = exact_elbo(linear, x).mean()
    climb(linear, x)
    short = exact_elbo(linear, x).mean() - after
    assert 0 < short < 0.1 < after - before  # nats per datum: Adam's steps never end


def test_any_posterior_can_do_without_an_encoder(registries):
    """A full covariance for each datum is the exact posterior itself."""

    class FreeNormal(MultivariateNormal):
        """A full normal for each training datum."""

        amortized = False

    vae = stirred(small_vae(decoder="linear", likelihood=NOISE, posterior=FreeNormal.kind), 1.0)
    x = vae.generate(10, sample=True).double()
    vae.double().initialize(x)
    climb(vae, x)
    evidence = linear_gaussian(vae).log_evidence(x)
    assert torch.allclose(exact_elbo(vae, x), evidence, atol=1e-6)


def test_every_datum_begins_at_the_standard_normal_and_moves_by_the_speed_it_says(linear, x):
    linear.initialize(x)
    q = linear.encode(x)
    assert (q.mean == 0).all()
    assert torch.allclose(q.stddev, torch.ones(()))
    with torch.no_grad():
        linear.encoder.table.add_(1 / SPEED)
    assert torch.allclose(linear.encode(x).mean, torch.ones(()))
