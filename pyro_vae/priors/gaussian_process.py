"""Gaussian processes over time."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import pyro.distributions as dist
import torch
from pydantic import Field, PositiveInt
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor

from pyro_vae.core.errors import IncompatibleComponents
from pyro_vae.core.prior import Prior
from pyro_vae.distributions.bounds import learned_scale, raw_scale

__all__ = ["GaussianProcess"]

LOW, HIGH = 0.25, 1000.0  # of lengthscales; below, neighbours are as good as independent
NOISE = 1e-3  # share of the squared exponential kernel that is independent noise


class GaussianProcess(Prior):
    r"""Independent Gaussian processes over the times of a sequence, each with its lengthscale.

    .. math:: p(z) = \prod_d N(z_d \mid 0, K_d), \quad (K_d)_{st} = k(|s - t| / \ell_d)

    For data ``(channels, T)``, whose last dimension is time, z is d functions of T times each,
    one after the other: ``z.reshape(d, T)``. For flat data it is one function. Each has variance
    1, the decoder sets its scale. The kernels are

    - ``exponential``: :math:`k(r) = e^{-r}`, the Ornstein-Uhlenbeck process: an autoregression
      of order 1, and so a linear-Gaussian state-space model;
    - ``squared_exponential``: :math:`k(r) = (1 - \epsilon) e^{-r^2 / 2} + \epsilon [r = 0]` with
      :math:`\epsilon = 0.001`, as in Gaussian-process factor analysis: smooth functions.

    With a linear decoder and a Gaussian likelihood the evidence and the posterior are exact.

    Shapes:
        ``forward()`` has batch_shape ``()`` and event_shape ``(latent_dim,)``;
        ``log_prob`` maps ``(*, latent_dim)`` to ``(*,)``, in nats.

    Args:
        latent_dim: Size M of the latent code, a multiple of the number of times T.
        event_shape: Shape of one datum, time last.
        kernel: exponential or squared_exponential.
        lengthscale: Initial lengthscale of every function, in time steps. Each is learned, and
            smoothly bounded to [0.25, 1000].

    Raises:
        IncompatibleComponents: if M is no multiple of T.

    References:
        | Gaussian-process factor analysis for low-dimensional single-trial analysis of neural
        | population activity (Yu et al., 2009) https://doi.org/10.1152/jn.90941.2008
        | GP-VAE: deep probabilistic time series imputation (Fortuin et al., 2020)
        | https://arxiv.org/abs/1907.04155

    Example:
        >>> prior = GaussianProcess(latent_dim=6, event_shape=(20, 3), lengthscale=2.0)
        >>> [round(k, 2) for k in prior().covariance_matrix[0].tolist()]
        [1.0, 0.61, 0.37, 0.0, 0.0, 0.0]
    """

    gaps: Tensor

    def __init__(
        self,
        latent_dim: PositiveInt,
        event_shape: tuple[int, ...],
        kernel: Literal["exponential", "squared_exponential"] = "exponential",
        lengthscale: Annotated[float, Field(gt=LOW, lt=HIGH)] = 2.0,
    ) -> None:
        super().__init__()
        times = event_shape[-1] if len(event_shape) > 1 else latent_dim
        if latent_dim % times:
            raise IncompatibleComponents(
                f"gaussian_process: expected latent_dim to be a multiple of the {times} times of "
                f"data of shape {tuple(event_shape)}, a value of each function at each time, got "
                f"{latent_dim}; for d functions: latent_dim: d * {times}"
            )
        self.kernel = kernel
        place = math.log(lengthscale**2 / LOW / HIGH) / math.log(HIGH / LOW)  # in (-1, 1)
        raw = place / math.sqrt(1 - place**2) * math.log(HIGH / LOW) / 2
        first = math.sqrt(LOW * HIGH) * math.exp(raw)
        self.raw_scale = raw_scale((latent_dim // times,), first)
        self.register_buffer("gaps", torch.arange(times).float(), persistent=False)

    @property
    def lengthscales(self) -> Tensor:
        """Lengthscale of each function, ``(d,)``, in time steps."""
        return learned_scale(self.raw_scale, LOW, HIGH)

    def forward(self) -> TorchDistribution:
        """N(0, K), K with a block for each function."""
        scaled = self.gaps / self.lengthscales.unsqueeze(-1)  # (d, T), from the first time
        apart = (scaled.unsqueeze(-1) - scaled.unsqueeze(-2)).tril()  # (d, T, T), from s to t
        if self.kernel == "exponential":
            # z_t = c z_{t-1} + sqrt(1 - c^2) e_t: its Cholesky factor needs no factorization
            fresh = -torch.expm1(-2 / self.lengthscales)
            scale = torch.where(self.gaps > 0, fresh.sqrt().unsqueeze(-1), 1.0)
            factors = (torch.exp(-apart) * scale.unsqueeze(-2)).tril()
        else:
            alike = (scaled.unsqueeze(-1) - scaled.unsqueeze(-2)).square()
            eye = torch.eye(len(self.gaps)).to(scaled)
            factors = torch.linalg.cholesky((1 - NOISE) * torch.exp(-alike / 2) + NOISE * eye)
        return dist.MultivariateNormal(
            scaled.new_zeros(scaled.numel()), scale_tril=torch.block_diag(*factors)
        )
