"""What every network keeps to, as an encoder and as a decoder."""

import pytest
import torch

from pyro_vae.core.errors import DeclarationError, IncompatibleComponents
from pyro_vae.core.network import Network
from tests.variants import PICTURES, SEQUENCES, build, small_vae

SHAPES = {"encoder": ((1, 8, 8), (2, 8)), "decoder": ((8,), (1, 8, 8))}


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
    assert torch.allclose(y.reshape(-1, *network.output_shape), torch.stack(one_by_one), atol=1e-5)


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


@pytest.mark.parametrize(
    "kind", sorted(set(Network.kinds()) - {*PICTURES, *SEQUENCES, "module_network"})
)
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


def test_a_gated_network_is_its_formula():
    network = build(Network, {"kind": "gated_mlp", "hidden": [5]})
    x = torch.randn(7, 3)
    (W, V), (b, c) = network.gated[0].weight.chunk(2), network.gated[0].bias.chunk(2)
    h = (x @ W.T + b) * torch.sigmoid(x @ V.T + c)
    expected = h @ network.last.weight.T + network.last.bias
    assert torch.allclose(network(x).flatten(1), expected, atol=1e-6)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (5, 8), (7, 7), (28, 28), (31, 17)], ids=str)
@pytest.mark.parametrize("leading", [(1,), (3,), (2, 3)], ids=str)
@pytest.mark.parametrize("kind", PICTURES)
def test_pictures_of_any_size(kind, leading, size):
    small = {"kind": kind, "channels": [4, 3, 2]}
    vector, picture = (2, 3), (*leading, *size)
    for shapes in ((picture, vector), ((4,), picture)):
        network = build(Network, small, input_shape=shapes[0], output_shape=shapes[1])
        assert network(torch.randn(2, *shapes[0])).shape == (2, *shapes[1])


@pytest.mark.parametrize("kind", PICTURES)
def test_every_pixel_is_read_and_every_pixel_is_drawn(kind):
    smooth = {"kind": kind, "channels": [4, 3], "activation": "tanh"}
    encoder = build(Network, smooth, input_shape=(2, 7, 6), output_shape=(3,))
    x = torch.randn(1, 2, 7, 6, requires_grad=True)
    encoder(x).square().sum().backward()
    assert (x.grad != 0).all()
    decoder = build(Network, smooth, input_shape=(3,), output_shape=(2, 7, 6))
    one, other = decoder(torch.randn(2, 3))
    assert (one != other).all()


@pytest.mark.parametrize("kind", PICTURES)
def test_a_map_without_a_picture_is_refused(kind):
    message = rf"{kind}: expected pictures \(C, H, W\) .* got a map from \(8, 8\) to \(2, 2\)"
    with pytest.raises(IncompatibleComponents, match=message):
        small_vae(event_shape=(8, 8), encoder=kind)
    with pytest.raises(DeclarationError, match=r"encoder\.channels"):
        small_vae(event_shape=(1, 8, 8), encoder={"kind": kind, "channels": []})


@pytest.mark.parametrize("kind", PICTURES)
@pytest.mark.parametrize("likelihood", ["bernoulli", {"kind": "categorical", "categories": 3}])
def test_a_vae_of_pictures(kind, likelihood):
    network = {"kind": kind, "channels": [3, 4]}
    vae = small_vae(event_shape=(1, 9, 8), likelihood=likelihood, encoder=network, decoder=network)
    x = vae.generate(4, sample=True)
    assert vae.reconstruct(x).shape == x.shape == (4, 1, 9, 8)


@pytest.mark.parametrize("blocks", [1, 8])
def test_residual_blocks_keep_the_size_of_what_passes(blocks):
    resnet = {"kind": "resnet", "channels": [8], "blocks": blocks}
    decoder = build(Network, resnet, input_shape=(16,), output_shape=(1, 16, 16))
    h = torch.randn(16, 8, 8, 8)
    for block in decoder.levels[0][:blocks]:
        h = block(h)
    assert 0.9 < h.std() < 1.6
