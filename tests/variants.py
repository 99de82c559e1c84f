"""The components under test: every kind with its defaults, and the variants listed here."""

import itertools

import pytest
import torch
from torch import nn

from pyro_vae.core.declaration import parse
from pyro_vae.core.likelihood import Likelihood
from pyro_vae.core.network import Network
from pyro_vae.core.posterior import Posterior
from pyro_vae.core.prior import Prior
from pyro_vae.core.supports import support_name
from pyro_vae.distributions.bounds import PARTS
from pyro_vae.networks.lookup import Lookup
from pyro_vae.networks.module_network import ModuleNetwork
from pyro_vae.posteriors.diagonal_normal import DiagonalNormal
from pyro_vae.vae import VAE

Z_CRIT = 4.42  # two-sided normal quantile: one false alarm in 1e5 runs

FAMILIES = (Prior, Likelihood, Posterior, Network)
VARIANTS = {
    "gaussian": [
        {"scale": 0.1},
        {"scale": "per_dimension"},
        {"scale": "optimal"},
        {"scale": "heteroscedastic"},
    ],
    "bernoulli": [{"offset": "data_mean"}],
    "poisson": [{"offset": "data_mean"}],
    "negative_binomial": [{"offset": "data_mean"}],
    "multinomial": [{"offset": "data_mean"}],
    "student_t": [{"df": 4.0, "scale": 0.5}],
    "categorical": [{"categories": 4}],
    "beta": [{"precision": 3.0, "offset": "data_mean"}, {"precision": "heteroscedastic"}],
    "ordinal": [{"categories": 4}],
    "discretized_logistic": [{"levels": 5, "scale": "heteroscedastic"}],
    "diagonal_normal": [{"min_scale": 0.1, "max_scale": 2.0}],
    "per_example": [{"min_scale": 0.1, "max_scale": 2.0}],
    "gaussian_process": [{"kernel": "squared_exponential", "lengthscale": 0.7}],
    "vamp": [{"pseudo_inputs": 3}],
    "linear": [{"bias": False}],
    "topic_decoder": [{"batch_norm": False, "dropout": 0.5}],
    "gated_mlp": [{"hidden": []}, {"init": "kaiming_normal"}],
    "conv": [{"channels": [3, 2, 4, 2], "activation": "elu"}],
    "resnet": [{"channels": [3], "blocks": 1}],
    "temporal_conv": [{"channels": [3, 4], "width": 5}, {"channels": [], "width": 1}],
    "mlp": [
        {"hidden": []},
        {"hidden": [5, 4], "activation": "tanh", "init": "xavier_uniform"},
        {"dropout": 0.5, "batch_norm": True},
    ],
}
SHORT = {
    "multinomial": {"total_count": 5},  # long documents saturate so small an encoder
    "vamp": {"pseudo_inputs": 3},
}
PICTURES = ("conv", "resnet")  # networks that need a picture on one side
SEQUENCES = ("temporal_conv", "gaussian_process")  # components of data whose last axis is time
NET = {"kind": "mlp", "hidden": [4], "activation": "tanh"}


class Moments(nn.Module):
    """An encoder without weights, of any precision: two moments of x, for each dimension."""

    def __init__(self, latent_dim):
        super().__init__()
        self.latent_dim = latent_dim

    def forward(self, x):
        flat = x.flatten(1)
        moments = torch.stack([flat.mean(1), flat.square().mean(1)], 1)
        return moments.unsqueeze(-1).expand(-1, 2, self.latent_dim)


def variants(*families):
    """A pytest parameter, (family, declaration), for each kind and variant of the families."""
    return [
        pytest.param((family, {"kind": kind, **arguments}), id=_name(family, kind, arguments))
        for family in families
        for kind, cls in family.kinds().items()
        if kind != "conditional"  # a prior for each datum: tests/conditions
        and kind != ModuleNetwork.kind  # which is whatever its path names
        for arguments in [{}, *VARIANTS.get(kind, [])]
        if set(arguments) <= set(cls.__init__.__annotations__)
    ]


def build(family, declaration, **known):
    """A component outside of any model; ``known`` says other sizes than the usual ones."""
    sizes = {"latent_dim": 2, "event_shape": (2, 3), "input_shape": (3,), "output_shape": (2, 4)}
    latent_dim = known.get("latent_dim", 2)
    guide = {"encoder": Moments(latent_dim), "posterior": DiagonalNormal(latent_dim)}
    if declaration["kind"] in PICTURES:
        sizes["input_shape"] = (2, 5, 6)
    if declaration["kind"] in SEQUENCES:
        sizes |= {"input_shape": (3, 4), "event_shape": (3, latent_dim)}
    return parse(family, declaration, "component").build(**(sizes | guide | known))


