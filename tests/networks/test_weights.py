"""What the weights begin with, held to the variances of the papers."""

import math

import pytest
import torch
from torch import nn

from pyro_vae.core.declaration import parse
from pyro_vae.core.errors import DeclarationError
from pyro_vae.core.network import Network
from pyro_vae.core.posterior import Posterior
from pyro_vae.core.prior import Prior
from pyro_vae.networks.layers import init_weights
from tests.variants import Z_CRIT, build

SHAPES = {"input_shape": (200,), "output_shape": (150,)}
VARIANCE = {
    "xavier_uniform": lambda inputs, outputs: 2 / (inputs + outputs),
    "kaiming_normal": lambda inputs, outputs: 2 / inputs,
}


def agrees(weight, variance, kurtosis):
    """The mean and the variance of independent draws, by their own standard errors."""
    count = weight.numel()
    assert abs(weight.mean()) < Z_CRIT * math.sqrt(variance / count)
    return abs(weight.var() - variance) < Z_CRIT * variance * math.sqrt((kurtosis - 1) / count)


@pytest.mark.parametrize(("init", "kurtosis"), [("xavier_uniform", 1.8), ("kaiming_normal", 3.0)])
def test_an_mlps_weights_have_the_variance_of_the_paper(init, kurtosis):
    network = build(Network, {"kind": "mlp", "hidden": [300], "init": init}, **SHAPES)
    layers = [layer for layer in network.layers if isinstance(layer, nn.Linear)]
    for layer, (inputs, outputs) in zip(layers, [(200, 300), (300, 150)], strict=True):
        assert agrees(layer.weight, VARIANCE[init](inputs, outputs), kurtosis)
        assert not agrees(layer.weight, 1.05 * VARIANCE[init](inputs, outputs), kurtosis)
        assert not layer.bias.any()


def test_xavier_is_uniform_up_to_its_bound():
    layer = nn.Linear(200, 300)
    init_weights(layer, "xavier_uniform")
    bound = math.sqrt(6 / 500)
    assert 0.999 * bound < layer.weight.abs().max() <= bound


@pytest.mark.parametrize(("init", "kurtosis"), [("xavier_uniform", 1.8), ("kaiming_normal", 3.0)])
def test_each_half_of_a_gated_layer_is_a_layer_of_its_own(init, kurtosis):
    network = build(Network, {"kind": "gated_mlp", "hidden": [300], "init": init}, **SHAPES)
    for half in network.gated[0].weight.chunk(2):
        assert agrees(half, VARIANCE[init](200, 300), kurtosis)
    assert not agrees(network.gated[0].weight, VARIANCE["xavier_uniform"](200, 600), 1.8)
    assert agrees(network.last.weight, VARIANCE[init](300, 150), kurtosis)
    assert not network.gated[0].bias.any()


@pytest.mark.parametrize("family", [Prior, Posterior])
def test_two_stochastic_layers_begin_so_too(family):
    declared = {"kind": "hierarchical", "top": 60, "hidden": 100, "init": "xavier_uniform"}
    network = build(family, declared, latent_dim=150).networks[0]
    sizes = {Prior: [(60, 100), (100, 100), (100, 180)],
             Posterior: [(90, 100), (100, 100), (100, 120)]}[family]  # fmt: skip
    for layer, (inputs, outputs) in zip(network[::2], sizes, strict=True):
        assert agrees(layer.weight, VARIANCE["xavier_uniform"](inputs, outputs), 1.8)


def test_pytorchs_own_is_left_alone():
    torch.manual_seed(3)
    plain = nn.Linear(7, 5)
    torch.manual_seed(3)
    layer = nn.Linear(7, 5)
    init_weights(layer, "pytorch")
    assert torch.equal(layer.weight, plain.weight)
    assert torch.equal(layer.bias, plain.bias)


def test_a_typo_is_told_the_nearest_name():
    with pytest.raises(DeclarationError, match="did you mean 'xavier_uniform'"):
        parse(Network, {"kind": "mlp", "init": "xavier"}, "decoder")
