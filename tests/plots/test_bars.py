"""Bars of the dimensions of the code, of the two gaps, and of topics."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pyro_vae.core.errors import DataError
from pyro_vae.plots import plot_active_units, plot_gaps, plot_kl_per_dimension, plot_topics


def heights(ax):
    return [bar.get_height() for bar in ax.patches]


def units(variance, kl=None):
    variance = torch.tensor(variance, dtype=torch.double)
    kl = None if kl is None else torch.tensor(kl)
    return SimpleNamespace(variance=variance, kl=kl, threshold=0.01, active=variance > 0.01,
                           kl_method="no mean field")  # fmt: skip


def gaps(approximation, amortization):
    return SimpleNamespace(approximation=approximation, amortization=amortization)


def test_the_greatest_variance_stands_first_and_names_its_dimension(ax, is_drawn):
    found = units([0.2, 0.9, 1e-4], [3.0, 2.0, 0.1])
    assert plot_active_units(found, ax=ax) is ax
    assert heights(ax) == [0.9, 0.2, 1e-4]
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["1", "0", "2"]
    filled = [bar.get_facecolor()[3] for bar in ax.patches]
    assert filled == [1.0, 1.0, 0.0]
    is_drawn(ax)


def test_the_greatest_kl_stands_first(ax):
    plot_kl_per_dimension(units([0.2, 0.9, 1e-4], [1.5, 2.0, 0.25]), ax=ax)
    assert heights(ax) == [2.0, 1.5, 0.25]
    assert ax.get_ylabel() == "nats per datum"


def test_a_variance_below_the_axis_is_counted(ax):
    plot_active_units(units([0.5, -1e-9, 0.0]), ax=ax)
    assert heights(ax)[1:] == [1e-6, 1e-6]
    assert ax.get_ylim()[0] < 1e-6
    assert ax.get_xlabel().endswith("2 below 1e-06, drawn there")


def test_of_many_dimensions_the_greatest_are_drawn_and_it_is_said(ax):
    plot_active_units(units(np.linspace(1e-3, 1, 10_000).tolist()), ax=ax)
    assert len(ax.patches) == 200
    assert len(ax.get_xticks()) <= 40
    assert "the 200 greatest of 10,000" in ax.get_xlabel()


def test_no_kl_is_refused():
    with pytest.raises(DataError, match="got none: no mean field"):
        plot_kl_per_dimension(units([0.2, 0.9]))


def test_the_bars_stack_to_both_gaps_and_the_greatest_stands_first(ax, is_drawn):
    assert plot_gaps(gaps([0.1, 0.3], [0.2, 0.4]), ax=ax) is ax
    family, encoder = map(list, ax.containers)
    assert [bar.get_height() for bar in family] == [0.3, 0.1]
    assert [bar.get_y() + bar.get_height() for bar in encoder] == pytest.approx([0.7, 0.3])
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["#1", "#0"]
    said = [text.get_text() for text in ax.get_legend().get_texts()]
    assert said == ["approximation: the family, 0.2 on average",
                    "amortization: the encoder, 0.3 on average"]  # fmt: skip
    is_drawn(ax)


def test_of_many_data_the_greatest_are_drawn_and_it_is_said(ax):
    plot_gaps(gaps(np.arange(10_000.0), np.zeros(10_000)), ax=ax)
    assert len(ax.containers[0]) == 40
    assert ax.containers[0][0].get_height() == 9999
    assert "the 40 greatest of 10,000" in ax.get_xlabel()


def test_unlike_shapes_and_other_results_are_refused():
    with pytest.raises(DataError, match=r"got \(2,\) and \(3,\)"):
        plot_gaps(gaps([1.0, 2.0], [1.0, 2.0, 3.0]))
    with pytest.raises(DataError, match="the result of inference_gaps, got ndarray"):
        plot_gaps(np.zeros(3))


def topic_model(count, share):
    share = torch.full((count,), 0.5) if share else None
    return SimpleNamespace(words=[list("abcde")] * count, npmi=torch.linspace(-1, 1, count),
                           share=share, order=list(range(count))[::-1])  # fmt: skip


def test_a_topic_has_its_coherence_or_its_share(ax, is_drawn):
    found = topic_model(50, share=True)
    assert plot_topics(found, ax=ax) is ax
    widths = [bar.get_width() for bar in ax.patches]
    assert len(widths) == 40
    assert widths[0] == 1.0
    assert ax.get_yticklabels()[0].get_text() == "49: a b c d"
    assert "the first 40 of 50" in ax.get_xlabel()
    is_drawn(ax)
    assert plot_topics(found, "share").get_xlabel().startswith("share of the documents")


def test_shares_that_are_not_there_and_other_quantities_are_refused():
    with pytest.raises(DataError, match="codes are no shares"):
        plot_topics(topic_model(3, share=False), "share")
    with pytest.raises(DataError, match="quantity: must be npmi or share, got 'words'"):
        plot_topics(topic_model(3, share=True), "words")
