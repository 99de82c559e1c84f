"""A capture concerns its own thread: PyTorch and Pyro are as ever in every other one."""

import threading

import pyro
import torch

from pyro_vae.compiled import CompiledSVI, backends
from tests.compiled.common import adam
from tests.compiled.programs import deep_markov

METHODS = {
    name: getattr(torch.Tensor, name)
    for name in ("item", "__bool__", "masked_select", "__getitem__", "__setitem__")
}


def as_in_a_loss():
    """``item`` and ``masked_select``, called from a module that has the name of Pyro's losses."""
    scope = {"__name__": "pyro.infer.util"}
    exec("item = lambda x: x.item()\npicked = lambda x, m: x.masked_select(m)", scope)
    return scope["item"], scope["picked"]


class Elsewhere(threading.Thread):
    """Works with tensors, and samples, until it is stopped; checks every result."""

    def __init__(self):
        super().__init__()
        self.ended, self.rounds, self.error = threading.Event(), 0, None

    def run(self):
        item, picked = as_in_a_loss()
        x = torch.tensor([1.0, -2.0, 3.0])
        try:
            while not self.ended.is_set():
                assert type(item(x[0])) is float
                assert picked(x, x > 0).tolist() == [1.0, 3.0]
                assert x[x > 0].tolist() == [1.0, 3.0]
                y = x.clone()
                y[x < 0] = 0.0
                assert y.tolist() == [1.0, 0.0, 3.0]
                for name, method in METHODS.items():
                    assert getattr(torch.Tensor, name) is method
                self.rounds += 1
        except BaseException as error:
            self.error = error


def test_another_thread_sees_nothing_of_a_capture(monkeypatch):
    monkeypatch.setattr(backends, "_compiled", lambda capture, options: capture.graph)
    program = deep_markov()
    elsewhere = Elsewhere()
    elsewhere.start()
    try:
        for _ in range(3):
            pyro.clear_param_store()
            svi = CompiledSVI(program.model, program.guide, adam(), program.loss)
            for _ in range(5):
                svi.step(*program.arguments)
            assert svi.compiled
    finally:
        elsewhere.ended.set()
        elsewhere.join()
    assert elsewhere.error is None
    assert elsewhere.rounds > 10
