"""What a pair of distributions must have for a test to be about it."""

import pytest
import torch
from torch.distributions import kl_divergence

from pyro_vae.core.errors import NoClosedFormKL
from pyro_vae.objectives.terms import elbo_terms


def exact_or_skip(vae, x):
    """The terms with an exact KL, where there is one."""
    try:
        return elbo_terms(vae, x, kl="exact")
    except NoClosedFormKL:
        pytest.skip("no closed form for this pair")


def known_to_torch_or_skip(vae, x):
    """Likewise, where torch knows the closed form too, as Pyro's TraceMeanField_ELBO needs."""
    exact_or_skip(vae, x)
    try:
        kl_divergence(vae.encode(x), vae.prior().expand(torch.Size([len(x)])))
    except NotImplementedError:
        pytest.skip("torch has no closed form for this pair, and Pyro would sample")
