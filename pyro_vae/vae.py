"""The VAE as a Pyro program: ``model`` is p(z) p(x|z), ``guide`` is q(z|x)."""

from __future__ import annotations

import copy
from typing import Any, Self

import pyro
import torch
from pyro.distributions.torch_distribution import TorchDistribution
from pyro.nn import pyro_method
from torch import Tensor, nn

from pyro_vae.core.errors import DataError, DeclarationError
from pyro_vae.core.likelihood import Likelihood
from pyro_vae.core.messages import shown
from pyro_vae.core.modes import alone, device_of, evaluating
from pyro_vae.core.network import Network, network_for
from pyro_vae.core.not_an_estimator import NotAnEstimator
from pyro_vae.core.parts import FAMILIES, Declaration, built, declaration_of, read_parts
from pyro_vae.core.posterior import Posterior
from pyro_vae.core.prior import Prior
from pyro_vae.core.pyro_store import UniqueModule
from pyro_vae.core.supports import check_shapes, check_supports
from pyro_vae.data.checks import AnyArray
from pyro_vae.data.standardization import Standardization, transformed
from pyro_vae.likelihoods.own_units import OwnUnits
from pyro_vae.networks.lookup import Lookup, encoder_for
from pyro_vae.report.table import Table

__all__ = ["VAE"]


