"""The numbers of SplitMix64, by another implementation, and as uniform ones."""

import numpy as np
import pytest
import torch
from scipy import stats

from pyro_vae.data.splitmix import splitmix64, uniform_like

MASK = 2**64 - 1


def by_the_paper(seed, count):
    """Figure 16 of Steele, Lea, Flood (2014), in whole numbers."""
    outputs = []
    for _ in range(count):
        seed = (seed + 0x9E3779B97F4A7C15) & MASK
        z = ((seed ^ (seed >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        outputs.append(z ^ (z >> 31))
    return outputs


@pytest.mark.parametrize("seed", [0, 1, 1234567, 2**62 - 1, -(2**63), -1])
def test_outputs_are_the_generators(seed):
    outputs = splitmix64(torch.tensor(seed), 200)
    assert [output & MASK for output in outputs.tolist()] == by_the_paper(seed & MASK, 200)


def test_the_first_output_of_seed_0_is_the_one_that_is_known():
    assert splitmix64(torch.tensor(0), 1).item() & MASK == 0xE220A8397B1DCDAF


def test_numbers_are_uniform_and_do_not_depend_on_their_neighbours():
    torch.manual_seed(0)
    drawn = torch.stack([uniform_like(torch.empty(100, 100)).flatten() for _ in range(30)])
    assert drawn.min() >= 0
    assert drawn.max() < 1
    assert torch.equal(drawn * 2**24, (drawn * 2**24).floor())
    assert stats.kstest(drawn.flatten().numpy(), "uniform").pvalue > 1e-3
    along = np.corrcoef(drawn[:, 1:].flatten(), drawn[:, :-1].flatten())[0, 1]
    across = np.corrcoef(drawn[1:].flatten(), drawn[:-1].flatten())[0, 1]
    assert abs(along) < 4 / 300_000**0.5
    assert abs(across) < 4 / 290_000**0.5


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_shape_and_type_are_kept(dtype):
    assert uniform_like(torch.empty(3, 5, 7, dtype=dtype)).shape == (3, 5, 7)
    assert uniform_like(torch.empty(0, dtype=dtype)).dtype == dtype
