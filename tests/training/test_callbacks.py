"""Callbacks: when they are called, and that training does not depend on them."""

from __future__ import annotations

import pyro
import pytest
import torch

from pyro_vae import VAE, Callback, fit
from pyro_vae.core.errors import DeclarationError

NET = {"kind": "mlp", "hidden": [4]}
X = torch.randn(100, 3, generator=torch.Generator().manual_seed(0))


def fitted(epochs=3, **options):
    pyro.set_rng_seed(0)
    vae = VAE((3,), 2, encoder=NET, decoder=NET)
    return fit(vae, X, epochs=epochs, step="pyro", show_progress=False, **options)


class Notes(Callback):
    def __init__(self):
        self.calls = []

    def on_start(self, result):
        self.calls.append(("start", len(result.history)))

    def on_epoch(self, result):
        self.calls.append(("epoch", len(result.history)))

    def on_end(self, result):
        self.calls.append((result.ended, len(result.history), result.vae.training))


class Raises(Callback):
    def __init__(self, error):
        self.error = error

    def on_epoch(self, result):
        if len(result.history) == 2:
            raise self.error


class Draws(Callback):
    def on_start(self, result):
        self.drawn = []

    def on_epoch(self, result):
        self.drawn.append(torch.cat([result.vae.generate(3).flatten(), torch.rand(2)]))


def test_each_is_called_at_the_start_after_each_epoch_and_at_the_end():
    notes, other = Notes(), Notes()
    fitted(callbacks=[notes, other])
    calls = [("start", 0), ("epoch", 1), ("epoch", 2), ("epoch", 3), ("finished", 3, False)]
    assert notes.calls == other.calls == calls


def test_a_resumed_training_starts_with_its_history():
    notes, first = Notes(), fitted(2)
    fit(first.vae, X, epochs=3, step="pyro", show_progress=False, resume=first, callbacks=[notes])
    assert notes.calls == [("start", 2), ("epoch", 3), ("finished", 3, False)]


def test_keyboard_interrupt_stops_and_the_end_is_told():
    notes = Notes()
    assert fitted(callbacks=[notes, Raises(KeyboardInterrupt())]).interrupted
    assert notes.calls[-1][:2] == ("interrupted", 2)


def test_an_error_ends_the_training_and_the_end_is_told():
    notes = Notes()
    with pytest.raises(ZeroDivisionError):
        fitted(callbacks=[Raises(ZeroDivisionError()), notes])
    assert notes.calls[-1][:2] == ("failed", 2)


def test_an_error_at_the_end_does_not_keep_another_from_its_end():
    class Bad(Callback):
        def on_end(self, result):
            raise ZeroDivisionError

    notes = Notes()
    with pytest.raises(ZeroDivisionError):
        fitted(callbacks=[Bad(), notes])
    assert notes.calls[-1][0] == "finished"


def test_draws_of_a_callback_do_not_change_the_training_and_repeat():
    one, two = Draws(), Draws()
    weights = [fitted(callbacks=given).vae.state_dict() for given in ([], [one], [Notes(), two])]
    for state in weights[1:]:
        assert all(torch.equal(value, weights[0][name]) for name, value in state.items())
    assert torch.equal(torch.stack(one.drawn), torch.stack(two.drawn))


@pytest.mark.parametrize(
    ("given", "name"), [([print], "builtin_function_or_method"), ([Notes], "Notes"), (7, "int")]
)
def test_what_is_no_callback_is_refused_before_training(given, name):
    with pytest.raises(DeclarationError, match=f"derived from pyro_vae.Callback, got {name}"):
        fitted(callbacks=given)
