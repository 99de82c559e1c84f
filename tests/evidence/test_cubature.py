"""Integrals over cells against scipy and closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import integrate as scipy_integrate

from pyro_vae.evidence.cubature import integrate


def flat(density):
    """A log-density with the volume element of a flat space."""
    return lambda points: (density(points), torch.zeros(len(points)).to(points))


def box(*edges):
    return [torch.tensor(edge, dtype=torch.float64) for edge in edges]


def wiggly(points):
    """Two peaks of different width, neither normal."""
    u, v = points[..., 0], points[..., -1]
    return -((u * u - 2) ** 2) - (3 * v - torch.sin(2 * u)) ** 2 / 2 + torch.cos(5 * u) / 3


def test_two_dimensions_against_scipy():
    found = integrate(flat(wiggly), *box([-4.0, -4.0], [4.0, 4.0]))

    def at(v, u):
        return math.exp(wiggly(torch.tensor([u, v], dtype=torch.float64)).item())

    oracle, error = scipy_integrate.dblquad(at, -4, 4, -4, 4, epsabs=1e-7, epsrel=1e-7)
    assert math.exp(found.log_integral) == pytest.approx(oracle, abs=max(error, 1e-8))
    assert found.error < 1e-9


@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize("scale", [1.0, 1e-3])
def test_a_narrow_peak_far_from_every_node_is_found(dim, scale):
    def peak(points):
        return -((points - 0.37) / scale).square().sum(-1) / 2

    found = integrate(flat(peak), *box([-20.0] * dim, [20.0] * dim))
    exact = dim * (0.5 * math.log(2 * math.pi) + math.log(scale))
    assert found.log_integral == pytest.approx(exact, abs=1e-8)
    assert found.error <= 1e-9
    mean = found.mean(found.points)
    assert torch.allclose(mean, torch.full((dim,), 0.37).double(), atol=1e-9 * scale + 1e-10)


def test_both_of_two_far_peaks_are_found():
    def peaks(points):
        far = [-((points - c) / s).square().sum(-1) / 2 for c, s in ((-7.1, 0.02), (6.3, 0.05))]
        return torch.logaddexp(*far)

    found = integrate(flat(peaks), *box([-10.0], [10.0]))
    exact = math.log(math.sqrt(2 * math.pi) * (0.02 + 0.05))
    assert found.log_integral == pytest.approx(exact, abs=1e-9)


def test_an_open_box_grows_and_a_closed_one_does_not():
    def wide(points):
        return -(points / 50.0).square().sum(-1) / 2

    low, high = box([-1.0], [2.0])
    exact = math.log(50 * math.sqrt(2 * math.pi))
    assert integrate(flat(wide), low, high).log_integral == pytest.approx(exact, abs=1e-9)
    closed = integrate(flat(wide), low, high, closed=True)
    assert closed.log_integral == pytest.approx(math.log(3), abs=1e-3)


def test_an_edge_is_exact_where_it_is_named():
    def edge(points):
        return -(points - 0.123).abs().sum(-1)

    low, high = box([-9.0, -9.0], [9.0, 9.0])
    kinks = torch.tensor([[0.123, 0.123]]).double()
    found = integrate(flat(edge), low, high, kinks=kinks)
    assert found.log_integral == pytest.approx(2 * math.log(2), abs=1e-9)
    blind = integrate(flat(edge), low, high)
    assert len(found.points) < len(blind.points) / 10


def test_the_stated_error_holds_where_it_was_not_reached(monkeypatch):
    monkeypatch.setattr("pyro_vae.evidence.cubature.MOST", 0)
    rough = integrate(flat(wiggly), *box([-4.0, -4.0], [4.0, 4.0]))
    monkeypatch.undo()
    exact = integrate(flat(wiggly), *box([-4.0, -4.0], [4.0, 4.0])).log_integral
    assert 1e-12 < abs(rough.log_integral - exact) <= rough.error
