"""The loop's side: what reaches a display, when, and what is shown where."""

import io
import sys

import pytest

from pyro_vae.report import progress as module
from pyro_vae.report.displays import Display, Lines, Silent
from pyro_vae.report.notebook import Notebook
from pyro_vae.report.progress import progress
from pyro_vae.report.terminal import Terminal


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class Recorder(Display):
    """Draws every ``period`` seconds, on paper."""

    def __init__(self, period=0.0):
        self.period, self.calls, self.notes = period, [], []

    def due(self, seconds, fraction):
        return seconds >= self.period

    def start(self, state):
        self.calls.append(("start", state))

    def update(self, state):
        self.calls.append(("update", state))

    def note(self, text):
        self.notes.append(text)

    def finish(self, state):
        self.calls.append(("finish", state))

    @property
    def last(self):
        return self.calls[-1][1]


@pytest.fixture
def clock():
    return Clock()


def test_every_state_reaches_the_display(clock):
    display = Recorder()
    with progress(4, "training", display=display, clock=clock) as bar:
        for step in range(4):
            clock.now += 0.5
            bar.advance(elbo=-100.0 + step)
        bar.note("written")
    assert [name for name, _ in display.calls] == ["start", *["update"] * 4, "finish"]
    assert display.notes == ["written"]
    assert display.last.done == display.last.total == 4
    assert display.last.status == "done"
    assert display.last.fields == {"elbo": -97.0}
    assert display.last.elapsed == 2.0


def test_updates_are_throttled_and_fields_read_only_when_drawn(clock):
    reads = []

    class Lazy:
        def __float__(self):
            reads.append(clock.now)
            return -1.0

    display = Recorder(period=1.0)
    with progress(100, "training", display=display, clock=clock) as bar:
        for _ in range(100):
            clock.now += 0.0625
            bar.advance(elbo=Lazy())
    assert reads == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 6.25]


def test_fields_keep_their_last_value(clock):
    display = Recorder()
    with progress(3, "training", display=display, clock=clock) as bar:
        bar.advance(elbo=-3.0)
        bar.advance(2, kl=1.0)
    assert display.last.fields == {"elbo": -3.0, "kl": 1.0}
    assert display.last.done == 3


def test_rate_counts_data_and_time_left_counts_steps(clock):
    display = Recorder()
    with progress(10, "training", unit="data", per_step=128, display=display, clock=clock) as bar:
        clock.now = 2.0
        bar.advance(4)
        assert display.last.rate == 4 / 2.0 * 128
        assert display.last.left == 6 / 2.0
        assert display.last.speed == "256.0 data/s"


def test_rate_forgets_a_slow_start_but_not_at_the_end(clock):
    display = Recorder()
    with progress(1001, "training", display=display, clock=clock) as bar:
        clock.now = 100.0  # compilation
        bar.advance()
        for _ in range(100):
            clock.now += 1.0
            bar.advance(10)
        assert display.last.rate == pytest.approx(10.0)
    assert display.last.rate == pytest.approx(1001 / 200)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_error_ends_the_display_and_goes_on(clock, error):
    display = Recorder()
    with pytest.raises(error), progress(4, "training", display=display, clock=clock):
        raise error
    assert display.calls[-1][0] == "finish"
    assert display.last.status == "stopped"


def test_an_empty_loop_is_complete(clock):
    display = Recorder()
    with progress(0, "nothing", display=display, clock=clock):
        pass
    assert display.last.fraction == 1.0
    assert display.last.rate is None


def test_a_negative_total():
    with pytest.raises(ValueError, match="at least 0 steps, got -1"), progress(-1, "training"):
        pass


def test_disabled_writes_nothing(capsys):
    display = Recorder()
    with progress(4, "training", enabled=False, display=display) as bar:
        bar.advance(4, elbo=-1.0)
        bar.note("written")
    assert display.calls == display.notes == []
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("notebook", "terminal", "expected"),
    [(True, False, Notebook), (True, True, Notebook), (False, True, Terminal)],
)
def test_the_display_suits_the_place(monkeypatch, notebook, terminal, expected):
    monkeypatch.setattr(module, "in_notebook", lambda: notebook)
    monkeypatch.setattr(module, "in_terminal", lambda: terminal)
    assert type(module._display_for_here()) is expected


def test_a_file_gets_lines(monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert type(module._display_for_here()) is Lines
    assert not Silent().due(1e9, 1.0)