class VAE(UniqueModule, NotAnEstimator):
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
        encoder: Network from x to the posterior's parameters; ignored by a posterior that is not
            amortized (``per_example``).

    Raises:
        DeclarationError: with every problem of the declaration at once.
        IncompatibleComponents: if the components' shapes or supports do not match.

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

    @alone()
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
        parts = read_parts(event_shape, latent_dim, given)
        super().__init__()
        self._trained = False  # fit and load set it
        shape = self.event_shape = tuple(map(int, event_shape))
        self.latent_dim = latent_dim = int(latent_dim)
        self.standardization: Standardization | None = None
        """By which the data that it was trained on became z-scores; ``fit`` sets it."""
        known: dict[str, Any] = {"latent_dim": latent_dim, "event_shape": shape}
        self.likelihood: Likelihood = built(parts["likelihood"], **known)
        self.posterior: Posterior = built(parts["posterior"], **known)
        self.encoder: nn.Module = encoder_for(parts["encoder"], shape, self.posterior)
        known |= {"encoder": self.encoder, "posterior": self.posterior}
        self.prior: Prior = built(parts["prior"], **known)
        self.code = slice(self.prior.decoded_dim)  # the part of z that is decoded
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
            size: Number of data to draw when ``x`` is None.
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
        """Initialize the components that depend on the training data, ``(N, *event_shape)``.

        ``fit`` calls it before its first step; in a loop of your own, call it before you create
        the optimizer. It affects posteriors that are not amortized, priors such as ``vamp``, and
        likelihoods with ``offset: data_mean`` or in units of the data's own, by which the encoder
        divides, unless it is a plain ``nn.Module``; and an encoder with ``input: standardize``.
        """
        x = self._data(x)
        self.likelihood.initialize(x)
        if isinstance(self.encoder, Lookup):
            self.encoder.initialize(x)
        elif isinstance(self.encoder, Network):
            own = isinstance(self.likelihood, OwnUnits)
            self.encoder.initialize(x, getattr(self.likelihood, "unit", 1.0) if own else 1.0)
        self.prior.initialize(x)

    @alone()
    def encode(self, x: AnyArray) -> TorchDistribution:
        """q(z|x) for data ``(N, *event_shape)``: batch_shape ``(N,)``, event_shape ``(M,)``.

        Args:
            x: A tensor as a data set's splits hold it, or an array or table in the data's own
                units, which :meth:`transform` standardizes as the training data were.
        """
        q: TorchDistribution = self.posterior(self.encoder(self._data(x)))
        return q

    def transform(self, x: AnyArray) -> Tensor:
        """Values in the data's own units as the model sees them, ``(N, *event_shape)``.

        They become z-scores if :attr:`standardization` says so, and go to the model's device.
        """
        weight = next(self.parameters(), torch.empty(0))
        return transformed(x, self.standardization).to(device_of(self), weight.dtype)

    def inverse(self, x: Tensor) -> Tensor:
        """What the model sees, ``(*batch, *event_shape)``, in the data's own units."""
        return x if self.standardization is None else self.standardization.inverse(x)

    def point_estimate(self, x: AnyArray) -> Tensor:
        """A single code for each datum, ``(N, M)``: usually the mean of q(z|x).

        A flow's is the image of its base's mean, and a distribution on the sphere has its mode
        (:meth:`~pyro_vae.core.posterior.Posterior.point_estimate`).
        """
        z: Tensor = self.posterior.point_estimate(self.encode(x))
        return z

    def decode(self, z: Tensor, x: Tensor | None = None) -> TorchDistribution:
        """p(x|z) for codes ``(*batch, M)``.

        ``x`` is the datum, if known. A likelihood uses it only for quantities that the model
        conditions on (see :class:`~pyro_vae.core.likelihood.Likelihood`).
        """
        p: TorchDistribution = self.likelihood(self.decoder(z[..., self.code]), x)
        return p

    @torch.no_grad()
    def reconstruct(self, x: AnyArray) -> Tensor:
        """The mean of p(x|z) at the point estimate of z, ``(N, *event_shape)``.

        Args:
            x: As :meth:`encode` takes it; the result is in the same units.
        """
        with evaluating(self):
            data = self._data(x)
            mean: Tensor = self.decode(self.point_estimate(data), data).mean
            return mean if isinstance(x, Tensor) else self.inverse(mean)

    @torch.no_grad()
    def generate(
        self, size: int = 1, *, sample: bool = False, standardized: bool = False
    ) -> Tensor:
        """New data from z ~ p(z), ``(size, *event_shape)``, in the data's own units.

        Args:
            size: Number of data.
            sample: Draw x ~ p(x|z), with pixel noise, instead of returning the mean of p(x|z).
            standardized: Leave them as the model sees them: z-scores, if it was trained on such.
        """
        with evaluating(self):
            p = self.decode(self.prior().sample(torch.Size([size])))
            drawn: Tensor = p.sample() if sample else p.mean
            return drawn if standardized else self.inverse(drawn)

    def table(self) -> Table:
        """Its components: what each one is, and how many parameters it has."""
        sizes = f"x of shape {self.event_shape}, z of size {self.latent_dim}"
        title = f"{type(self).__name__}: {sizes}, {_count(self):,} parameters"
        table = Table(title, ["component", "kind", "arguments", "parameters"])
        for name in FAMILIES:
            part = getattr(self, name)
            declared = declaration_of(part)
            given = (
                dict(declared) if isinstance(declared, dict) else {"kind": type(declared).__name__}
            )
            kind = given.pop("kind")
            arguments = ", ".join(f"{key}={value}" for key, value in given.items())
            table.add(name, kind, arguments, f"{_count(part):,}")
        return table

    def __repr__(self) -> str:
        return str(self.table())

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()

    @property
    def declaration(self) -> dict[str, Any]:
        """The arguments that rebuild this model: ``VAE(**vae.declaration)``.

        A user's own ``nn.Module``, which has no name, appears as the module itself.
        """
        parts = {name: declaration_of(getattr(self, name)) for name in FAMILIES}
        return {"event_shape": self.event_shape, "latent_dim": self.latent_dim, **parts}

    def swap(self, **changes: Any) -> Self:
        """A new VAE with some of its declaration changed; nothing is shared with this one.

        Every component is rebuilt with new weights, except a user's own ``nn.Module``, which is
        copied with its current weights.
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

    def rows(self, x: Any) -> Tensor:
        """Data as a tensor ``(N, *event_shape)``, of any precision."""
        if not isinstance(x, Tensor) and hasattr(x, "shape"):
            x = self.transform(x)
        event = tuple(x.shape[1:]) if isinstance(x, Tensor) and x.dim() else None
        if event != self.event_shape:
            got = f"one of shape {tuple(x.shape)}" if isinstance(x, Tensor) else shown(x)
            want = ", ".join(["N", *map(str, self.event_shape)])
            raise DataError(f"Expected x to be a tensor of shape ({want}), got {got}")
        data: Tensor = x
        return data

    def _data(self, x: Any) -> Tensor:
        data, weight = self.rows(x), next(self.parameters(), None)
        if weight is not None and data.is_floating_point() and data.dtype != weight.dtype:
            raise DataError(
                f"Expected x in the precision of the model's weights, {weight.dtype}, got "
                f"{data.dtype}; convert one of them: x.to({weight.dtype}), or vae.to({data.dtype})"
            )
        return data

    @torch.no_grad()
    def _check_shapes(self) -> None:
        """Run each component once, and check the shape and support of its distribution."""
        device = device_of(self)
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


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
