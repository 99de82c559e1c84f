import math

import numpy as np
import pytest
from matplotlib.figure import Figure

from pyro_vae.core.errors import DataError
from pyro_vae.plots.curves import elbo_curves, monte_carlo_error

NAN = math.nan


def history(count=50, **more):
    return [
        {"epoch": epoch, "elbo": -90 - 500 / epoch**2, "log_likelihood": -65.0, "kl": 25.0}
        | {key: values[epoch - 1] for key, values in more.items()}
        for epoch in range(1, count + 1)
    ]


def column(rows, key):
    return [row[key] for row in rows]


def line(axes, label):
    return next(line for line in axes.lines if line.get_label() == label)


class TestElboCurves:
    def test_three_panels_with_their_unit(self, is_drawn):
        picture = elbo_curves(history())
        names = [axes.get_title("left") for axes in picture.axes]
        assert names == ["ELBO", "log-likelihood", "KL"]
        assert {axes.get_ylabel() for axes in picture.axes} == {"nats per datum"}
        assert {axes.get_xlabel() for axes in picture.axes} == {"epoch"}
        is_drawn(picture)

    def test_lines_are_the_history(self):
        rows = history(validation_elbo=np.linspace(-99, -91, 50))
        axes = elbo_curves(rows).axes[0]
        np.testing.assert_array_equal(line(axes, "train").get_ydata(), column(rows, "elbo"))
        np.testing.assert_array_equal(
            line(axes, "validation").get_ydata(), column(rows, "validation_elbo")
        )

    def test_the_best_validation_epoch_is_marked_and_named(self, is_drawn):
        validation = -90 - 0.1 * (np.arange(1, 51) - 31.0) ** 2
        picture = elbo_curves(history(validation_elbo=validation))
        mark = picture.axes[0].lines[-1]
        assert mark.get_xdata() == [31]
        assert mark.get_ydata() == [-90]
        said = [text.get_text() for text in picture.legends[0].get_texts()]
        assert said[-1] == "best validation: epoch 31, ELBO \N{MINUS SIGN}90.000"
        is_drawn(picture)

    def test_early_epochs_do_not_flatten_the_rest(self):
        rows = history()
        axes = elbo_curves(rows).axes[0]
        low, high = axes.get_ylim()
        late = column(rows[10:], "elbo")
        assert low <= min(late) <= max(late) <= high
        assert max(late) - min(late) >= 0.5 * (high - low)
        assert axes.get_title("right").endswith("off the scale")

    def test_a_gentle_curve_is_shown_whole(self):
        rows = [row | {"elbo": -100.0 + row["epoch"]} for row in history()]
        axes = elbo_curves(rows).axes[0]
        assert axes.get_ylim()[0] < -99
        assert axes.get_title("right") == ""

    def test_validation_now_and_then_is_one_line(self):
        sparse = [-95.0 if epoch % 10 == 0 else None for epoch in range(50)]
        axes = elbo_curves(history(validation_elbo=sparse)).axes[0]
        np.testing.assert_array_equal(line(axes, "validation").get_xdata(), [1, 11, 21, 31, 41])

    def test_values_that_are_not_finite_leave_a_gap_and_are_counted(self, is_drawn):
        rows = [row | {"kl": NAN if row["epoch"] > 40 else 25.0} for row in history()]
        picture = elbo_curves(rows)
        assert picture.axes[2].get_title("right") == "not finite: 10 of 50"
        is_drawn(picture)

    @pytest.mark.parametrize("value", [NAN, -math.inf, None, 0.0])
    @pytest.mark.parametrize("count", [1, 3])
    def test_nothing_but_odd_values(self, is_drawn, value, count):
        rows = [
            {"epoch": epoch, "elbo": value, "log_likelihood": value, "kl": value}
            for epoch in range(count)
        ]
        is_drawn(elbo_curves(rows))

    def test_no_epochs(self):
        with pytest.raises(DataError, match="no epochs"):
            elbo_curves([])

    def test_a_missing_term(self):
        rows = history(3)
        del rows[1]["kl"]
        with pytest.raises(DataError, match=r"history\[1\]: expected kl, got \['epoch'"):
            elbo_curves(rows)


class TestMonteCarloError:
    k = np.array([1, 4, 16, 64])

    def test_points_fit_and_reference(self, is_drawn):
        errors = 2 * self.k**-0.5
        picture = monte_carlo_error({"ELBO": (self.k, errors, -0.5)})
        axes = picture.axes[0]
        points, fit, reference, *_ = axes.lines
        np.testing.assert_array_equal(points.get_xdata(), self.k)
        np.testing.assert_array_equal(points.get_ydata(), errors)
        for line in (fit, reference):
            np.testing.assert_allclose(line.get_ydata(), errors[[0, -1]])
        assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
        assert axes.get_ylabel() == "RMS error (nats per datum)"
        is_drawn(picture)

    def test_into_the_callers_axes(self):
        figure = Figure()
        axes = figure.subplots(1, 2)
        terms = {"ELBO": (self.k, 1 / self.k, -1.0)}
        assert monte_carlo_error(terms, ax=axes[1]) is figure
        assert axes[1].get_legend() is not None
        assert not axes[0].lines

    def test_the_legend_gives_the_slopes(self):
        terms = {"ELBO": (self.k, 1 / self.k, -1.0), "KL": (self.k, 0 * self.k, NAN)}
        texts = [text.get_text() for text in monte_carlo_error(terms).legends[0].get_texts()]
        assert texts == [
            "ELBO: slope \N{MINUS SIGN}1.00",
            "KL: no error",
            "slope \N{MINUS SIGN}1/2",
        ]

    @pytest.mark.parametrize(
        ("k", "errors"),
        [([1], [1.0]), ([1, 2], [NAN, NAN]), ([1, 2], [0, 0]), ([1, 1e6], [1e3, 1e-5])],
    )
    def test_odd_values(self, is_drawn, k, errors):
        is_drawn(monte_carlo_error({"ELBO": (k, errors, NAN)}))

    @pytest.mark.parametrize(
        ("terms", "match"),
        [
            ({}, "nothing to draw"),
            ({"KL": ([1, 2], [1.0], -0.5)}, r"KL: expected an error for each K, got \(1,\)"),
            ({"KL": ([0, 2], [1.0, 1.0], -0.5)}, "numbers of particles > 0, got 0"),
            ({"KL": ([], [], -0.5)}, "KL: particles: nothing to draw"),
        ],
    )
    def test_refused(self, terms, match):
        with pytest.raises(DataError, match=match):
            monte_carlo_error(terms)
