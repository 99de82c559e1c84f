"""The comparisons: their scores, their false-alarm rate, and that they can fail."""

from __future__ import annotations

import math

import pytest
import torch

from pyro_vae.auditing.checks import compare, critical_z, numerical, statistical, z_score


def draws(particles, data, mean=0.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return mean + torch.randn(particles, data, generator=generator, dtype=torch.float64)


def test_a_true_difference_of_zero_agrees():
    check = statistical("t", "a", "b", draws(500, 20), draws(500, 20, seed=1), 1e-9)
    check.judge(critical_z(1e-4, check.tests))
    assert check.passed
    assert check.tests == 21


def test_a_shift_of_one_datum_is_found_and_named():
    values = draws(500, 20)
    values[:, 7] += 0.6
    check = statistical("t", "a", "b", values, draws(500, 20, seed=1), 1e-9)
    check.judge(critical_z(1e-4, check.tests))
    assert not check.passed
    assert check.worst_datum == 7


def test_a_small_shift_of_all_is_found_by_the_batch():
    check = statistical("t", "a", "b", draws(1000, 200, mean=0.03), torch.zeros(1, 200), 1e-9)
    assert check.z > 6
    assert abs(check.worst_z) < 6


def test_standard_error_is_that_of_the_mean():
    check = statistical("t", "a", "b", draws(400, 25), torch.zeros(1, 25).double(), 1e-9)
    assert check.difference.stderr == pytest.approx(1 / math.sqrt(400 * 25), rel=0.1)


def test_exact_values_are_compared_by_rounding_alone():
    one = torch.full((1, 3), -80.0, dtype=torch.float64)
    near = compare("t", "a", "b", one * (1 + 1e-12), one, 1e-9)
    far = compare("t", "a", "b", one * (1 + 1e-7), one, 1e-9)
    for check in (near, far):
        check.judge(5.0)
    assert near.passed
    assert not far.passed


def test_a_value_that_is_not_finite_disagrees():
    check = numerical("t", "a", "b", torch.tensor([math.nan]), torch.tensor([1.0]), 1e-9)
    check.judge(5.0)
    assert not check.passed
    values = draws(500, 3)
    values[4, 1] = math.nan
    sampled = statistical("t", "a", "b", values, torch.zeros(1, 3).double(), 1e-9)
    sampled.judge(5.0)
    assert not sampled.passed


def test_a_difference_without_sampling_error_is_never_within_it():
    z = z_score(torch.tensor([1e-3]), torch.tensor([0.0]), dof=99, rounding=1e-9)
    assert z.item() > 30


def test_false_alarms_come_at_the_stated_rate():
    """At a rate of 10 % over all tests, 400 true audits of skewed draws fail 40 times or fewer."""
    alarms = 0
    for seed in range(400):
        generator = torch.Generator().manual_seed(seed)
        values = torch.empty(1000, 30, dtype=torch.float64).exponential_(generator=generator)
        check = statistical("t", "a", "b", values, torch.ones(1, 30).double(), 1e-9)
        check.judge(critical_z(0.1, check.tests))
        alarms += not check.passed
    upper = 40 + 4.42 * math.sqrt(400 * 0.1 * 0.9)
    assert 5 < alarms < upper


def test_more_tests_ask_for_a_higher_score():
    assert critical_z(1e-4, 1000) > critical_z(1e-4, 10) > critical_z(1e-2, 10)
