import pytest
import torch

from pyro_vae.core.modes import evaluating, multiplying


def precisions():
    cuda, cudnn, cpu = torch.backends.cuda, torch.backends.cudnn, torch.backends.mkldnn
    return [each.fp32_precision for each in (cuda.matmul, cudnn.conv, cudnn.rnn, cpu.matmul)]


def by_the_old_interface():
    try:
        return torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    except RuntimeError:  # the new one has been used
        return None


SETTINGS = {
    "default": lambda: None,
    "old": lambda: torch.set_float32_matmul_precision("medium"),
    "old, convolutions": lambda: setattr(torch.backends.cudnn, "allow_tf32", False),
    "new": lambda: setattr(torch.backends.cuda.matmul, "fp32_precision", "tf32"),
    "new, of everything": lambda: setattr(torch.backends, "fp32_precision", "tf32"),
}


@pytest.mark.parametrize("tf32", [True, False])
@pytest.mark.parametrize("setting", SETTINGS)
def test_how_products_are_rounded_is_said_and_put_back(tf32, setting):
    first = precisions(), torch.backends.fp32_precision
    try:
        SETTINGS[setting]()
        before = precisions(), by_the_old_interface()
        with multiplying(tf32=tf32):
            assert {each == "tf32" for each in precisions()} == {tf32}
            if setting != "new, of everything":
                assert by_the_old_interface() == ("high" if tf32 else "highest", tf32)
        assert precisions() == before[0]
        assert before[1] in (None, by_the_old_interface())
    finally:
        torch.backends.fp32_precision = first[1]
        torch.set_float32_matmul_precision("highest")
        torch.backends.cudnn.allow_tf32 = True
        torch.backends.cuda.matmul.fp32_precision = first[0][0]
        torch.backends.mkldnn.matmul.fp32_precision = first[0][3]


def test_each_module_gets_its_own_mode_back():
    net = torch.nn.Sequential(torch.nn.Dropout(), torch.nn.BatchNorm1d(2)).train()
    net[1].eval()
    with evaluating(net):
        assert not net[0].training
    assert net[0].training
    assert not net[1].training
