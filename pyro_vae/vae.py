"""The VAE as a Pyro program: ``model`` is p(z) p(x|z), ``guide`` is q(z|x)."""

from __future__ import annotations

import copy
from typing import Any, Self

import pyro
import torch
from pyro.distributions.torch_distribution import TorchDistribution
from pyro.nn import pyro_method
from torch import Tensor, nn

from pyro_vae.core.errors import DeclarationError
from pyro_vae.core.latent_classes import LatentClasses
from pyro_vae.core.likelihood import Likelihood
from pyro_vae.core.missing import Gaps, seen_mean
from pyro_vae.core.missing_model import MissingModel
from pyro_vae.core.modes import alone, evaluating
from pyro_vae.core.network import Network
from pyro_vae.core.not_an_estimator import NotAnEstimator
from pyro_vae.core.parts import FAMILIES, Declaration, built, declaration_of, formulas, read_parts
from pyro_vae.core.posterior import Posterior
from pyro_vae.core.pretrained import Pretrained
from pyro_vae.core.prior import Prior, codes_of
from pyro_vae.core.supports import check_components
from pyro_vae.data.checks import AnyArray
from pyro_vae.data.model_scale import ModelScale
from pyro_vae.data.standardization import Standardization, own
from pyro_vae.data.table_format import TableFormat
from pyro_vae.distributions.by_column import typical
from pyro_vae.distributions.marginal import observed, whole
from pyro_vae.networks.conditioned import ConditionedNetwork, network_given
from pyro_vae.networks.encoder_input import EncoderInput
from pyro_vae.networks.lookup import Lookup, classifier_for, encoder_for
from pyro_vae.report.components import component_table, model_graph
from pyro_vae.report.table import Table

__all__ = ["VAE"]