def small_vae(**changes):
    """A VAE with so few weights that a training step costs next to nothing."""
    usual = {"event_shape": (3,), "latent_dim": 2, "decoder": NET, "encoder": NET}
    return VAE(**(usual | changes))


@torch.no_grad()
def stirred(module, size=0.2):
    """The module with every parameter moved away from where it began."""
    for parameter in module.parameters():
        parameter.add_(noise_like(parameter), alpha=size)
    return module


def noise_like(parameter):
    """Normal noise, the same for all the parts in which a lone scale is kept."""
    if parameter.shape == (PARTS,):
        return torch.randn((), dtype=parameter.dtype).expand(PARTS)
    return torch.randn_like(parameter)


def handed_over(vae, x):
    """The data, once a guide without an encoder has parameters for them, not its first ones."""
    if isinstance(vae.encoder, Lookup):
        vae.encoder.initialize(x)
        stirred(vae.encoder, size=0.02)
    return x


def _name(family, kind, arguments):
    return "-".join([family.__name__.lower(), kind, *map(str, arguments.values())])


def support(family, declaration):
    """Where the codes of a prior's or posterior's variant lie."""
    with torch.random.fork_rng():
        component = build(family, declaration)
    given = () if family is Prior else (torch.ones(component.parameter_shape),)
    return component(*given).support


def by_support(family):
    """The variants of a family, by the name of their support."""
    found = {}
    for parameter in variants(family):
        name = support_name(support(*parameter.values[0]))
        found.setdefault(name, []).append(parameter)
    return found


def triple(*parts):
    """A pytest parameter, the declaration of a prior, a likelihood and a posterior."""
    declared = {
        family.__name__.lower(): d | SHORT.get(d["kind"], {})
        for p in parts
        for family, d in p.values
    }
    return pytest.param(declared, id="/".join(p.id.partition("-")[2] for p in parts))


def _named(prior, likelihood, posterior):
    declared = zip((Prior, Likelihood, Posterior), (prior, likelihood, posterior), strict=True)
    return triple(
        *(
            pytest.param((family, {"kind": kind}), id=_name(family, kind, {}))
            for family, kind in declared
        )
    )


def is_known(prior, posterior):
    """Whether the posterior knows what the prior asks it of."""
    kinds = [parameter.values[0][1]["kind"] for parameter in (prior, posterior)]
    return kinds != ["vamp", "per_example"]


def _turns(parts, count):
    """The parts in turn, each round beginning one later, so that the neighbours change."""
    return [parts[(i + i // len(parts)) % len(parts)] for i in range(count)]


def _covering():
    """Every variant at least twice, once in each of two neighbourhoods."""
    for name in PRIORS:
        alike = PRIORS[name], LIKELIHOODS, POSTERIORS[name]
        sizes = [len(parts) for parts in (alike if name == "real" else alike[::2])]
        count = 2 * max(sizes)
        for prior, likelihood, posterior in zip(*(_turns(p, count) for p in alike), strict=True):
            if is_known(prior, posterior):
                yield triple(prior, likelihood, posterior)
            else:
                yield triple(PRIORS[name][0], likelihood, posterior)
                yield triple(prior, likelihood, POSTERIORS[name][0])


EXACT = [
    ("standard_normal", "gaussian", "diagonal_normal"),
    ("standard_normal", "gaussian", "householder"),
    ("multivariate_normal", "bernoulli", "low_rank_normal"),
    ("laplace", "bernoulli", "laplace"),
]
PRIORS, LIKELIHOODS, POSTERIORS = by_support(Prior), variants(Likelihood), by_support(Posterior)
TRIPLES = [
    triple(*parts)
    for name in PRIORS
    for parts in itertools.product(PRIORS[name], LIKELIHOODS, POSTERIORS[name])
    if is_known(parts[0], parts[2])
]
COVERING = [*(_named(*names) for names in EXACT), *_covering()]
UNFIT = [
    triple(prior, LIKELIHOODS[0], posterior)
    for one, other in itertools.permutations(PRIORS, 2)
    for prior, posterior in itertools.product(PRIORS[one], POSTERIORS[other])
    if prior.values[0][1]["kind"] != "vamp"  # which is made of the posterior, whatever it is
]
UNKNOWN = [
    triple(prior, LIKELIHOODS[0], posterior)
    for prior, posterior in itertools.product(PRIORS["real"], POSTERIORS["real"])
    if not is_known(prior, posterior)
]
