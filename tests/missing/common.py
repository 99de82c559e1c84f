"""Models and data with gaps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from pyro_vae import VAE
from pyro_vae.evidence.exact import linear_gaussian
from tests.small_models import NET, stirred

GAPS = "zero_and_mask"


def with_gaps(x, share=0.3, seed=0):
    """NaN in a share of the entries, at random; the first entry of a row is always seen."""
    lost = torch.rand(x.shape, generator=torch.Generator().manual_seed(seed)) < share
    lost[:, 0] = False
    return torch.where(lost, torch.nan, x)


@pytest.fixture
def linear():
    """A linear-Gaussian model that knows missing values, in double precision."""
    torch.manual_seed(2)
    likelihood = {"kind": "gaussian", "scale": "per_dimension"}
    model = VAE((5,), 2, prior="diagonal_normal", likelihood=likelihood, decoder="linear",
                encoder=NET, missing=GAPS)  # fmt: skip
    model = stirred(model).double().eval()
    for parameter in model.encoder.parameters():
        parameter.data.mul_(
            0.3
        )  # a guide about as wide as the prior has weights of finite variance
    return model


@pytest.fixture
def x(linear):
    torch.manual_seed(3)
    return with_gaps(linear.generate(8, sample=True))


class Oracle:
    """The joint normal of x, by SciPy."""

    def __init__(self, vae):
        exact = linear_gaussian(vae)
        w, s = (t.detach().numpy() for t in (exact.weight, exact.prior_root))
        self.mean = w @ exact.prior_loc.detach().numpy() + exact.bias.detach().numpy()
        noise = exact.scale.expand(len(w)).detach().numpy()
        self.covariance = w @ s @ s.T @ w.T + np.diag(noise**2)

    def log_prob(self, row):
        seen = ~np.isnan(row)
        if not seen.any():
            return 0.0
        block = self.covariance[np.ix_(seen, seen)]
        return stats.multivariate_normal(self.mean[seen], block).logpdf(row[seen])

    def conditional(self, row):
        """Mean and covariance of what is missing, given what is seen."""
        seen = ~np.isnan(row)
        cross = self.covariance[np.ix_(~seen, seen)]
        gain = cross @ np.linalg.inv(self.covariance[np.ix_(seen, seen)])
        mean = self.mean[~seen] + gain @ (row[seen] - self.mean[seen])
        return mean, self.covariance[np.ix_(~seen, ~seen)] - gain @ cross.T
