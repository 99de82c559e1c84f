"""A model's encoder, decoder and scorer as static functions of tensors."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from pyro_vae.core.errors import IncompatibleComponents
from pyro_vae.distributions.by_column import typical
from pyro_vae.networks.lookup import Lookup
from pyro_vae.vae import VAE

__all__ = ["Decoder", "Encoder", "Part", "Scorer", "noise_size"]

SHIFT = 7


class Part(nn.Module):
    """A function of a model, on arrays in the data's own units.

    That of a conditional model takes each datum's condition last.

    Args:
        vae: The model.
    """

    inputs: tuple[str, ...]
    output: str
    own_mean: Tensor
    own_scale: Tensor

    def __init__(self, vae: VAE) -> None:
        super().__init__()
        if isinstance(vae.encoder, Lookup) and "x" in self.inputs:
            raise IncompatibleComponents(
                f"{vae.posterior.kind} has parameters only for the data that it was trained on, "
                f"and so no function of new data"
            )
        self.vae = vae
        if vae.condition is not None:
            self.inputs = (*self.inputs, "condition")
        how = vae.standardization
        self.standardized = how is not None  # ONNX takes names of operators, like "mean"
        self.register_buffer("own_mean", torch.zeros(()) if how is None else how.mean.cpu())
        self.register_buffer("own_scale", torch.ones(()) if how is None else how.scale.cpu())

    def seen(self, x: Tensor) -> Tensor:
        """Data in their own units as the model sees them."""
        return ((x.double() - self.own_mean) / self.own_scale).to(x) if self.standardized else x

    def own(self, x: Tensor) -> Tensor:
        """What the model sees in the data's own units."""
        return (x.double() * self.own_scale + self.own_mean).to(x) if self.standardized else x


class Encoder(Part):
    """The point estimate of z, usually the mean of q(z|x): ``(N, *event_shape)`` to ``(N, M)``."""

    inputs, output = ("x",), "z"

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """The codes."""
        with Static():
            q = self.vae.posterior(self.vae._in_program(condition).encoder(self.seen(x)))
            return self.vae.posterior.point_estimate(q)


class Decoder(Part):
    """The mean of p(x|z), or a category: ``(N, M)`` to ``(N, *event_shape)``."""

    inputs, output = ("z",), "x"

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """The data."""
        with Static():
            return self.own(typical(self.vae._in_program(condition).decode(z)))


class Scorer(Part):
    """log p(x, z) - log q(z|x) in nats, z from standard normal noise: ``(N,)``.

    Over draws of the noise, its mean is the ELBO of each datum, and its logarithm of the mean
    exponential is the importance-weighted estimate of log p(x).
    """

    inputs, output = ("x", "noise"), "log_weight"

    def forward(self, x: Tensor, noise: Tensor, condition: Tensor | None = None) -> Tensor:
        """The log-weights; the noise is ``(N, noise_size)``."""
        seen = self.seen(x)
        with Static(noise):
            vae = self.vae._in_program(condition)
            q = vae.posterior(vae.encoder(seen))
            z = q.rsample()
            p = vae.decode(z, seen)
            log_weight: Tensor = p.log_prob(seen) + vae.prior().log_prob(z) - q.log_prob(z)
        logs = self.own_scale.log().expand(x.shape[1:]).to(x)
        return log_weight - torch.where(x.isnan(), 0.0, logs).flatten(1).sum(1)


def noise_size(vae: VAE) -> int:
    """How many standard normal numbers a draw from q(z|x) takes."""
    weight = next(vae.parameters(), torch.empty(0))
    with Static() as drawn:
        vae.posterior(weight.new_zeros(2, *vae.posterior.parameter_shape)).rsample()
    return drawn.used


class Static(TorchFunctionMode):
    """Within it, draws are functions of given noise, and functions that ONNX lacks are spelt out.

    Args:
        noise: Standard normal numbers, ``(N, K)``; None for zeros.
    """

    def __init__(self, noise: Tensor | None = None) -> None:
        super().__init__()
        self.noise, self.used = noise, 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Called by PyTorch in place of each of its functions."""
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name == "normal_":
            return self._taken(args[0])
        if name == "uniform_":
            low, high = args[1:] or (0.0, 1.0)
            return low + (high - low) * torch.special.ndtr(self._taken(args[0]))
        if name in ("rand", "randn"):
            like = func(*args, **kwargs)
            taken = self._taken(like)
            return taken if name == "randn" else torch.special.ndtr(taken)
        if name == "hypot":
            return _hypot(*args)
        if name == "lgamma":
            return _lgamma(*args)
        return func(*args, **kwargs)

    def _taken(self, like: Tensor) -> Tensor:
        size = math.prod(like.shape[1:])
        first, self.used = self.used, self.used + size
        if self.noise is None:
            return torch.zeros_like(like)
        return self.noise[:, first : self.used].reshape(like.shape)


def _hypot(a: Tensor, b: Tensor) -> Tensor:
    large, small = torch.maximum(a.abs(), b.abs()), torch.minimum(a.abs(), b.abs())
    ratio = small / torch.where(large > 0, large, 1.0)
    return large * (1 + ratio * ratio).sqrt()


def _lgamma(x: Tensor) -> Tensor:
    """Log Gamma(x) for x > 0, by Stirling's series at x + 7: to 1e-12 in double precision.

    References:
        https://dlmf.nist.gov/5.11
    """
    y = x.double() + SHIFT
    series = 1 / (12 * y) - 1 / (360 * y**3) + 1 / (1260 * y**5) - 1 / (1680 * y**7)
    at_y = (y - 0.5) * y.log() - y + 0.5 * math.log(2 * math.pi) + series
    steps = sum((x.double() + k).log() for k in range(SHIFT))
    return (at_y - steps).to(x)
