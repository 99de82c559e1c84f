"""What changes between steps reaches the compiled step as it reaches Pyro's."""

import pyro
import pytest
import torch
from pyro import distributions as dist
from pyro.infer import SVI, Trace_ELBO
from pyro.nn import PyroModule, pyro_method
from torch import nn

from pyro_vae.compiled import CompiledSVI, backends
from pyro_vae.core.errors import NotCapturable
from tests.compiled.common import adam, assert_equal, trained
from tests.compiled.programs import Program, regression

pytestmark = pytest.mark.filterwarnings("ignore:.*was not registered in the param store")


@pytest.fixture(autouse=True)
def as_captured(monkeypatch):
    monkeypatch.setattr(backends, "_compiled", lambda capture, options: capture.graph)


@pytest.fixture(autouse=True)
def captured_anew_at_once(monkeypatch):
    monkeypatch.setattr(CompiledSVI, "_pays", lambda self, variant: True)


class Net(PyroModule):
    def __init__(self):
        super().__init__()
        layers = (
            nn.Linear(3, 4, bias=False),
            nn.BatchNorm1d(4),
            nn.Sigmoid(),
            nn.Dropout(0.1),
            nn.Linear(4, 1),
        )
        self.layers = nn.Sequential(*layers)
        self.register_buffer("shift", torch.zeros(()))
        self.scale, self.schedule, self.calls = 1.0, {"weights": [1.0]}, 0

    @pyro_method
    def model(self, x):
        self.calls += 1
        loc = self.layers(x)[:, 0] * self.schedule["weights"][0] + self.shift
        with pyro.plate("data", len(x)):
            pyro.sample("y", dist.Normal(loc, self.scale), obs=x[:, 0])


def program():
    torch.manual_seed(0)
    return Program(Net().model, lambda x: None, Trace_ELBO(), (torch.randn(16, 3),))


def each_optimizer(svi, **settings):
    for optimizer in svi.optim.optim_objs.values():
        optimizer.param_groups[0].update(settings)


def new_optimizers(svi):
    svi.optim.optim_objs.clear()


def load_optimizers(svi):
    for optimizer in svi.optim.optim_objs.values():
        saved = optimizer.state_dict()
        for state in saved["state"].values():
            state["exp_avg"] = torch.ones_like(state["exp_avg"])
        optimizer.load_state_dict(saved)


def replace(svi, **parts):
    for name, value in parts.items():
        setattr(svi, name, value)


CHANGES = {
    "frozen": lambda net, svi: net.layers[0].requires_grad_(False),
    "number": lambda net, svi: setattr(net, "scale", 0.5),
    "number in a list": lambda net, svi: net.schedule["weights"].__setitem__(0, 0.5),
    "activation": lambda net, svi: net.layers.__setitem__(2, nn.Tanh()),
    "dropout": lambda net, svi: setattr(net.layers[3], "p", 0.7),
    "part in evaluation": lambda net, svi: net.layers[1].eval(),
    "buffer": lambda net, svi: setattr(net, "shift", torch.ones(())),
    "memory of a buffer": lambda net, svi: setattr(net.shift, "data", torch.ones(())),
    "hook": lambda net, svi: net.layers[2].register_forward_hook(lambda m, i, y: y * 2),
    "particles": lambda net, svi: setattr(svi.loss.__self__, "num_particles", 3),
    "betas": lambda net, svi: each_optimizer(svi, betas=(0.5, 0.9)),
    "learning rate": lambda net, svi: each_optimizer(svi, lr=0.3),
    "decay": lambda net, svi: each_optimizer(svi, weight_decay=0.5),
    "new optimizers": lambda net, svi: new_optimizers(svi),
    "loaded optimizers": lambda net, svi: load_optimizers(svi),
    "another optimizer": lambda net, svi: replace(svi, optim=pyro.optim.SGD({"lr": 1e-3})),
    "another guide": lambda net, svi: replace(svi, model=lambda x: net.model(x * 2)),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_followed(name):
    def change(number, svi):
        if number == 12:
            owner = getattr(svi.model, "__self__", None)
            CHANGES[name](owner, svi)

    pyros = trained(SVI, program, each=change, steps=30)
    assert_equal(trained(CompiledSVI, program, each=change, steps=30), pyros)
    with pytest.raises(AssertionError):
        assert_equal(trained(CompiledSVI, program, steps=30), pyros)


def test_frozen_weights_stay_and_go_on_when_thawed():
    seen = []

    def freeze(number, svi):
        net = svi.model.__self__
        net.layers[4].requires_grad_(not 12 <= number < 20)
        seen.append(net.layers[4].weight.detach().clone())

    assert_equal(trained(CompiledSVI, program, each=freeze, steps=30),
                 trained(SVI, program, each=freeze, steps=30))  # fmt: skip
    assert torch.equal(seen[13], seen[20])
    assert not torch.equal(seen[20], seen[22])


def test_a_parameter_of_the_store_can_be_frozen():
    def freeze(number, svi):
        if number == 10:
            pyro.get_param_store()._params["loc"].requires_grad_(False)
            values.append(pyro.param("loc").clone())

    values = []
    _, after, _ = trained(CompiledSVI, regression, each=freeze, steps=30)
    assert torch.equal(after["loc"], values[0])


def test_a_mode_that_returns_is_not_captured_again():
    def toggle(number, svi):
        svi.model.__self__.train(number % 10 < 5)

    ours = trained(CompiledSVI, program, each=toggle)
    assert_equal(ours, trained(SVI, program, each=toggle))
    assert len(ours[2]._variants) == 2


def test_a_number_that_keeps_changing_is_named():
    def anneal(number, svi):
        svi.model.__self__.scale = 1.0 + number

    with pytest.raises(NotCapturable, match=r"model\.scale changed from \d+\.0 to \d+\.0"):
        trained(CompiledSVI, program, each=anneal)


def test_a_dtype_by_default_and_autocast_are_followed():
    made = program()
    svi = CompiledSVI(made.model, made.guide, adam(), made.loss)
    losses = [float(svi.step(*made.arguments)) for _ in range(6)]
    made.model.__self__.train(False)
    with torch.autocast("cpu", torch.bfloat16):
        losses.append(float(svi.step(*made.arguments)))
    assert len(svi._variants) == 2
    assert all(loss == loss for loss in losses)


def test_a_schedule_is_no_change_of_a_program_whose_loss_is_a_function():
    def loss(model, guide, x):
        return -pyro.poutine.trace(model).get_trace(x).log_prob_sum()

    made = program()
    settings = {"optimizer": torch.optim.Adam, "optim_args": {"lr": 0.05}, "gamma": 0.5}
    svi = CompiledSVI(made.model, made.guide, pyro.optim.ExponentialLR(settings), loss)
    for _ in range(12):
        svi.step(*made.arguments)
        svi.optim.step()
    assert svi.compiled
    assert len(svi._variants) == 1
