"""A plain module comes back by its import path, or is refused in words."""

import pytest
import torch
from torch import nn

from pyro_vae import VAE, load, save
from pyro_vae.core.errors import CheckpointError, DeclarationError
from pyro_vae.networks.module_network import ModuleNetwork, classes_in, recipe


class Kept(nn.Module):
    """Keeps its arguments, one of them a module."""

    def __init__(self, width, body, shift=0.5, *, bias=True):
        super().__init__()
        self.width, self.body, self.shift = width, body, shift
        self.last = nn.Linear(width, 4, bias=bias)
        self.bias = self.last.bias

    def forward(self, x):
        return self.last(self.body(x)) + self.shift


class Forgetful(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.layer = nn.Linear(6, width)

    def forward(self, x):
        return self.layer(x.flatten(1))


class Hidden(nn.Module):
    """Changes a default that it does not keep."""

    def __init__(self, shift=0.0):
        super().__init__()
        self.add = lambda x: x + shift

    def forward(self, x):
        return self.add(x.flatten(1)[:, :4])


def body(width=5):
    return nn.Sequential(nn.Flatten(), nn.Linear(6, width), nn.BatchNorm1d(width), nn.Tanh())


CONV = nn.Sequential(nn.Conv2d(1, 2, (3, 2), bias=False), nn.Flatten(), nn.Linear(2, 4))


@pytest.mark.parametrize(
    "encoder", [Kept(5, body(), 0.25), Kept(3, body(3), bias=False), body(4), CONV],
    ids=["kept", "kept without bias", "sequential", "conv"],
)  # fmt: skip
def test_it_comes_back(tmp_path, encoder):
    vae = VAE((1, 3, 2), 2, encoder=encoder, decoder=nn.Linear(2, 6)).eval()
    again = load(save(vae, tmp_path / "m"))
    x = torch.randn(5, 1, 3, 2)
    assert torch.equal(again.encode(x).mean, vae.encode(x).mean)
    assert type(again.encoder.module) is type(encoder)
    twice = load(save(again, tmp_path / "again"))  # as it is declared now
    assert twice.declaration == again.declaration
    assert again.swap().encoder.module is not again.encoder.module


def test_what_cannot_be_built_again_is_refused(tmp_path):
    class Local(nn.Linear):
        pass

    for encoder, error, message in [
        (Forgetful(4), DeclarationError, "encoder: Forgetful: expected its argument width as an"),
        (Local(6, 4), DeclarationError, r"<locals>.Local: expected a class that can be imported"),
        (Hidden(1.0), CheckpointError, "computes another value"),
    ]:
        with pytest.raises(error, match=message):
            save(VAE((6,), 2, encoder=encoder), tmp_path / "m")
        assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(
    ("path", "arguments", "message"),
    [
        ("no_such_module.Net", {}, "got 'no_such_module.Net', which is none"),
        ("torch.nn.Linaer", {}, "which is none"),
        ("os.system", {"command": "false"}, "which is something else"),
        ("torch.Tensor", {}, "expected that of a class of modules"),
        ("torch.nn.Linear", {"width": 3}, "it cannot be built with them: .*width"),
        ("", {}, "which is none"),
    ],
)
def test_a_path_that_names_no_module_is_refused(path, arguments, message):
    with pytest.raises(DeclarationError, match=message):
        ModuleNetwork((3,), (4,), path, arguments)


def test_it_may_be_declared():
    net = {"kind": "module_network", "path": "torch.nn.Linear",
           "arguments": {"in_features": 6, "out_features": 4}}  # fmt: skip
    vae = VAE((6,), 2, encoder=net)
    assert vae.declaration["encoder"] == net
    assert type(vae.swap().encoder.module) is nn.Linear


def test_classes_are_found_at_any_depth():
    home = "torch.nn.modules."
    found = classes_in({"guide": {"encoder": {"kind": "module_network", **recipe(body())}}})
    assert found == {f"{home}{name}" for name in (
        "container.Sequential", "flatten.Flatten", "linear.Linear", "batchnorm.BatchNorm1d",
        "activation.Tanh")}  # fmt: skip
