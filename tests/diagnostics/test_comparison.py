"""Paired differences between models, and what must not be compared."""

from __future__ import annotations

import json
import math

import pytest
import torch
from scipy import stats

from pyro_vae import as_dataset, compare, evaluate, load_data
from pyro_vae.core.errors import IncompatibleScores
from tests.variants import small_vae

QUIET = {"show_progress": False}


def verdicts(found):
    return [verdict for named in found.verdicts.values() for verdict in named.values()]


@pytest.fixture
def data(linear):
    return as_dataset(linear.generate(200, sample=True), name="simulated")


@pytest.fixture
def scores(linear, data):
    """The right model, one whose noise is too wide, and one that differs in its encoder alone."""
    wide = linear.swap(likelihood={"kind": "gaussian", "scale": 9.0})
    wide.load_state_dict(linear.state_dict(), strict=False)
    torch.manual_seed(4)
    other = linear.swap(encoder="linear")
    for part in ("prior", "likelihood", "decoder"):
        getattr(other, part).load_state_dict(getattr(linear, part).state_dict())
    models = {"right": linear, "wide": wide, "other": other}
    return {name: evaluate(model, data, nll=200, **QUIET) for name, model in models.items()}


def test_differences_are_paired(scores):
    found = compare(scores)
    assert [(q, name) for q, gaps in found.differences.items() for name in gaps] == [
        ("ELBO", "wide"), ("ELBO", "other"),
        ("-log p(x), importance sampling from q, K = 200", "wide"),
        ("-log p(x), importance sampling from q, K = 200", "other"),
    ]  # fmt: skip
    oracle = stats.ttest_rel(scores["other"].terms.elbo, scores["right"].terms.elbo)
    gap = found.differences["ELBO"]["other"]
    assert gap.value / gap.stderr == pytest.approx(oracle.statistic, rel=1e-5)
    interval = oracle.confidence_interval(0.95)
    assert (gap.low, gap.high) == pytest.approx((interval.low, interval.high), rel=1e-4)


def test_pairing_takes_the_datas_own_spread_away(scores):
    same = compare({"one": scores["right"], "two": scores["right"]})
    gaps = [gap for named in same.differences.values() for gap in named.values()]
    assert [(gap.value, gap.stderr) for gap in gaps] == [(0.0, 0.0)] * 2
    assert set(verdicts(same)) == {"not told apart"}


def test_the_verdict_knows_which_way_is_better(scores):
    found = compare(scores)
    elbo, nll = (gaps["wide"] for gaps in found.differences.values())
    assert elbo.value < 0 < nll.value
    assert [named["wide"] for named in found.verdicts.values()] == ["worse", "worse"]
    turned = compare({"wide": scores["wide"], "right": scores["right"]})
    assert set(verdicts(turned)) == {"better"}


def test_the_interval_holds_the_truth_as_often_as_it_says():
    """Two estimates of one ELBO differ by noise alone: 90 % of the intervals hold 0."""
    vae, x = small_vae(), torch.randn(100, 3)
    data = as_dataset(x, test=80, validation=0)
    runs = [evaluate(vae, data, seed=seed) for seed in range(400)]
    pairs = zip(runs[::2], runs[1::2], strict=True)
    held = sum(
        verdicts(compare({"a": a, "b": b}, confidence=0.9)) == ["not told apart"] for a, b in pairs
    )
    assert abs(held - 180) < 4.42 * math.sqrt(200 * 0.9 * 0.1)


def test_unlike_data_are_refused_by_name(linear, data, scores):
    others = as_dataset(data.train.x + 1.0, name="simulated")
    with pytest.raises(IncompatibleScores, match=r"data\.sha256: .* in right, .* in moved"):
        compare({"right": scores["right"], "moved": evaluate(linear, others, nll=200, **QUIET)})


def test_unlike_binarization_is_refused_by_name():
    vae = small_vae(event_shape=(1, 8, 8), likelihood="bernoulli")
    found = {
        how: evaluate(vae, load_data({"kind": "digits", "binarization": how}))
        for how in ("static", "threshold")
    }
    with pytest.raises(IncompatibleScores, match=r"data\.binarization: static in .* threshold in"):
        compare(found)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"nll": 100}, "estimators of -log p(x): importance sampling from q, K = 200 in right"),
        ({}, "K = 200 in right, none in changed"),
        ({"nll": 200, "particles": 2}, "particles of the ELBO: 1 in right, 2 in changed"),
        ({"nll": 200, "split": "train"}, "split: test in right, train in changed"),
        ({"nll": 200, "data_count": 10}, "number of data: 40 in right, 10 in changed"),
    ],
    ids=str,
)
def test_unlike_estimators_are_refused_by_name(linear, data, scores, options, named):
    changed = evaluate(linear, data, **options, **QUIET)
    with pytest.raises(IncompatibleScores) as error:
        compare({"right": scores["right"], "changed": changed})
    assert named in str(error.value)


def test_a_density_is_not_compared_with_a_probability():
    data = load_data({"kind": "digits", "binarization": "static"})
    found = {
        kind: evaluate(small_vae(event_shape=(1, 8, 8), likelihood=kind), data)
        for kind in ("bernoulli", "gaussian")
    }
    with pytest.raises(IncompatibleScores, match="likelihood: a probability of the data in"):
        compare(found)


def test_one_model_and_strange_confidence_are_refused(scores):
    with pytest.raises(IncompatibleScores, match="at least two models to compare, got 1"):
        compare({"right": scores["right"]})
    with pytest.raises(IncompatibleScores, match="confidence: expected between 0 and 1, got 95"):
        compare(scores, confidence=95)


def test_shown_as_table_picture_and_json(scores):
    found = compare(scores)
    rows = [[cell.text for cell in row] for row in found.table().rows]
    assert [row[1] for row in rows] == ["right", "wide", "other"] * 2
    assert [row[-1] for row in rows].count("reference") == 2
    assert "simulated [sha256" in found._repr_html_()
    assert "95% intervals" in found.figure().axes[0].get_title(loc="left")
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["reference"] == "right"
