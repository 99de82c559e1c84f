"""The VAE as a Pyro program: ``model`` is p(z) p(x|z), ``guide`` is q(z|x)."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Self

import pyro
import torch
from pyro.distributions.torch_distribution import TorchDistribution
from pyro.nn import PyroModule, pyro_method
from torch import Tensor, nn

from pyro_vae.core.declarable import Declarable
from pyro_vae.core.declaration import Declared, Problems, parse
from pyro_vae.core.errors import DataError, DeclarationError
from pyro_vae.core.likelihood import Likelihood
from pyro_vae.core.messages import shown
from pyro_vae.core.modes import evaluating
from pyro_vae.core.network import ModuleNetwork, Network, network_for
from pyro_vae.core.posterior import Posterior
from pyro_vae.core.prior import Prior
from pyro_vae.core.pyro_store import forget_replaced, forget_with, rename, unique_name
from pyro_vae.core.supports import check_shapes, check_supports
from pyro_vae.networks.lookup import Lookup, encoder_for

__all__ = ["VAE"]

Declaration = str | Mapping[str, Any] | nn.Module

FAMILIES: dict[str, Any] = {
    "prior": Prior,
    "likelihood": Likelihood,
    "decoder": Network,
    "posterior": Posterior,
    "encoder": Network,
}


class VAE(PyroModule):
    r"""A variational autoencoder: a generative model and an amortized guide.

    .. math:: \log p(x) \ge E_{q(z \mid x)}[\log p(x \mid z)] - KL(q(z \mid x) \,\|\, p(z))

    ``prior()`` is p(z), ``likelihood(decoder(z))`` is p(x|z) and ``posterior(encoder(x))`` is
    q(z|x). Each is given as a name, as a mapping with ``kind``, or as a ready module; an encoder
    or a decoder may be any ``nn.Module``.

    Args:
        event_shape: Shape of one datum, such as ``(1, 28, 28)``.
        latent_dim: Size M of the latent code z, at least 1.
        prior: p(z).
        likelihood: p(x|z), given the decoder's output.
        decoder: Network from z to the likelihood's parameters.
        posterior: q(z|x), given the encoder's output.
        encoder: Network from x to the posterior's parameters; a posterior that is not amortized,
            ``per_example``, has no use for it.

    Raises:
        DeclarationError: with every problem of the declaration at once.
        IncompatibleComponents: if the components' shapes or supports do not fit one another.

    References:
        | Auto-encoding variational Bayes (Kingma and Welling, 2013)
        | https://arxiv.org/abs/1312.6114
        | Stochastic backpropagation and approximate inference in deep generative models
        | (Rezende et al., 2014) https://arxiv.org/abs/1401.4082

    Example:
        >>> vae = VAE(event_shape=(1, 8, 8), latent_dim=2, likelihood="bernoulli")
        >>> vae.generate(5).shape
        torch.Size([5, 1, 8, 8])
        >>> vae.swap(prior="diagonal_normal").declaration["prior"]
        {'kind': 'diagonal_normal'}
    """

    def __init__(
        self,
        event_shape: tuple[int, ...],
        latent_dim: int,
        prior: Declaration = "standard_normal",
        likelihood: Declaration = "gaussian",
        decoder: Declaration = "mlp",
        posterior: Declaration = "diagonal_normal",
        encoder: Declaration = "mlp",
    ) -> None:
        given = {"prior": prior, "likelihood": likelihood, "decoder": decoder,
                 "posterior": posterior, "encoder": encoder}  # fmt: skip
        parts = _read(event_shape, latent_dim, given)
        super().__init__(unique_name("vae"))
        forget_with(self)
        shape = self.event_shape = tuple(event_shape)
        self.latent_dim = latent_dim
        known: dict[str, Any] = {"latent_dim": latent_dim, "event_shape": shape}
        self.likelihood: Likelihood = _built(parts["likelihood"], **known)
        self.posterior: Posterior = _built(parts["posterior"], **known)
        self.encoder: nn.Module = encoder_for(parts["encoder"], shape, self.posterior)
        known |= {"encoder": self.encoder, "posterior": self.posterior}
        self.prior: Prior = _built(parts["prior"], **known)
        self.code = slice(self.prior.decoded_dim)  # what the decoder reads of z; mostly all of it
        decoded = (len(range(latent_dim)[self.code]),)
        self.decoder: nn.Module = network_for(
            parts["decoder"], decoded, self.likelihood.parameter_shape
        )
        self._check_shapes()

    @pyro_method
    def model(self, x: Tensor | None = None, size: int = 1) -> Tensor:
        """p(z) p(x|z), as a Pyro program.

        Args:
            x: Data, ``(N, *event_shape)``; None draws ``size`` data from the model.
            size: How many data to draw when there is no ``x``.
        """
        with pyro.plate("data", size if x is None else len(self._data(x)), dim=-1):
            z = pyro.sample("z", self.prior())
            sample: Tensor = pyro.sample(
                "x", self.likelihood(self.decoder(z[..., self.code]), x), obs=x
            )
            return sample

    @pyro_method
    def guide(self, x: Tensor) -> Tensor:
        """q(z|x), as a Pyro program; ``x`` is ``(N, *event_shape)``."""
        with pyro.plate("data", len(self._data(x)), dim=-1):
            sample: Tensor = pyro.sample("z", self.posterior(self.encoder(x)))
            return sample

    def initialize(self, x: Tensor) -> None:
        """Take from the training data, ``(N, *event_shape)``, what the parts begin with.

        ``fit`` does it before its first step; in a loop of your own, do it before you make the
        optimizer. It matters to a posterior that is not amortized, to a prior such as ``vamp``
        and to a likelihood with ``offset: data_mean``.
        """
        if isinstance(self.encoder, Lookup):
            self.encoder.initialize(self._data(x))
        self.prior.initialize(self._data(x))
        self.likelihood.initialize(self._data(x))

    def encode(self, x: Tensor) -> TorchDistribution:
        """q(z|x) for data ``(N, *event_shape)``: batch_shape ``(N,)``, event_shape ``(M,)``."""
        q: TorchDistribution = self.posterior(self.encoder(self._data(x)))
        return q

    def point_estimate(self, x: Tensor) -> Tensor:
        """The one code that stands for q(z|x), as its posterior says, ``(N, M)``."""
        z: Tensor = self.posterior.point_estimate(self.encode(x))
        return z

    def decode(self, z: Tensor, x: Tensor | None = None) -> TorchDistribution:
        """p(x|z) for codes ``(*batch, M)``.

        ``x`` is the datum where it is known; a likelihood uses it only for what the model
        conditions on (see :class:`~pyro_vae.core.likelihood.Likelihood`).
        """
        p: TorchDistribution = self.likelihood(self.decoder(z[..., self.code]), x)
        return p

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """The mean of p(x|z) at the centre of q(z|x), ``(N, *event_shape)``.

        The centre is the mean of q(z|x); for a flow it is where the flow takes its base's mean,
        and on the sphere it is the mode
        (:meth:`~pyro_vae.core.posterior.Posterior.point_estimate`).
        """
        with evaluating(self):
            mean: Tensor = self.decode(self.point_estimate(x), x).mean
            return mean

    @torch.no_grad()
    def generate(self, size: int = 1, *, sample: bool = False) -> Tensor:
        """New data from z ~ p(z), ``(size, *event_shape)``.

        Args:
            size: How many.
            sample: Draw x ~ p(x|z), pixel noise included, in place of the mean of p(x|z).
        """
        with evaluating(self):
            p = self.decode(self.prior().sample(torch.Size([size])))
            drawn: Tensor = p.sample() if sample else p.mean
            return drawn

    @property
    def declaration(self) -> dict[str, Any]:
        """The arguments that build this model again: ``VAE(**vae.declaration)``.

        A user's own ``nn.Module``, which has no name, stands there as the module itself.
        """
        parts = {name: _declaration_of(getattr(self, name)) for name in FAMILIES}
        return {"event_shape": self.event_shape, "latent_dim": self.latent_dim, **parts}

    def swap(self, **changes: Any) -> Self:
        """A new VAE with some of its declaration changed; nothing is shared with this one.

        Every component is built afresh, with new weights. A user's own ``nn.Module``, which
        cannot be built again from a name, is copied with the weights that it has.
        """
        unknown = sorted(set(changes) - set(self.declaration))
        if unknown:
            known = ", ".join(self.declaration)
            raise DeclarationError(
                [f"{name}: unknown argument; known here: {known}" for name in unknown], "swap"
            )
        parts = self.declaration | changes
        kept = {name: copy.deepcopy(parts[name]) for name in parts if name not in changes}
        return type(self)(**(parts | kept))

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """A copy with weights and a name of its own, so that Pyro never mixes the two."""
        other = type(self).__new__(type(self))
        memo[id(self)] = other
        other.__dict__.update(copy.deepcopy(self.__dict__, memo))
        rename(other, unique_name("vae"))
        forget_with(other)
        return other

    def __getattr__(self, name: str) -> Any:
        """A part; within a Pyro program its parameters are registered, and none but its own."""
        part = self.__dict__.get("_modules", {}).get(name)
        if part is not None and self._pyro_context.active:
            forget_replaced(f"{self._pyro_name}.{name}", part)
        return super().__getattr__(name)

    def _data(self, x: Tensor) -> Tensor:
        event = tuple(x.shape[1:]) if isinstance(x, Tensor) and x.dim() else None
        if event != self.event_shape:
            got = f"one of shape {tuple(x.shape)}" if isinstance(x, Tensor) else shown(x)
            want = ", ".join(["N", *map(str, self.event_shape)])
            raise DataError(f"Expected x to be a tensor of shape ({want}), got {got}")
        return x

    @torch.no_grad()
    def _check_shapes(self) -> None:
        """Run each component once, and hold the shapes of its distribution to the contract."""
        device = next(iter([*self.parameters(), *self.buffers()]), torch.empty(0)).device
        dtype = next(self.parameters(), torch.empty(0)).dtype
        x = torch.zeros(2, *self.event_shape, device=device, dtype=dtype)
        z = torch.zeros(2, self.latent_dim, device=device, dtype=dtype)
        with evaluating(self):
            code, data = (self.latent_dim,), self.event_shape
            prior, posterior = self.prior(), self.encode(x)
            check_shapes("prior()", prior, (), code)
            check_shapes("posterior(encoder(x))", posterior, (2,), code)
            check_supports(posterior, prior)
            check_shapes("likelihood(decoder(z))", self.decode(z), (2,), data)


def _read(
    event_shape: tuple[int, ...], latent_dim: int, given: dict[str, Declaration]
) -> dict[str, Any]:
    """Check the whole declaration, and raise all of its problems at once."""
    problems = Problems()
    sizes = event_shape if isinstance(event_shape, (tuple, list)) else [None]
    if not all(type(n) is int and n > 0 for n in sizes):
        problems.append(
            f"event_shape: must be the sizes of one datum, each > 0, got {shown(event_shape)}"
        )
    if type(latent_dim) is not int or latent_dim < 1:
        problems.append(f"latent_dim: must be a whole number > 0, got {shown(latent_dim)}")
    parts: dict[str, Any] = {}
    for name, value in given.items():
        family = FAMILIES[name]
        if isinstance(value, nn.Module):
            parts[name] = value
            strange = family is not Network or isinstance(value, Declarable)
            if strange and not isinstance(value, family):
                problems.append(
                    f"{name}: must be a {family.__name__}, a name or a mapping with 'kind', "
                    f"got a module of type {type(value).__name__}"
                )
        else:
            parts[name] = parse(family, value, name, problems)
    problems.raise_if_any("The VAE's declaration")
    return parts


def _built(part: Declared | nn.Module, **known: Any) -> Any:
    return part.build(**known) if isinstance(part, Declared) else part


def _declaration_of(part: Any) -> Any:
    return part.module if isinstance(part, ModuleNetwork) else part.declaration
