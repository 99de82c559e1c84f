"""What a terminal, a notebook and a log show of a loop."""

import io
import sys
from threading import Event
from types import SimpleNamespace

import pytest

from pyro_vae.report import progress as module
from pyro_vae.report.progress import progress
from pyro_vae.report.sparklines import curves, sparkline


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


class Tty(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


class Number:
    """Counts how often it is read."""

    reads = 0

    def __float__(self):
        self.reads += 1
        return -95.12


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr("tqdm.std.time", clock)
    return clock


@pytest.fixture
def terminal(monkeypatch):
    tty = Tty()
    for name in ("environment", "progress"):
        fake = SimpleNamespace(stdout=tty, modules=sys.modules)
        monkeypatch.setattr(f"pyro_vae.report.{name}.sys", fake)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("tqdm.std._screen_shape_wrapper", lambda: lambda _: (100, 30))
    return tty


@pytest.fixture
def notebook(monkeypatch):
    """Every bundle that a notebook was sent."""
    pytest.importorskip("IPython")
    shown = []

    def display(bundle, *, raw, display_id):
        assert raw
        assert display_id
        shown.append(bundle)
        return SimpleNamespace(update=lambda bundle, raw: shown.append(bundle))

    monkeypatch.setattr("IPython.display.display", display)
    monkeypatch.setattr(module, "in_notebook", lambda: True)
    return shown


@pytest.fixture(params=["log", "terminal", "notebook"])
def last(request, capsys):
    """The last state that was shown, in each place."""
    if request.param == "log":
        return lambda: capsys.readouterr().out.splitlines()[-1]
    shown = request.getfixturevalue(request.param)
    if request.param == "terminal":
        return lambda: shown.getvalue().strip().rpartition("\r")[2]
    return lambda: shown[-1]["text/plain"]


def test_the_last_state_is_shown_with_its_terms(last, clock):
    with progress(4, "training", unit="data") as bar:
        for step in range(4):
            clock.now += 0.5
            bar.advance(elbo=-100.0 + step)
        bar.advance(0, kl=float("nan"))
    shown = last()
    assert shown.startswith("training: 100%")
    assert shown.endswith(" elbo -97.00, kl — [00:02<00:00, 2.000 data/s, 4/4]")


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_error_is_raised_and_the_display_says_stopped(last, error):
    with pytest.raises(error), progress(4, "training"):
        raise error
    assert last().startswith("training (stopped):   0%")


def test_an_empty_loop_is_complete(last):
    with progress(0, "nothing"):
        pass
    assert last().startswith("nothing: 100%")


def test_terms_are_read_only_when_drawn(last, clock):
    elbo = Number()
    with progress(10**6, "training") as bar:
        for _ in range(1000):
            clock.now += 0.001
            bar.advance(elbo=elbo)
    assert elbo.reads <= 12


def test_the_rate_forgets_a_slow_start_but_not_at_the_end(clock):
    with progress(1001, "training") as bar:
        clock.now = 100.0  # compilation
        bar.advance()
        for _ in range(100):
            clock.now += 1.0
            bar.advance(10)
        assert bar.format_dict["speed"].startswith("10.00 ")
    assert bar.format_dict["speed"] == "5.005 steps/s"


def test_a_negative_total():
    with pytest.raises(ValueError, match="at least 0 steps, got -1"):
        progress(-1, "training")


def test_disabled_writes_nothing(request, notebook, capsys):
    with progress(4, "training", enabled=False) as bar:
        bar.advance(4, elbo=-1.0)
        bar.note("written")
    assert not notebook
    assert capsys.readouterr() == ("", "")


class TestLog:
    def run(self, capsys, clock, total, seconds):
        with progress(total, "training") as bar:
            for _ in range(total):
                clock.now += seconds
                bar.advance(elbo=-95.0)
        return capsys.readouterr().out

    def test_a_line_each_tenth_of_the_way(self, capsys, clock):
        lines = self.run(capsys, clock, total=1000, seconds=0.25).splitlines()
        assert len(lines) == 10
        assert lines[0] == ("training:  10% elbo -95.00 [00:25<03:45, 4.000 steps/s, 100/1000]")
        assert lines[-1].startswith("training: 100%")

    def test_a_line_each_minute_of_a_slow_loop(self, capsys, clock):
        assert len(self.run(capsys, clock, total=100, seconds=30.0).splitlines()) == 50

    def test_lines_are_plain_and_whole(self, capsys, clock, monkeypatch):
        monkeypatch.setenv("COLUMNS", "20")
        text = self.run(capsys, clock, total=100, seconds=1.0)
        assert not set("\r\x1b|") & set(text)
        assert all(line.endswith("]") for line in text.splitlines())

    def test_notes_are_lines(self, capsys):
        with progress(2, "training") as bar:
            bar.note("checkpoint written")
            assert capsys.readouterr().out == "checkpoint written\n"


def test_while_it_waits_the_clock_goes_on_and_no_number_is_read(terminal, clock, monkeypatch):
    number = Number()
    with progress(2, "training") as bar:
        bar.advance(elbo=number)
        reads, drawn = number.reads, Event()
        monkeypatch.setattr(bar, "refresh", lambda: (type(bar).refresh(bar), drawn.set()))
        with bar.waiting("compiling the step"):
            drawn.clear()
            clock.now = 8.0
            drawn.wait()
        assert number.reads == reads
        assert "compiling the step [00:08<" in terminal.getvalue()
    assert "elbo -95.12" in terminal.getvalue().rpartition("\r")[2]


class TestNotebook:
    def test_html_is_escaped_and_needs_no_script(self, notebook):
        with progress(100, "training <a> [b]") as bar:
            bar.advance(50)
        page = notebook[-1]["text/html"]
        assert "training &lt;a&gt; [b]" in page
        assert '<progress value="50" max="100"' in page
        assert "<script" not in page

    def test_the_colour_tells_a_loop_that_was_stopped(self, notebook):
        with progress(1, "training") as bar:
            bar.advance()
        done = notebook[-1]["text/html"].partition("accent-color:")[2][:7]
        with pytest.raises(RuntimeError), progress(1, "training"):
            raise RuntimeError
        assert notebook[-1]["text/html"].partition("accent-color:")[2][:7] != done

    def test_a_few_updates_a_second(self, notebook, clock):
        with progress(1000, "training") as bar:
            for _ in range(1000):
                clock.now += 0.01
                bar.advance()
        assert 25 <= len(notebook) <= 35

    def test_notes_are_printed(self, notebook, capsys):
        with progress(1, "training") as bar:
            bar.note("written")
        assert capsys.readouterr().out == "written\n"


class TestTerminal:
    def test_redrawn_in_place_and_no_wider_than_the_terminal(self, terminal, clock):
        with progress(100, "training", unit="data") as bar:
            for _ in range(100):
                clock.now += 0.25
                bar.advance(elbo=-95.12, log_likelihood=-70.1, kl=25.0)
        text = terminal.getvalue()
        assert text.count("\n") == 1
        assert max(map(len, text.rstrip("\n").split("\r"))) <= 100
        assert "elbo -95.12, log_likelihood -70.10, kl 25.00 [00:10<00:15" in text

    def test_notes_stand_above_and_are_literal(self, terminal):
        with progress(2, "go") as bar:
            bar.note("written to [red]runs[/red]")
        assert "written to [red]runs[/red]\n" in terminal.getvalue()

    def test_a_loop_within_a_loop(self, terminal):
        with progress(2, "outer") as outer, progress(3, "inner") as inner:
            inner.advance(3)
            outer.advance(2)
        assert "inner" in terminal.getvalue()
        assert terminal.getvalue().rstrip().rpartition("\r")[2].startswith("outer: 100%")


def test_a_dumb_terminal_gets_lines(terminal, monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    with progress(2, "go") as bar:
        bar.advance(2)
    assert terminal.getvalue().startswith("go: 100% [")
    assert terminal.getvalue().count("\n") == 1


def test_a_notebook_comes_before_a_terminal(notebook, terminal):
    with progress(2, "go") as bar:
        bar.advance(2)
    assert notebook
    assert not terminal.getvalue()


class TestCurves:
    """Of a training whose history the bar follows."""

    def train(self, clock, epochs=5, **terms):
        history, measured = [], []

        def units():
            measured.append(len(history))
            return [0.1, 3.0, 1.5]

        with progress(10 * epochs, "training", unit="data") as bar:
            bar.follow(history, units)
            for epoch in range(1, epochs + 1):
                for _ in range(10):
                    clock.now += 0.5
                    bar.advance(elbo=-100.0, kl=4.6)
                record = {"elbo": -100.0 / epoch, "log_likelihood": -9.0, "kl": 4.6}
                history.append({"epoch": epoch, **record, "validation_elbo": -105.0 / epoch})
        return measured

    def test_a_terminal_shows_the_elbo_in_the_bars_place_and_the_kl_by_size(self, terminal, clock):
        self.train(clock)
        last = terminal.getvalue().strip().rpartition("\r")[2]
        assert last.startswith("training: 100%|▁▅▇██| elbo -100.0, kl 4.600 █▅▁ [")

    def test_a_notebook_shows_three_terms_and_the_kl_of_each_dimension(self, notebook, clock):
        self.train(clock)
        page = notebook[-1]["text/html"]
        assert page.count("<polyline") == 4  # the ELBO has a validation curve
        assert "train -20.00" in page
        assert "validation -21.00" in page
        assert page.count("<rect") == 3
        assert "largest 3.000" in page
        assert "<script" not in page

    def test_the_kl_is_measured_once_an_epoch(self, notebook, clock):
        assert self.train(clock, epochs=4) == [2, 3, 4]

    def test_a_log_stays_plain(self, capsys, clock):
        assert self.train(clock) == []
        assert not set("▁▂▃▄▅▆▇█<") & set(capsys.readouterr().out.replace("<00:", ""))

    def test_nothing_is_measured_while_the_loop_waits(self, notebook, clock):
        history = [{"elbo": 1.0, "log_likelihood": 2.0, "kl": 1.0}] * 2
        with progress(2, "training") as bar:
            bar.follow(history, lambda: pytest.fail("measured by the clock's thread"))
            with bar.waiting("compiling the step"):
                bar.refresh()
            bar.follow(history, lambda: [1.0])
        assert "compiling the step" in str(notebook)

    def test_values_that_are_not_finite_leave_gaps(self):
        page = curves([{"elbo": v, "log_likelihood": v, "kl": float("nan")}
                       for v in (1.0, float("inf"), 3.0)])  # fmt: skip
        assert "nan" not in page.replace("train —", "")
        assert page.count(",") >= 4
        assert sparkline([float("nan"), 1.0, 2.0], 5) == " ▁█"
