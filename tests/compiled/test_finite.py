"""A step that is not finite is refused, and everything stays as the last good step left it."""

import math

import pyro
import pytest
import torch
from pyro import distributions as dist
from pyro.infer import Trace_ELBO
from pyro.nn import PyroModule, pyro_method
from torch import nn

from pyro_vae.compiled import CompiledSVI, FiniteSVI, backends
from pyro_vae.compiled.update_rules import rule_of
from pyro_vae.core.errors import NonFiniteLoss

X = torch.randn(16, 3, generator=torch.Generator().manual_seed(0))
GOOD = 6
pytestmark = [
    pytest.mark.filterwarnings("ignore:Encountered"),
    pytest.mark.filterwarnings("ignore:.*was not registered in the param store"),
]


@pytest.fixture(autouse=True)
def without_validation():
    with pyro.validation_enabled(False):
        yield


@pytest.fixture(autouse=True)
def as_captured(monkeypatch):
    monkeypatch.setattr(backends, "_compiled", lambda capture, options: capture.graph)


class Net(PyroModule):
    """Its root has no finite slope where ``power`` makes ``k`` count and ``k`` is 0."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(3, 4, bias=False), nn.BatchNorm1d(4), nn.Linear(4, 1)
        )
        self.k = nn.Parameter(torch.zeros(()))
        self.register_buffer("power", torch.ones(()))

    @pyro_method
    def model(self, x):
        loc = self.layers(x)[:, 0] + torch.sqrt((self.k * self.power) ** 2 + 1 - self.power.sign())
        with pyro.plate("data", len(x)):
            pyro.sample("y", dist.Normal(loc, 1.0), obs=x[:, 0])


def bad_gradient(net, svi):
    net.power.fill_(1)
    net.k.data.zero_()


def huge_rate(net, svi):
    for optimizer in svi.optim.optim_objs.values():
        optimizer.param_groups[0]["lr"] = 3e38


BAD = {
    "gradient": (
        bad_gradient,
        X,
        r"gradients of 1 of \d+ parameters are not finite \(first: k\) though the loss",
    ),
    "weight": (huge_rate, X, r"weights of \d+ of \d+ parameters.*lower the learning rate"),
    "loss": (lambda net, svi: None, X * math.nan, "Expected a finite loss, got nan"),
}
OPTIMIZERS = {
    "adam": lambda: pyro.optim.Adam({"lr": 1e-3}),
    "sgd": lambda: pyro.optim.SGD({"lr": 1e-3, "momentum": 0.5}),
    "outside": lambda: pyro.optim.RMSprop({"lr": 1e-2}),
}


def started(kind, optimizer):
    pyro.clear_param_store()
    pyro.set_rng_seed(0)
    net = Net()
    net.power.zero_()
    svi = kind(net.model, lambda x: None, OPTIMIZERS[optimizer](), Trace_ELBO())
    for _ in range(GOOD):
        svi.step(X)
    return net, svi


def copied(net):
    return {name: value.clone() for name, value in net.state_dict().items()}


def assert_kept(net, before):
    now = net.state_dict()
    for name, value in before.items():
        assert torch.equal(now[name], value) or not value.is_floating_point(), name


@pytest.mark.parametrize("optimizer", ["sgd", "outside"])
@pytest.mark.parametrize("name", BAD)
def test_pyros_step_stops_and_names_what_is_not_finite(name, optimizer):
    spoil, x, message = BAD[name]
    net, svi = started(FiniteSVI, optimizer)
    spoil(net, svi)
    before = copied(net)
    with pytest.raises(NonFiniteLoss, match=message):
        svi.step(x)
    assert_kept(net, before)


@pytest.mark.parametrize("optimizer", ["sgd", "outside"])
@pytest.mark.parametrize("name", BAD)
def test_compiled_steps_change_nothing_from_then_on(name, optimizer):
    spoil, x, _ = BAD[name]
    net, svi = started(CompiledSVI, optimizer)
    svi.check()
    svi.step(X)
    spoil(net, svi)
    before = copied(net)
    for given in (x, X, X):
        svi.step(given)
    if (name, optimizer) == ("weight", "outside"):  # which is known after the graph has run
        before = {name: before[name] for name, _ in net.named_parameters()}
    assert_kept(net, before)
    with pytest.raises(NonFiniteLoss, match=f"in step {GOOD + 1}, counted from 0") as caught:
        svi.check()
    assert caught.value.step == GOOD + 1
    svi.check()  # which is told once


@pytest.mark.parametrize("after", [
    lambda net, svi: svi.step(X[:8]),  # a rarer shape, by Pyro's own step
    lambda net, svi: (net.layers[0].requires_grad_(False), svi.step(X)),
    lambda net, svi: (pyro.clear_param_store(), svi.step(X)),
])  # fmt: skip
def test_a_step_of_pyros_does_not_go_on_after_a_bad_compiled_one(after):
    net, svi = started(CompiledSVI, "sgd")
    bad_gradient(net, svi)
    before = copied(net)
    svi.step(X)
    with pytest.raises(NonFiniteLoss) as caught:
        after(net, svi)
    assert caught.value.step == GOOD
    assert_kept(net, before)


def stops(svi):
    try:
        svi.step(X)
        svi.check()
    except NonFiniteLoss:
        return True
    return False


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_the_first_steps_and_the_traced_ones_are_checked(steps):
    pyro.clear_param_store()
    net = Net()
    net.power.zero_()
    svi = CompiledSVI(net.model, lambda x: None, OPTIMIZERS["sgd"](), Trace_ELBO())
    for _ in range(steps):
        svi.step(X)
    bad_gradient(net, svi)
    before = copied(net)
    assert stops(svi)
    assert_kept(net, before)


def test_a_frozen_parameter_has_no_gradient_left():
    net, svi = started(FiniteSVI, "sgd")
    net.k.requires_grad_(False)
    before = net.k.clone()
    svi.step(X)
    assert torch.equal(net.k, before)


def test_a_gradient_whose_square_overflows_is_refused_rather_than_frozen_by_adam():
    net, svi = started(CompiledSVI, "adam")
    before = copied(net)
    svi.step(X * 3e18)  # the loss is finite, and so are the gradients
    assert_kept(net, before)
    with pytest.raises(NonFiniteLoss, match="or an update is not finite in step"):
        svi.check()


def test_a_weight_that_is_not_finite_is_told():
    net, svi = started(CompiledSVI, "sgd")
    with torch.no_grad():
        net.k.fill_(math.inf)
    svi.step(X)
    with pytest.raises(NonFiniteLoss, match="weights are not finite either: go back to a copy"):
        svi.check()


@pytest.mark.parametrize(("eps", "in_graph"), [(0.0, False), (1e-8, True)])
def test_adam_without_an_epsilon_has_no_rule(eps, in_graph):
    parameter = torch.ones(2, requires_grad=True)
    optimizer = torch.optim.Adam([parameter], eps=eps)  # 0 / 0 where a gradient is 0
    parameter.sum().backward()
    optimizer.step()
    assert (rule_of(parameter, optimizer) is not None) == in_graph
