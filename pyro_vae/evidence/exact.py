"""The linear-Gaussian model, whose evidence, posterior and ELBO are known exactly."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pyro.distributions as dist
import torch
from torch import Tensor, nn
from torch.distributions import Independent, Normal

from pyro_vae.likelihoods.gaussian import Gaussian
from pyro_vae.networks.conditioned import ConditionedNetwork
from pyro_vae.networks.linear import Linear
from pyro_vae.networks.module_network import ModuleNetwork
from pyro_vae.networks.temporal_conv import TemporalConv
from pyro_vae.objectives.structure import log_det, rooted_normal
from pyro_vae.vae import VAE

__all__ = ["LinearGaussian", "linear_gaussian"]

LOG_2PI = math.log(2 * math.pi)


@dataclass(frozen=True)
class LinearGaussian:
    r"""A linear map of normal codes, with diagonal noise: probabilistic PCA, and over time GPFA.

    .. math:: p(z) = N(z \mid m, A A'), \quad
              p(x \mid z) = N(x \mid W z + b, \mathrm{diag}(\sigma^2))

    Data are flattened to ``(N, D)``; every result is in nats, one value for each datum. NaN is a
    missing value: the results are then those of what is seen of the datum.

    Args:
        prior_loc: m, ``(M,)``; or ``(N, M)``, one for each datum's condition.
        prior_root: A, ``(M, R)``, any root of the prior's covariance; or ``(N, M, R)``.
        weight: W, ``(D, M)``.
        bias: b, ``(D,)``; or ``(N, D)``, one for each datum's condition.
        scale: sigma, ``(D,)``.

    References:
        | Probabilistic principal component analysis (Tipping and Bishop, 1999)
        | https://doi.org/10.1111/1467-9868.00196
    """

    prior_loc: Tensor
    prior_root: Tensor
    weight: Tensor
    bias: Tensor
    scale: Tensor

    def log_evidence(self, x: Tensor) -> Tensor:
        r"""log p(x) = log N(x | W m + b, W A A' W' + diag(sigma^2)), ``(N,)``."""  # noqa: D403
        if x.isnan().any() or self.prior_root.dim() > 2:
            return self._log_evidence_of_seen(x)
        covariance = self.loadings @ self.loadings.mT + torch.diag(self.scale.square())
        factor = torch.linalg.cholesky(covariance)
        white = torch.linalg.solve_triangular(
            factor, (x.reshape(len(x), -1) - self.mean).mT, upper=False
        )
        log_det = 2 * factor.diagonal().log().sum()
        return -0.5 * (white.square().sum(0) + log_det + len(self.scale) * LOG_2PI)

    def _log_evidence_of_seen(self, x: Tensor) -> Tensor:
        """By the M x M matrices I + L' L, where L are the loadings in units of the noise."""
        x = x.reshape(len(x), -1)
        seen = (~x.isnan()).to(self.scale)
        centered = (x - self.mean).nan_to_num(0.0) / self.scale
        loadings = seen.unsqueeze(-1) * (self.loadings / self.scale.unsqueeze(-1))  # (N, D, R)
        inner = loadings.mT @ loadings + torch.eye(loadings.shape[-1]).to(loadings)  # (N, M, M)
        factor = torch.linalg.cholesky(inner)
        projected = loadings.mT @ centered.unsqueeze(-1)
        white = torch.linalg.solve_triangular(factor, projected, upper=False).squeeze(-1)
        constant = (seen * (LOG_2PI + 2 * self.scale.log())).sum(-1) + 2 * log_det(factor)
        return -0.5 * (centered.square().sum(-1) - white.square().sum(-1) + constant)

    @property
    def mean(self) -> Tensor:
        """W m + b, ``(D,)`` or ``(N, D)``."""
        return self.prior_loc @ self.weight.mT + self.bias

    @property
    def loadings(self) -> Tensor:
        """W A, ``(D, R)`` or ``(N, D, R)``: of standard normal codes."""
        return self.weight @ self.prior_root

    def posterior(self, x: Tensor) -> dist.MultivariateNormal:
        """p(z|x), exactly: batch_shape ``(N,)``, event_shape ``(M,)``."""
        whitened = self.loadings / self.scale.unsqueeze(-1)  # (D, R)
        residual = (x.reshape(len(x), -1) - self.mean) / self.scale
        if x.isnan().any():
            whitened = (~residual.isnan()).to(whitened).unsqueeze(-1) * whitened  # (N, D, R)
            residual = residual.nan_to_num(0.0)
        precision = whitened.mT @ whitened + torch.eye(whitened.shape[-1]).to(whitened)
        fitted = residual.unsqueeze(-2) @ whitened  # (N, 1, R)
        inverse = torch.linalg.inv(precision)
        loc = (fitted @ inverse @ self.prior_root.mT).squeeze(-2) + self.prior_loc
        covariance = self.prior_root @ inverse @ self.prior_root.mT
        return dist.MultivariateNormal(loc, covariance_matrix=(covariance + covariance.mT) / 2)

    def expected_log_likelihood(self, x: Tensor, q: dist.TorchDistribution) -> Tensor | None:
        r"""E_q[log p(x|z)] for a normal q, ``(N,)``; None for any other q.

        .. math:: -\frac12 \sum_d \left( \log 2\pi\sigma_d^2
                  + \frac{(x - W\mu - b)_d^2 + (W \Sigma W')_{dd}}{\sigma_d^2} \right)
        """
        parameters = rooted_normal(q)
        if parameters is None:
            return None
        loc, root, _ = parameters
        residual = x.reshape(len(x), -1) - loc @ self.weight.mT - self.bias
        spread = (self.weight @ root).square().sum(-1)
        seen, residual = ~residual.isnan(), residual.nan_to_num(0.0)
        scaled = (residual.square() + spread) / self.scale.square()
        entries = scaled + LOG_2PI + 2 * self.scale.log()
        return -0.5 * torch.where(seen, entries, 0.0).sum(-1)


def linear_gaussian(vae: VAE) -> LinearGaussian | None:
    """The linear-Gaussian form of a model in evaluation mode, if it has one.

    It needs a linear decoder, a Gaussian likelihood whose scale does not depend on z, and a
    normal prior, which may depend on a condition; and no missing model.
    """
    if vae.missing_model is not None:
        return None
    prior = rooted_normal(vae.prior())
    if prior is None or not _is_affine(vae.decoder) or type(vae.likelihood) is not Gaussian:
        return None
    loc, root, _ = prior
    codes = torch.cat([loc.new_zeros(1, vae.latent_dim), torch.eye(vae.latent_dim).to(loc)])
    each = codes if not vae.batch else codes.unsqueeze(1).expand(-1, *vae.batch, -1)
    noise = vae.decode(each)
    if vae.likelihood.scale == "heteroscedastic" or not isinstance(noise, Independent):
        return None
    base = noise.base_dist
    if not isinstance(base, Normal):
        return None
    size = torch.Size(vae.event_shape).numel()
    outputs, scales = (v.reshape(len(codes), -1, size) for v in (base.loc, base.scale))
    weight = (outputs[1:, 0] - outputs[0, 0]).mT
    bias = outputs[0] if vae.batch else outputs[0, 0]  # one for each condition, or one for all
    return LinearGaussian(loc, root, weight, bias, scales[0, 0])


def _is_affine(decoder: nn.Module) -> bool:
    inner = decoder.network if isinstance(decoder, ConditionedNetwork) else decoder
    inner = inner.module if isinstance(inner, ModuleNetwork) else inner
    if isinstance(inner, TemporalConv):
        return inner.affine and inner.input == "none"
    return type(inner) in (Linear, nn.Linear)