class VAE(LatentClasses, ModelScale, NotAnEstimator, Pretrained):
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
        missing: ``zero_and_mask`` or ``set`` takes NaN in x for a missing value: the likelihood
            leaves it out (:class:`~pyro_vae.distributions.marginal.Marginal`), and what the
            encoder sees is :class:`~pyro_vae.networks.encoder_input.EncoderInput`'s.
        condition: What each datum is given, as a mapping with ``kind``: the model is then
            p(x|z, c), q(z|x, c), and p(z|c) with the prior ``conditional``. Its networks see it
            beside their input (:class:`~pyro_vae.networks.conditioned.ConditionedNetwork`).
        missing_model: Why values are missing (``self_masking``), if not at random.

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
        missing: Gaps = "none",
        condition: Declaration | None = None,
        missing_model: Declaration | None = None,
    ) -> None:
        given = {"prior": prior, "likelihood": likelihood, "decoder": decoder,
                 "posterior": posterior, "encoder": encoder}  # fmt: skip
        parts = read_parts(event_shape, latent_dim, given, missing, condition, missing_model)
        super().__init__()
        shape = self.event_shape = tuple(map(int, event_shape))
        self.latent_dim = latent_dim = int(latent_dim)
        self.missing, self.standardization, self._trained = missing, None, False  # by fit and load
        known: dict[str, Any] = {"latent_dim": latent_dim, "event_shape": shape}
        self.likelihood: Likelihood = built(parts["likelihood"], **known)
        self.posterior: Posterior = built(parts["posterior"], **known)
        own = [(c := parts["condition"]) and built(copy.deepcopy(c)) for _ in range(3)]
        self.__dict__["condition"] = own[0]  # the decoder's, registered there
        self.encoder: nn.Module = encoder_for(
            parts["encoder"], self.likelihood, self.posterior, missing=missing, condition=own[1]
        )
        self.classifier = classifier_for(own[0], self.likelihood, self.posterior, missing)
        known |= {"encoder": self.encoder, "posterior": self.posterior, "embedding": own[2]}
        self.prior: Prior = built(parts["prior"], **known)
        self.posterior.share(self.prior)
        self.code = slice(self.prior.decoded_dim)  # the part of z that is decoded
        decoded = (len(range(latent_dim)[self.code]),)
        self.missing_model: MissingModel | None = built(parts["missing_model"], **known)
        self.decoder: nn.Module = network_given(
            parts["decoder"], self.likelihood.decoder_condition(own[0]), decoded,
            self.likelihood.parameter_shape,
        )  # fmt: skip
        check_components(self)

    @classmethod
    def for_table(cls, table: Any, latent_dim: int = 8, **parts: Any) -> Self:
        """A model of a pandas table, with a likelihood for each column by its type.

        Real numbers are gaussian, as z-scores; whole numbers from 0 negative_binomial; booleans
        bernoulli; text and categories categorical, ordered ones ordinal
        (``vae.declaration["likelihood"]``).

        Args:
            table: A DataFrame; only the types and categories of its columns are used.
            latent_dim: Size of the latent code.
            parts: Other arguments; ``missing`` is zero_and_mask if it is not given.

        Example:
            >>> import pandas
            >>> table = pandas.DataFrame({"size": [1.5, None], "kind": ["b", "a"]})
            >>> VAE.for_table(table).declaration["likelihood"]["columns"]["0"]
            {'kind': 'gaussian', 'scale': 'per_dimension'}
        """
        how = TableFormat.of(table)
        usual = {"likelihood": how.likelihood, "missing": "zero_and_mask"}
        vae = cls((len(how.columns),), latent_dim, **(usual | parts))
        vae.standardization = Standardization.of_table(how)
        return vae

    @pyro_method
    def model(
        self, x: Tensor | None = None, condition: Tensor | None = None, size: int = 1
    ) -> Tensor:
        """p(z) p(x|z), as a Pyro program.

        Args:
            x: Data, ``(N, *event_shape)``; None draws ``size`` data from the model.
            condition: Of each datum, unless the model is given it already.
            size: Number of data to draw when ``x`` is None.
        """
        with pyro.plate("data", size if x is None else len(self._data(x)), dim=-1):
            vae = self._in_program(condition, x)
            z = pyro.sample("z", vae.prior())
            sample: Tensor = pyro.sample("x", vae._observed(z, x), obs=x)
            return sample

    @pyro_method
    def guide(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """q(z|x), as a Pyro program; ``x`` is ``(N, *event_shape)``."""
        with pyro.plate("data", len(self._data(x)), dim=-1):
            vae = self._in_program(condition, x, guide=True)
            sample: Tensor = pyro.sample("z", vae.posterior(vae.encoder(x)))
            return sample

    def initialize(self, x: Tensor) -> None:
        """Initialize the components that depend on the training data, ``(N, *event_shape)``.

        ``fit`` calls it before its first step; in a loop of your own, call it before you create
        the optimizer. It affects posteriors that are not amortized, priors such as ``vamp``, and
        likelihoods with ``offset: data_mean`` or in units of the data's own, by which encoders
        with a kind divide; and an encoder with ``input: standardize``.
        """
        x = self._data(x)
        self.likelihood.initialize(x)
        if isinstance(self.encoder, Lookup):
            self.encoder.initialize(x)
        for network in (self.encoder, self.classifier):
            if isinstance(network, Network | EncoderInput | ConditionedNetwork):
                network.initialize(x, self.likelihood.data_unit)
        if self.missing_model is not None:
            self.missing_model.initialize(x)
        if self.missing != "none":
            x = torch.where(x.isnan(), seen_mean(x, 0), x)
        self.prior.initialize(x)

    @alone()
    def encode(self, x: AnyArray, condition: Any = None) -> TorchDistribution:
        """q(z|x) for data ``(N, *event_shape)``: batch_shape ``(N,)``, event_shape ``(M,)``.

        Args:
            x: A tensor as a data set's splits hold it, or an array or table in the data's own
                units, which :meth:`transform` standardizes as the training data were.
            condition: Of each datum, or a single one for all.
        """
        data = self._data(x)
        q: TorchDistribution = self.posterior(self.given(condition, len(data)).encoder(data))
        return q

    def point_estimate(self, x: AnyArray) -> Tensor:
        """A code for each datum: :meth:`~pyro_vae.core.posterior.Posterior.point_estimate`."""
        return self.posterior.point_estimate(self.encode(x))

    def decode(self, z: Tensor, x: Tensor | None = None) -> TorchDistribution:
        """p(x|z) for codes ``(*batch, M)``.

        ``x`` is the datum, if known. A likelihood uses it only for quantities that the model
        conditions on (see :class:`~pyro_vae.core.likelihood.Likelihood`).
        """
        return self._observed(z, x)

    def _observed(self, z: Tensor, x: Tensor | None) -> TorchDistribution:
        p: TorchDistribution = self.likelihood(self.decoder(z[..., self.code]), x)
        return observed(p, self.missing, self.missing_model)

    @torch.no_grad()
    def reconstruct(self, x: AnyArray, condition: Any = None) -> Any:
        """The mean of p(x|z) at the point estimate of z, ``(N, *event_shape)``.

        Args:
            x: As :meth:`encode` takes it; the result is in the same units, and a table for a
                table of several kinds, with the most probable category.
            condition: Of each datum, or a single one for all.
        """
        with evaluating(self):
            data = self._data(x)
            vae = self.given(condition, len(data))
            mean = typical(vae.decode(vae.point_estimate(data), data))
            return mean if isinstance(x, Tensor) else own(mean, self.standardization, x)

    @torch.no_grad()
    def generate(
        self, size: int = 1, *, sample: bool = False, standardized: bool = False,
        condition: Any = None,
    ) -> Any:  # fmt: skip
        """New data from z ~ p(z), ``(size, *event_shape)``, in the data's own units.

        A model of a table of several kinds gives a table.

        Args:
            size: Number of data.
            sample: Draw x ~ p(x|z), with pixel noise, instead of returning the mean of p(x|z).
            standardized: Leave them as the model sees them: z-scores, if it was trained on such.
            condition: Of each of them, or a single one for all.
        """
        with evaluating(self):
            vae = self._for_new(condition, size)
            p = vae.decode(codes_of(vae.prior(), size))
            drawn: Tensor = whole(p).sample() if sample else typical(p)
            return drawn if standardized else own(drawn, self.standardization)

    def table(self) -> Table:
        """Its components: what each one is, and how many parameters it has."""
        return component_table(self)

    def __repr__(self) -> str:
        return str(self.table())

    def _repr_markdown_(self) -> str:
        shown = formulas(self.prior, self.likelihood, self.posterior)
        return f"{shown}\n\n{self.table().markdown()}\n\n{model_graph(self)}"

    @property
    def declaration(self) -> dict[str, Any]:
        """The arguments that rebuild this model, by ``VAE(**vae.declaration)``.

        A user's own ``nn.Module``, which has no name, appears as the module itself.
        """
        parts = {name: declaration_of(getattr(self, name)) for name in FAMILIES}
        return {"event_shape": self.event_shape, "latent_dim": self.latent_dim, **parts,
                "missing": self.missing, "condition": declaration_of(self.condition),
                "missing_model": declaration_of(self.missing_model)}  # fmt: skip

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
