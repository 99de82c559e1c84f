import sys

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from pyro_vae.core.errors import DataError
from pyro_vae.plots.style import as_array, axes_of, ink, minus, note, panels, styled


@styled
def line(*, ax=None):
    ax, _ = axes_of(ax, 4, 3)
    ax.plot([1, 2], [3, 4])
    return ax


def drawn():
    picture, (ax,) = panels(1, 1, 4)
    line(ax=ax)
    return picture


def test_the_look_does_not_depend_on_the_readers_settings():
    plain = drawn()._repr_png_()
    with matplotlib.rc_context({"font.size": 20, "axes.facecolor": "black", "text.color": "red"}):
        assert drawn()._repr_png_() == plain


@pytest.mark.parametrize("kind", ["png", "pdf", "svg"])
def test_savefig(tmp_path, kind):
    path = tmp_path / f"picture.{kind}"
    drawn().savefig(path)
    assert path.stat().st_size > 1000


def test_a_notebook_shows_a_picture_once():
    shell = pytest.importorskip("IPython.core.interactiveshell")
    formatter = pytest.importorskip("IPython.core.formatters").DisplayFormatter()
    assert shell
    data, _ = formatter.format(drawn())
    assert set(data) == {"image/png", "text/plain"}


def test_a_callers_axes_keep_the_callers_style():
    with matplotlib.style.context("dark_background"):
        ax = line(ax=Figure().subplots())
    assert (ink(ax), ax.get_facecolor()[:3]) == ("white", (0, 0, 0))
    assert ax.lines[0].get_linewidth() == 1.5


def test_without_axes_there_is_a_figure_of_pyplot():
    ax = line()
    assert plt.get_fignums() == [ax.figure.number]
    assert ax.figure.get_size_inches().tolist() == [4, 3]


def test_what_is_no_axes_is_refused():
    with pytest.raises(DataError, match="ax: expected a matplotlib Axes, got Figure"):
        line(ax=Figure())


def test_a_note_stands_below_the_label(ax):
    ax.set_xlabel("epoch")
    note(ax, "two are left out", "", "one is red")
    assert ax.get_xlabel() == "epoch\ntwo are left out; one is red"
    note(ax, "")
    assert ax.get_xlabel().count("\n") == 1


@pytest.mark.parametrize(
    "values",
    [
        [[1, 2]],
        torch.ones(1, 2),
        torch.ones(1, 2, requires_grad=True),
        torch.ones(1, 2).bfloat16(),
    ],
)
def test_as_array_takes_lists_and_tensors(values):
    array = as_array(values, "x")
    assert array.shape == (1, 2)
    assert array.dtype == np.float64


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ([], r"x: nothing to draw, its shape is \(0,\)"),
        (np.empty((0, 3)), "x: nothing to draw"),
        (1.0, "x: nothing to draw"),
        (["a"], "x: expected an array of numbers, got list"),
        ([[1], [1, 2]], "x: expected an array of numbers"),
        (None, "x: "),
    ],
)
def test_as_array_refuses(values, match):
    with pytest.raises(DataError, match=match):
        as_array(values, "x")


def test_minus_leaves_hyphens_alone():
    assert minus("log-likelihood -1.5 to -.5, 1e-07") == (
        "log-likelihood \N{MINUS SIGN}1.5 to \N{MINUS SIGN}.5, 1e\N{MINUS SIGN}07"
    )


def test_importing_the_plots_does_not_import_pyplot():
    import subprocess

    code = "import sys, pyro_vae.plots; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
