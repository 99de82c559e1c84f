"""A linear-Gaussian model whose guide is its exact posterior, or is made to miss it."""

from __future__ import annotations

import math

import pyro
import torch

from pyro_vae import VAE
from pyro_vae.distributions.bounds import MAX_SCALE
from pyro_vae.evidence.exact import linear_gaussian

NOISE = 0.7
PLANTED = {
    "scale 5% too wide": {"scale": 1.05},
    "scale 5% too narrow": {"scale": 0.95},
    "mean off by 0.1 s.d.": {"shift": 0.1},
    "a correlation of 0.5 ignored": {"ignored": True},
    "a correlation of 0.3 ignored": {"ignored": True, "correlation": 0.3},
}


@torch.no_grad()
def exact_guide(scale=1.0, shift=0.0, ignored=False, correlation=0.5):
    """Posterior scales of 0.5 and a correlation; the guide's scales, means and correlation off."""
    pyro.set_rng_seed(0)
    likelihood = {"kind": "gaussian", "scale": NOISE}
    vae = VAE((3,), 2, likelihood=likelihood, decoder="linear", encoder="linear",
              posterior="multivariate_normal").double().eval()  # fmt: skip
    wanted = 0.25 * torch.tensor([[1.0, correlation], [correlation, 1.0]]).double()
    precision = torch.linalg.inv(wanted) - torch.eye(2)
    vae.decoder.affine.weight[:2] = NOISE * torch.linalg.cholesky(precision).mT
    vae.decoder.affine.weight[2] = 0.0
    exact = linear_gaussian(vae).posterior(torch.cat([torch.zeros(1, 3), torch.eye(3)]).double())
    assert torch.allclose(exact.covariance_matrix[0], wanted)
    root = torch.linalg.cholesky(torch.diag(wanted.diagonal()) if ignored else wanted) * scale
    ratio = root.diagonal().log() / math.log(MAX_SCALE)
    below = (root[1, :1] / root[1, 1]) / 10
    affine = vae.encoder.affine
    affine.weight.zero_()
    affine.weight[:2] = (exact.mean[1:] - exact.mean[0]).mT
    affine.bias.copy_(torch.cat([
        exact.mean[0] + shift * 0.5, math.log(MAX_SCALE) * ratio / (1 - ratio**2).sqrt(),
        10 * below / (1 - below**2).sqrt(),
    ]))  # fmt: skip
    assert torch.allclose(vae.encode(torch.zeros(1, 3).double()).scale_tril[0], root)
    return vae
