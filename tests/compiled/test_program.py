"""What of a program is watched, and what makes two of its states one."""

import functools
import logging
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from pyro_vae.compiled.program import Program
from pyro_vae.compiled.reach import LARGE, MOST, reached

GAIN = 1.0


@dataclass(slots=True)
class Settings:
    rate: float = 0.1
    names: list = field(default_factory=lambda: ["a"])


class Net(nn.Module):
    power = 2

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.1))
        self.register_buffer("shift", torch.zeros(()))
        self.settings, self.by_name = Settings(), {"a": SimpleNamespace(size=1)}
        self.shape, self.kept, self.part = (2, 3), torch.ones(()), functools.partial(max, 1)
        self.logger, self.many = logging.getLogger("x"), [0] * (LARGE + 1)
        self.calls = 0

    def forward(self, x, by=None):
        self.calls += 1
        return by or (self.layers(x) + self.shift) ** self.power * GAIN


def set_gain(value):
    globals()["GAIN"] = value


CHANGES = {
    "number": lambda net: setattr(net, "shape", (2, 4)),
    "slot": lambda net: setattr(net.settings, "rate", 0.2),
    "list": lambda net: net.settings.names.__setitem__(0, "b"),
    "longer list": lambda net: net.settings.names.append("b"),
    "object in a dict": lambda net: setattr(net.by_name["a"], "size", 2),
    "new attribute": lambda net: setattr(net, "forward", lambda x: x),
    "int for float": lambda net: setattr(net.layers[1], "p", 1),
    "bool for int": lambda net: setattr(net.by_name["a"], "size", True),
    "tensor for number": lambda net: setattr(net.settings, "rate", torch.tensor(0.1)),
    "equal tensor": lambda net: setattr(net, "kept", torch.ones(())),
    "module": lambda net: net.layers.__setitem__(1, nn.Dropout(0.1)),
    "mode of a part": lambda net: net.layers[1].eval(),
    "frozen": lambda net: net.layers[0].weight.requires_grad_(False),
    "parameter": lambda net: setattr(net.layers[0], "bias", nn.Parameter(torch.zeros(2))),
    "no parameter": lambda net: setattr(net.layers[0], "bias", None),
    "buffer": lambda net: setattr(net, "shift", torch.zeros(())),
    "cast": lambda net: net.double(),
    "memory": lambda net: setattr(net.shift, "data", torch.zeros(())),
    "hook": lambda net: net.layers[0].register_forward_hook(lambda *_: None),
    "partial": lambda net: setattr(net, "part", functools.partial(max, 2)),
    "global": lambda net: set_gain(2.0),
    "class": lambda net: setattr(Net, "power", 3),
    "dtype": lambda net: torch.set_default_dtype(torch.float64),
}


@pytest.fixture(autouse=True)
def as_it_was(monkeypatch):
    monkeypatch.setitem(globals(), "GAIN", 1.0)
    monkeypatch.setattr(Net, "power", 2)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def net():
    return Net()


@pytest.fixture
def program(net):
    return Program({"model": net.forward})


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_makes_another_state(net, program, name):
    assert program.is_as_before()
    CHANGES[name](net)
    assert not program.is_as_before()
    program.look()
    assert program.number == 1
    assert program.is_as_before()
    assert "changed" in program.change


def test_a_state_that_returns_keeps_its_number(net, program):
    numbers = []
    for rate in (0.1, 0.2, 0.1, 0.2, 0.3):
        net.settings.rate = float(str(rate))  # equal, and another object
        program.look()
        numbers.append(program.number)
    assert numbers == [0, 1, 0, 1, 2]
    assert program.change == "model.settings.rate changed from 0.2 to 0.3"


def test_values_that_change_in_place_are_one_state(net, program):
    with torch.no_grad():
        net.layers[0].weight.add_(1)
        net.shift.fill_(3)
    net.many[0] = 7  # of a list that is too long to be watched
    assert program.is_as_before()


def test_what_the_program_changes_itself_is_no_state(net, program):
    net.forward(torch.ones(1, 2))
    program.ran()
    net.calls += 1
    assert program.is_as_before()
    net.settings.rate = 0.3
    assert not program.is_as_before()


def test_closures_defaults_and_helpers_are_read():
    inner, settings = 1.0, Settings()

    def helper():
        return inner

    def model(by=settings):
        return helper() + by.rate

    program = Program({"model": model})
    inner = 2.0
    program.look()
    settings.rate = 0.7
    program.look()
    assert program.number == 2


def test_a_hook_elsewhere_is_no_change(program):
    handle = nn.Linear(1, 1).register_forward_hook(lambda *_: None)
    program.look()
    handle.remove()
    assert program.number == 0
    assert program.is_as_before()


def test_what_is_trained_is_told_apart(net, program):
    before = program.trained
    net.settings.rate = 0.5
    program.look()
    assert program.trained == before
    net.layers.requires_grad_(False)
    program.look()
    assert program.trained != before


def test_the_search_ends():
    ring = SimpleNamespace(parts=[[[n] for n in range(200)] for _ in range(200)])
    ring.self = ring
    places, _ = reached({"ring": ring})
    assert len(places) == MOST
