"""Every prior with every posterior: known to be valid, trained and audited, or refused."""

import math

import pyro
import pytest
import torch
from pyro.infer import SVI

import pyro_vae
from pyro_vae import audit_elbo
from pyro_vae.core.errors import NoClosedFormKL
from pyro_vae.core.posterior import Posterior
from pyro_vae.core.prior import Prior
from pyro_vae.objectives.compatibility import kl_matrix, pair
from pyro_vae.objectives.elbo import ELBO
from pyro_vae.objectives.kl import kl_exact
from tests.variants import SHORT, handed_over, small_vae


def declared(kind):
    return {"kind": kind, **SHORT.get(kind, {})}


PAIRS = [(prior, posterior) for prior in Prior.kinds() for posterior in Posterior.kinds()
         if prior != "conditional"]  # a prior for each datum: tests/conditions  # fmt: skip
COMPATIBLE = [names for names in PAIRS if pair(*map(declared, names)).is_compatible]


def test_the_matrix_is_whole():
    table = kl_matrix()
    assert [row[0].text for row in table.rows] == list(Prior.kinds())
    assert table.columns[1:] == list(Posterior.kinds())
    words = {cell.text.split(" [")[0] for row in table.rows for cell in row[1:]}
    assert words == {"exact", "torch", "sampled", "no"}


def test_the_matrix_shows_itself_in_jupyter():
    assert pyro_vae.kl_matrix()._repr_html_().count("<tr>") == 1 + len(Prior.kinds())


def test_the_methods_of_some_pairs_that_are_known():
    assert pair("standard_normal", "diagonal_normal").method == "exact, by hand"
    assert pair("laplace", "diagonal_normal").method == "exact, torch's registry"
    assert pair("maf", "iaf").method == "sampled"
    refused = pair("uniform_sphere", "diagonal_normal")
    assert not refused.is_compatible
    assert "sphere" in refused.reason


def test_deciding_draws_nothing_from_the_global_generator():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    kl_matrix()
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize(("prior", "posterior"), COMPATIBLE)
def test_along_the_matrix_models_train_and_keep_to_their_method(prior, posterior):
    """20 steps by the method that is announced, every loss finite; exact only where it is."""
    vae = small_vae(prior=declared(prior), posterior=declared(posterior), likelihood="bernoulli")
    x = handed_over(vae, torch.rand(8, 3).round())
    method = pair(declared(prior), declared(posterior)).method
    loss = ELBO(kl="auto").pyro_loss()
    svi = SVI(vae.model, vae.guide, pyro.optim.Adam({"lr": 1e-2}), loss)
    assert all(math.isfinite(svi.step(x)) for _ in range(20))
    assert loss.methods == {"z": method.split(",")[0]}
    if method == "sampled":
        with pytest.raises(NoClosedFormKL):
            kl_exact(vae.encode(x), vae.prior())
    else:
        assert (kl_exact(vae.encode(x), vae.prior()) > -1e-6).all()


@pytest.mark.parametrize("posterior", Posterior.kinds())
def test_a_column_of_the_matrix_is_audited(posterior):
    """Each posterior with a prior of its support, in turn along the matrix."""
    compatible = [prior for prior, other in COMPATIBLE if other == posterior]
    turn = list(Posterior.kinds()).index(posterior)
    for prior in {compatible[turn % len(compatible)], compatible[(turn + 5) % len(compatible)]}:
        vae = small_vae(prior=declared(prior), posterior=declared(posterior))
        x = handed_over(vae, vae.generate(8, sample=True))
        audit = audit_elbo(vae, x, particles=200, gradients=10)
        assert audit.passed, f"{prior}: {audit.verdict}"
