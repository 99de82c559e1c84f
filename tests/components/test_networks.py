"""What every network keeps to, as an encoder and as a decoder."""

import pytest
import torch

from pyro_vae.core.errors import IncompatibleComponents
from pyro_vae.core.network import Network
from tests.variants import build

SHAPES = {"encoder": ((1, 8, 8), (2, 3)), "decoder": ((3,), (1, 8, 8))}


@pytest.fixture(params=SHAPES)
def network(declared_network, request):
    shapes = dict(zip(("input_shape", "output_shape"), SHAPES[request.param], strict=True))
    return build(*declared_network, **shapes).eval()


@pytest.mark.parametrize("batch", [(4,), (7, 5), (2, 1, 3), ()])
def test_batch_dimensions_go_through(network, batch):
    x = torch.randn(*batch, *network.input_shape)
    y = network(x)
    assert y.shape == (*batch, *network.output_shape)
    one_by_one = [network(row) for row in x.reshape(-1, *network.input_shape)]
    assert torch.allclose(y.reshape(-1, *network.output_shape), torch.stack(one_by_one), atol=1e-6)


def test_gradient_reaches_every_parameter_and_the_input(network):
    x = torch.randn(8, *network.input_shape, requires_grad=True)
    network(x).square().sum().backward()
    assert (x.grad != 0).any()
    for name, parameter in network.named_parameters():
        assert (parameter.grad != 0).any(), name


@pytest.mark.parametrize("value", [1e6, -1e6, 0.0])
def test_extreme_inputs_give_finite_outputs(network, value):
    x = torch.full((2, *network.input_shape), value, requires_grad=True)
    y = network(x)
    y.sum().backward()
    assert y.isfinite().all()
    assert x.grad.isfinite().all()


def test_inputs_of_another_shape_are_refused(network):
    with pytest.raises(IncompatibleComponents, match=r"expected an input of shape \(N, "):
        network(torch.zeros(2, *network.input_shape[:-1], 5))


@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_scalars_are_data_too(kind):
    network = build(Network, {"kind": kind}, input_shape=(), output_shape=())
    assert network(torch.randn(4)).shape == (4,)


def test_a_linear_network_is_affine():
    linear = build(Network, {"kind": "linear"})
    x, y = torch.randn(2, 5, 3)
    midpoint = (linear(x) + linear(y)) / 2
    assert torch.allclose(linear((x + y) / 2), midpoint, atol=1e-6)
    assert torch.equal(linear(torch.zeros(3)).flatten(), linear.affine.bias)
    assert not build(Network, {"kind": "linear", "bias": False})(torch.zeros(3)).any()
