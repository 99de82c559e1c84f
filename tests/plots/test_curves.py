import math

import numpy as np
import pytest

from pyro_vae.core.errors import DataError
from pyro_vae.plots import plot_history, plot_monte_carlo_error

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


def legend(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


class TestHistory:
    def test_a_term_with_its_unit(self, ax, is_drawn):
        assert plot_history(history(), "log_likelihood", ax=ax) is ax
        assert ax.get_title() == "log-likelihood"
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("epoch", "nats per datum")
        is_drawn(ax)

    def test_lines_are_the_history(self, ax):
        rows = history(validation_elbo=np.linspace(-99, -91, 50))
        plot_history(rows, ax=ax)
        np.testing.assert_array_equal(line(ax, "train").get_ydata(), column(rows, "elbo"))
        np.testing.assert_array_equal(
            line(ax, "validation").get_ydata(), column(rows, "validation_elbo")
        )

    def test_the_best_validation_epoch_is_marked_and_named(self, ax, is_drawn):
        validation = -90 - 0.1 * (np.arange(1, 51) - 31.0) ** 2
        rows = history(validation_elbo=validation, validation_kl=np.arange(50.0))
        plot_history(rows, ax=ax)
        mark = ax.lines[-1]
        assert mark.get_xdata() == [31]
        assert mark.get_ydata() == [-90]
        assert legend(ax)[-1] == "best epoch: 31, \N{MINUS SIGN}90.000"
        is_drawn(ax)
        assert legend(plot_history(rows, "kl"))[-1] == "best epoch: 31, 30.000"

    def test_early_epochs_do_not_flatten_the_rest(self, ax):
        rows = history()
        low, high = plot_history(rows, ax=ax).get_ylim()
        late = column(rows[10:], "elbo")
        assert low <= min(late) <= max(late) <= high
        assert max(late) - min(late) >= 0.5 * (high - low)
        assert ax.get_xlabel().endswith("off the scale")

    def test_a_gentle_curve_is_shown_whole(self, ax):
        rows = [row | {"elbo": -100.0 + row["epoch"]} for row in history()]
        assert plot_history(rows, ax=ax).get_ylim()[0] < -99
        assert ax.get_xlabel() == "epoch"

    def test_validation_now_and_then_is_one_line(self, ax):
        sparse = [-95.0 if epoch % 10 == 0 else None for epoch in range(50)]
        plot_history(history(validation_elbo=sparse), ax=ax)
        np.testing.assert_array_equal(line(ax, "validation").get_xdata(), [1, 11, 21, 31, 41])

    def test_values_that_are_not_finite_leave_a_gap_and_are_counted(self, ax, is_drawn):
        rows = [row | {"kl": NAN if row["epoch"] > 40 else 25.0} for row in history()]
        plot_history(rows, "kl", ax=ax)
        assert ax.get_xlabel() == "epoch\nnot finite: 10 of 50"
        is_drawn(ax)

    @pytest.mark.parametrize("value", [NAN, -math.inf, None, 0.0])
    @pytest.mark.parametrize("count", [1, 3])
    def test_nothing_but_odd_values(self, ax, is_drawn, value, count):
        rows = [
            {"epoch": epoch, "elbo": value, "log_likelihood": value, "kl": value}
            for epoch in range(count)
        ]
        is_drawn(plot_history(rows, ax=ax))

    def test_no_such_term(self):
        with pytest.raises(DataError, match="term: must be elbo, log_likelihood or kl"):
            plot_history(history(), "loss")

    def test_no_epochs(self):
        with pytest.raises(DataError, match="no epochs"):
            plot_history([])

    def test_a_missing_term(self):
        rows = history(3)
        del rows[1]["kl"]
        with pytest.raises(DataError, match=r"history\[1\]: expected kl, got \['epoch'"):
            plot_history(rows)


class TestMonteCarloError:
    k = np.array([1, 4, 16, 64])

    def test_points_fit_and_reference(self, ax, is_drawn):
        errors = 2 * self.k**-0.5
        assert plot_monte_carlo_error({"ELBO": (self.k, errors, -0.5)}, ax=ax) is ax
        points, fit, reference, *_ = ax.lines
        np.testing.assert_array_equal(points.get_xdata(), self.k)
        np.testing.assert_array_equal(points.get_ydata(), errors)
        for line in (fit, reference):
            np.testing.assert_allclose(line.get_ydata(), errors[[0, -1]])
        assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
        assert ax.get_ylabel() == "RMS error (nats per datum)"
        is_drawn(ax)

    def test_the_legend_gives_the_slopes(self, ax):
        terms = {"ELBO": (self.k, 1 / self.k, -1.0), "KL": (self.k, 0 * self.k, NAN)}
        assert legend(plot_monte_carlo_error(terms, ax=ax)) == [
            "ELBO: slope \N{MINUS SIGN}1.00",
            "KL: no error",
            "slope \N{MINUS SIGN}1/2",
        ]

    @pytest.mark.parametrize(
        ("k", "errors"),
        [([1], [1.0]), ([1, 2], [NAN, NAN]), ([1, 2], [0, 0]), ([1, 1e6], [1e3, 1e-5])],
    )
    def test_odd_values(self, ax, is_drawn, k, errors):
        is_drawn(plot_monte_carlo_error({"ELBO": (k, errors, NAN)}, ax=ax))

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
            plot_monte_carlo_error(terms)
