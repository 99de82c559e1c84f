"""A linear-Gaussian model of one latent dimension: every bound by quadrature."""

import math

import pyro
import torch

from pyro_vae import VAE
from pyro_vae.evidence.exact import linear_gaussian
from pyro_vae.objectives.kl import kl_exact
from tests.variants import noise_like

GROUPS = ("prior", "likelihood", "decoder", "encoder")


def tiny(off=0.2, **changes):
    """x in R^2, z in R^1, in double precision, the guide ``off`` from the exact posterior."""
    pyro.set_rng_seed(3)
    parts = {"prior": "diagonal_normal", "decoder": "linear", "encoder": "linear"} | changes
    vae = VAE((2,), 1, **parts).double()
    with torch.no_grad():
        for name, parameter in vae.named_parameters():
            size = 0.03 if name.startswith("likelihood") else 0.4
            parameter.add_(size * noise_like(parameter))
        if linear_gaussian(vae) is not None:
            reach_the_posterior(vae)
        for parameter in vae.encoder.parameters():
            parameter.add_(off * torch.randn_like(parameter))
    return vae


def reach_the_posterior(vae):
    """Set the encoder so that the guide is p(z|x), to the rounding of a grid of scales."""
    corners = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    exact = linear_gaussian(vae).posterior(corners)
    loc, scale = exact.loc.flatten(), exact.covariance_matrix[0].sqrt().item()
    raw = torch.linspace(-6, 6, 200_001, dtype=torch.float64)
    scales = vae.posterior(torch.stack([raw, raw], 1).unsqueeze(-1)).base_dist.scale.flatten()
    layer = vae.encoder.affine
    layer.weight.zero_()
    layer.weight[0], layer.bias[0] = loc[1:] - loc[0], loc[0]
    layer.bias[1] = raw[(scales - scale).abs().argmin()]


def data(count=3):
    generator = torch.Generator().manual_seed(5)
    return 1.5 * torch.randn(count, 2, generator=generator, dtype=torch.float64)


def evidence(vae, x):
    return linear_gaussian(vae).log_evidence(x)


def exact_elbo(vae, x, beta=1.0):
    """The ELBO of each datum, in closed form, its KL weighted."""
    q = vae.encode(x)
    return linear_gaussian(vae).expected_log_likelihood(x, q) - beta * kl_exact(q, vae.prior())


def quadrature(vae, x, particles, alpha=0.0, nodes=81):
    """The mean of the Renyi bound of each datum, by the trapezoidal rule over all noise."""
    points = torch.linspace(-7, 7, nodes, dtype=torch.float64)
    weights = torch.softmax(-0.5 * points.square(), 0)
    noise = torch.cartesian_prod(*[points] * particles).reshape(-1, particles)  # (G, K)
    shares = torch.cartesian_prod(*[weights] * particles).reshape(-1, particles).prod(1)
    q = vae.encode(x)
    base = q.base_dist
    z = base.loc + base.scale * noise.mT.unsqueeze(-1).unsqueeze(-1)  # (K, G, N, 1)
    log_weights = vae.decode(z).log_prob(x) + vae.prior().log_prob(z) - q.log_prob(z)
    powers = (1 - alpha) * log_weights
    bound = (powers.logsumexp(0) - math.log(particles)) / (1 - alpha)  # (G, N)
    return (shares.unsqueeze(-1) * bound).sum(0)


def gradient_of(vae, total):
    parameters = list(vae.parameters())
    parts = torch.autograd.grad(total, parameters, allow_unused=True, materialize_grads=True)
    return torch.cat([part.flatten() for part in parts])


def drawn_gradients(vae, loss, x, repeats=200, copies=60):
    """Gradients of the mean loss of ``copies`` of the data at a time, ``(repeats, D)``."""
    batch = x.repeat(copies, 1)
    return torch.stack([
        gradient_of(vae, loss.differentiable_loss(vae.model, vae.guide, batch) / copies)
        for _ in range(repeats)
    ])  # fmt: skip


def groups(vae):
    """Where the parameters of each component stand in a flat gradient."""
    names = [
        name.partition(".")[0] for name, p in vae.named_parameters() for _ in range(p.numel())
    ]
    return {group: [i for i, n in enumerate(names) if n == group] for group in GROUPS}
