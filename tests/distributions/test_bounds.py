import math

import pytest
import torch

from pyro_vae.distributions.bounds import MAX_SCALE, MIN_SCALE, bounded, bounded_scale


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("low", "high"), [(MIN_SCALE, MAX_SCALE), (0.1, 2.0), (1e-6, 1e6)])
def test_no_input_leaves_the_bounds(low, high, dtype):
    extremes = [0.0, 1.0, 50.0, 1e3, 1e6, torch.finfo(dtype).max]
    raw = torch.tensor([-v for v in extremes] + extremes, dtype=dtype, requires_grad=True)
    scale = bounded_scale(raw, low, high)
    scale.log().sum().backward()
    assert scale.min() >= low * (1 - 1e-5)
    assert scale.max() <= high * (1 + 1e-5)
    assert raw.grad.isfinite().all()


def test_it_is_strictly_increasing_and_near_exp_in_the_middle():
    raw = torch.linspace(-20, 20, 1001, dtype=torch.double)
    assert (bounded_scale(raw).diff() > 0).all()
    middle = raw[raw.abs() < 0.5]
    assert torch.allclose(bounded_scale(middle), middle.exp(), rtol=2e-3)


def test_it_is_the_formula_of_its_docstring():
    centre = (math.log(0.1) + math.log(2.0)) / 2
    half = (math.log(2.0) - math.log(0.1)) / 2
    expected = math.exp(centre + (0.3 - centre) / math.hypot(1, (0.3 - centre) / half))
    assert bounded_scale(torch.tensor(0.3).double(), 0.1, 2.0).item() == pytest.approx(expected)


@pytest.mark.parametrize("bound", [bounded_scale, bounded])
@pytest.mark.parametrize("start", [-1e3, -50.0, 50.0, 1e3])
def test_no_gradient_is_dead(bound, start):
    """In float32 too, and it is the derivative: a tanh's is 0 from about 10 times its width on."""
    raw = torch.tensor(start, requires_grad=True)
    (gradient,) = torch.autograd.grad(
        bound(raw).log() if bound is bounded_scale else bound(raw), raw
    )
    width = math.log(1e3) if bound is bounded_scale else 10.0
    assert gradient.item() == pytest.approx((1 + (start / width) ** 2) ** -1.5, rel=1e-5)
