import io
from html.parser import HTMLParser

import numpy as np
import pytest
from rich.console import Console

from pyro_vae.report.table import Cell, Table


@pytest.fixture
def table():
    table = Table("Audit [bold]", ["term", "value", "verdict"], caption="nats & <data>")
    table.add("log_likelihood", -70.123, Cell("agrees", "good"))
    table.add("a|b *c* _d_", None, Cell("differs", "bad"))
    return table


class Texts(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.texts = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.texts.append(data)


def parsed(table):
    parser = Texts()
    parser.feed(table._repr_html_())
    return parser


def test_plain_text_is_aligned(table):
    assert str(table).splitlines() == [
        "Audit [bold]",
        "term             value  verdict",
        "-------------------------------",
        "log_likelihood  -70.12  agrees",
        "a|b *c* _d_          —  differs",
        "nats & <data>",
    ]
    assert repr(table) == str(table)


def test_markdown_is_aligned_and_escaped(table):
    assert table.markdown().splitlines() == [
        r"**Audit \[bold]**",
        "",
        r"| term             |  value | verdict     |",
        r"| :--------------- | -----: | :---------- |",
        r"| log_likelihood   | -70.12 | agrees      |",
        r"| a\|b \*c\* \_d\_ |      — | **differs** |",
        "",
        r"nats & \<data>",
    ]


def test_html_shows_every_text_literally(table):
    texts = "".join(parsed(table).texts)
    for text in ("Audit [bold]", "log_likelihood", "a|b *c* _d_", "differs", "nats & <data>"):
        assert text in texts


def test_html_needs_nothing_from_outside_and_states_no_background(table):
    page = table._repr_html_()
    assert not {tag for tag, _ in parsed(table).tags} & {"script", "link", "img", "style"}
    assert "http" not in page
    assert "background" not in page  # the theme's own, light or dark


def test_html_aligns_and_colours(table):
    cells = [attrs["style"] for tag, attrs in parsed(table).tags if tag == "td"]
    assert ["text-align:right" in style for style in cells] == [False, True, False] * 2
    assert "color:" in cells[2]
    assert "color:" not in cells[0]


def test_rich_shows_every_text_literally(table):
    console = Console(width=80, file=io.StringIO())
    console.print(table)
    shown = console.file.getvalue()
    for text in ("Audit [bold]", "-70.12", "a|b *c* _d_", "differs", "nats & <data>"):
        assert text in shown


def test_columns_of_numbers_stand_right():
    table = Table("", ["name", "score", "empty", "mixed", "forced"], justify=None)
    table.add("a", "-93.4 ± 0.1", None, 1, "x")
    table.add("b", float("inf"), None, "two", "y")
    assert table.justify == ["left", "right", "left", "left", "left"]
    assert Table("", ["a", "b"], justify=["center", "right"]).justify == ["center", "right"]


def test_cells_of_any_type():
    table = Table("", ["a", "b", "c", "d"])
    table.add(np.int64(60000), np.float32(0.25), True, np.bool_(False))
    assert [cell.text for cell in table.rows[0]] == ["60,000", "0.2500", "True", "False"]


def test_control_characters_are_shown_and_not_obeyed():
    bad = "a\x1b[2J\x9b\u202eb"
    table = Table(bad, [bad], caption=bad)
    table.add(bad)
    table.add(Cell(bad, "strong"))
    console = Console(width=80, file=io.StringIO())
    console.print(table)
    for shown in (str(table), table.markdown(), table._repr_html_(), console.file.getvalue()):
        assert not {"\x1b", "\x9b", "\u202e"} & set(shown)
        assert shown.count("x1b") == 5


def test_a_line_break_stays_within_its_row():
    table = Table("", ["a", "b"])
    table.add("one\ntwo", 1)
    assert "one two" in str(table)
    assert "| one two |" in table.markdown()


def test_a_table_without_rows_has_its_head():
    table = Table("Empty", ["a", "b"])
    assert str(table).splitlines() == ["Empty", "a  b", "----"]
    assert len(table.markdown().splitlines()) == 4
    assert "<tbody" in table._repr_html_()


def test_wrong_number_of_cells():
    table = Table("", ["a", "b"])
    with pytest.raises(ValueError, match=r"Expected a row to have 2 entries \(a, b\), got 1"):
        table.add("only")
    with pytest.raises(ValueError, match="Expected justify to have 2 entries"):
        Table("", ["a", "b"], justify=["left"])


@pytest.mark.parametrize("width", [60, 80, 100, 120, 150])
def test_words_and_numbers_stay_whole_at_any_width(width):
    table = Table("Audit", ["quantity", "method", "value", "difference", "verdict"])
    method = "closed form, written by hand beside the particles of Trace_ELBO"
    table.add("log_likelihood", method, "-23.649 ± 0.029", "+0.028 ± 0.029", Cell("agrees"))
    table.add("", "TraceMeanField_ELBO", "-23.651 ± 0.030", "", Cell("reference"))
    console = Console(width=width, file=io.StringIO())
    console.print(table)
    shown = console.file.getvalue()
    assert max(len(line.rstrip()) for line in shown.splitlines()) <= width
    for text in ("log_likelihood", "TraceMeanField_ELBO", "-23.649 ± 0.029", "reference"):
        assert text in shown
    for word in method.split():
        assert word in shown
