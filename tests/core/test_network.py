import re

import pytest
import torch
from torch import nn

from pyro_vae.core.errors import IncompatibleComponents
from pyro_vae.core.network import Network
from pyro_vae.networks import MLP
from pyro_vae.networks.module_network import ModuleNetwork, network_for


class Wrong(nn.Module):
    """Puts out whatever it was given."""

    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def forward(self, x):
        return self.answer(x)


@pytest.mark.parametrize("shape", [(3,), (4,), (5, 2), (2, 3, 4), ()])
def test_inputs_of_another_shape_are_refused(shape):
    network = MLP(input_shape=(5, 3), output_shape=(2,), hidden=[4])
    message = f"MLP: expected an input of shape (N, 5, 3), got {shape}"
    with pytest.raises(IncompatibleComponents, match=re.escape(message)):
        network(torch.zeros(shape))


@pytest.mark.parametrize(
    ("answer", "got"),
    [
        (lambda x: x, "got (N, 3)"),
        (lambda x: x.sum(), "got (N,)"),
        (lambda x: x[:1].repeat(1, 2), "got (N, 6)"),
        (lambda x: x.repeat(2, 1), "got (N, 3)"),
        (lambda x: (x, x), "to return one tensor of shape (N, 2, 3), got tuple"),
        (lambda x: None, "got NoneType"),
    ],
)
def test_outputs_of_another_shape_are_refused(answer, got):
    network = ModuleNetwork.of(Wrong(answer), (3,), (2, 3))
    with pytest.raises(IncompatibleComponents, match=r"Wrong: expected .*" + re.escape(got)):
        network(torch.zeros(4, 3))


@pytest.mark.parametrize("batch", [(), (4,), (7, 5), (1, 1, 2), (0,)])
def test_a_flattened_output_is_given_its_shape(batch):
    network = network_for(nn.Linear(3, 6), (3,), (2, 3))
    x = torch.randn(*batch, 3)
    assert torch.equal(network(x).flatten(-2), network.module(x))


def test_a_network_of_other_shapes_is_refused():
    network = MLP(input_shape=(5,), output_shape=(2,), hidden=[4])
    assert network_for(network, (5,), (2,)) is network
    message = r"MLP: expected a network from \(3,\) to \(2,\), got one from \(5,\) to \(2,\)"
    with pytest.raises(IncompatibleComponents, match=message):
        network_for(network, (3,), (2,))


@pytest.mark.usefixtures("registries")
def test_a_network_without_transform_is_no_kind():
    class Unfinished(Network):
        """It says nothing."""

    assert "unfinished" not in Network.kinds()
    with pytest.raises(TypeError, match=r"abstract method .?transform"):
        Unfinished((3,), (2,))
