"""The display's side: what a terminal, a notebook and a log show of a loop."""

import io

import pytest
from rich.console import Console

from pyro_vae.report.displays import Lines, State
from pyro_vae.report.notebook import Notebook
from pyro_vae.report.progress import progress
from pyro_vae.report.terminal import Terminal

HALF = State(
    what="training <a> [b]",
    done=50,
    total=100,
    fields={"elbo": -95.12, "kl": float("nan")},
    rate=1234.5,
    unit="data",
    elapsed=61.0,
    left=59.0,
)
DONE = State(what="training", done=100, total=100, status="done", elapsed=120.0)
STOPPED = State(what="training", done=50, total=100, status="stopped", elapsed=61.0)


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_a_state_as_text():
    assert str(HALF) == (
        "training <a> [b]: 50/100 (50 %)  elbo -95.12  kl —  1,234 data/s  1:01 elapsed  0:59 left"
    )
    assert str(DONE) == "training: 100/100 (100 %)  2:00 elapsed"
    assert str(STOPPED) == "training: 50/100 (50 %)  1:01 elapsed  stopped"


class TestLines:
    def run(self, total, seconds):
        clock, file = Clock(), io.StringIO()
        with progress(total, "training", display=Lines(file), clock=clock) as bar:
            for _ in range(total):
                clock.now += seconds
                bar.advance(elbo=-95.0)
        return file.getvalue().splitlines()

    def test_a_line_each_tenth_of_the_way(self):
        lines = self.run(total=1000, seconds=0.01)
        assert len(lines) == 10
        assert lines[0].startswith("training: 100/1,000 (10 %)  elbo -95.00  100.0 steps/s")
        assert lines[-1].startswith("training: 1,000/1,000 (100 %)")

    def test_a_line_each_minute_of_a_slow_loop(self):
        assert len(self.run(total=100, seconds=30.0)) == 50

    def test_the_last_line_comes_after_an_error_too(self):
        file = io.StringIO()
        with pytest.raises(KeyboardInterrupt), progress(9, "training", display=Lines(file)):
            raise KeyboardInterrupt
        assert file.getvalue().endswith("stopped\n")

    def test_notes_are_lines(self):
        file = io.StringIO()
        Lines(file).note("checkpoint written")
        assert file.getvalue() == "checkpoint written\n"


class TestNotebook:
    @pytest.fixture
    def shown(self):
        return []

    @pytest.fixture
    def display(self, shown):
        def show(bundle, *, raw, display_id, update):
            assert raw
            shown.append((bundle, display_id, update))

        return Notebook(show)

    def test_one_output_is_updated_in_place(self, display, shown):
        display.start(HALF)
        display.update(HALF)
        display.finish(DONE)
        assert [update for _, _, update in shown] == [False, True, True]
        assert len({display_id for _, display_id, _ in shown}) == 1

    def test_html_is_escaped_and_text_stands_in_for_it(self, display, shown):
        display.start(HALF)
        bundle = shown[0][0]
        assert "training &lt;a&gt; [b]" in bundle["text/html"]
        assert "width:50.0%" in bundle["text/html"]
        assert "<script" not in bundle["text/html"]
        assert bundle["text/plain"] == str(HALF)

    def test_colour_says_how_it_ended(self, display, shown):
        for state in (HALF, DONE, STOPPED):
            display.update(state)
        colours = {bundle["text/html"].partition("background:#")[2][:6] for bundle, _, _ in shown}
        assert len(colours) == 3

    def test_notes_stay_and_the_latest_win(self, display, shown):
        display.note("before the start")
        display.start(HALF)
        for index in range(30):
            display.note(f"note <{index}>")
        page = shown[-1][0]["text/html"]
        assert "note &lt;29&gt;" in page
        assert "note &lt;10&gt;" in page
        assert "note &lt;9&gt;" not in page

    def test_a_few_updates_a_second(self, display, shown):
        clock = Clock()
        with progress(1000, "training", display=display, clock=clock) as bar:
            for _ in range(1000):
                clock.now += 0.01
                bar.advance()
        assert 25 <= len(shown) <= 35


class TestTerminal:
    @pytest.fixture
    def console(self):
        return Console(file=io.StringIO(), force_terminal=True, width=100, color_system=None)

    def test_bar_numbers_and_times(self, console):
        display = Terminal(console)
        display.start(HALF)
        display.update(HALF)
        display.finish(HALF)
        text = console.file.getvalue()
        for shown in ("training <a> [b]", "50/100 (50 %)", "1,234 data/s", "0:59 left"):
            assert shown in text
        assert "elbo -95.12   kl —" in text

    def test_the_cursor_comes_back_after_an_interrupt(self, console):
        with pytest.raises(KeyboardInterrupt), progress(9, "go", display=Terminal(console)):
            raise KeyboardInterrupt
        hidden, shown = "\x1b[?25l", "\x1b[?25h"
        text = console.file.getvalue()
        assert text.count(hidden) == text.count(shown) == 1
        assert text.index(hidden) < text.index(shown)
        assert "stopped" in text

    def test_notes_stand_above_and_are_literal(self, console):
        with progress(2, "go", display=Terminal(console)) as bar:
            bar.note("written to [red]runs[/red]")
        assert "written to [red]runs[/red]" in console.file.getvalue()

    def test_an_empty_loop_is_complete(self, console):
        with progress(0, "nothing", display=Terminal(console)):
            pass
        assert "0/0 (100 %)" in console.file.getvalue()

    def test_a_loop_within_a_loop(self, console):
        with (
            progress(2, "outer", display=Terminal(console)) as outer,
            progress(3, "inner", display=Terminal(console)) as inner,
        ):
            inner.advance(3)
            outer.advance(2)
        assert "outer" in console.file.getvalue()
        assert console.file.getvalue().endswith("\x1b[?25h")
