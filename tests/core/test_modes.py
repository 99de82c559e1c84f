import pytest
import torch

from pyro_vae.core.modes import evaluating, multiplying


@pytest.mark.parametrize("tf32", [True, False])
def test_how_products_are_rounded_is_said_and_put_back(tf32):
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    with multiplying(tf32=tf32):
        assert torch.get_float32_matmul_precision() == ("high" if tf32 else "highest")
        assert torch.backends.cudnn.allow_tf32 == tf32
    assert (torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32) == before


def test_each_module_gets_its_own_mode_back():
    net = torch.nn.Sequential(torch.nn.Dropout(), torch.nn.BatchNorm1d(2)).train()
    net[1].eval()
    with evaluating(net):
        assert not net[0].training
    assert net[0].training
    assert not net[1].training
