"""What an encoder sees of its data, and the warning where counts come raw."""

import numpy as np
import pytest
import torch
from scipy.stats import zscore
from sklearn.preprocessing import normalize

from pyro_vae import VAE, PyroVAEError, as_dataset, fit, load, save
from tests.variants import small_vae

INPUTS = ("none", "log1p", "standardize", "normalize", "clr")
QUICK = {"epochs": 1, "step": "pyro", "show_progress": False}


def encoder(kind="mlp", **changes):
    return {"kind": kind, **({"hidden": [4]} if "mlp" in kind else {}), **changes}


@pytest.fixture
def counts():
    generator = torch.Generator().manual_seed(0)
    rates = torch.tensor([0.5, 3.0, 8.0, 1.0])
    return torch.poisson(rates.expand(60, 4), generator)


def by_hand(x):
    """Each input, by another library where there is one."""
    x = x.double().numpy()
    logs = np.log(x + 1)
    return {
        "none": x,
        "log1p": logs,
        "standardize": zscore(x),
        "normalize": 4 * normalize(x, norm="l1"),
        "clr": logs - logs.mean(1, keepdims=True),
    }


@pytest.mark.parametrize("input", INPUTS)
def test_it_is_its_formula(counts, input):
    vae = small_vae(event_shape=(4,), encoder=encoder(input=input))
    counts[7] = 0
    vae.initialize(counts)
    unit = vae.likelihood.unit if input == "none" else 1.0
    seen = vae.encoder.seen(counts) * unit
    np.testing.assert_allclose(seen, by_hand(counts)[input], rtol=1e-5, atol=1e-5)
    for other in set(INPUTS) - {input}:
        assert not np.allclose(seen, by_hand(counts)[other], atol=0.1)
    h = vae.encoder.layers(seen / unit)
    torch.testing.assert_close(vae.encoder(counts).flatten(1), h)


@pytest.mark.parametrize("input", INPUTS)
@pytest.mark.parametrize("value", [0.0, -1.0, -1e30, 1e30])
def test_it_is_finite_and_has_a_gradient_for_any_value(input, value):
    network = small_vae(event_shape=(2, 2), encoder=encoder(input=input)).encoder
    x = torch.full((3, 2, 2), value, requires_grad=True)
    network.seen(x).sum().backward()
    assert network.seen(x).isfinite().all()
    assert x.grad.isfinite().all()
    if value == 0.0 and input in ("log1p", "standardize"):
        assert (x.grad == 1).all()


def test_standardization_is_taken_once_and_saved(counts, tmp_path):
    counts[:, 2] = 5.0  # does not vary
    vae = small_vae(event_shape=(4,), encoder=encoder(input="standardize"))
    fit(vae, as_dataset(counts, validation=0, test=0), **QUICK)
    assert vae.encoder.input_scale[2] == 1
    assert not vae.encoder.seen(counts)[:, 2].any()
    kept = vae.encoder.input_mean.clone()
    vae.initialize(counts + 10)
    assert torch.equal(vae.encoder.input_mean, kept)
    again = load(save(vae, tmp_path / "run"))
    torch.testing.assert_close(again.encode(counts).mean, vae.encode(counts).mean)
    assert not vae.swap().encoder.input_fitted


@pytest.mark.parametrize("kind", ["linear", "mlp", "gated_mlp", "conv", "resnet"])
def test_every_encoder_takes_it(kind):
    net = encoder(kind, input="log1p")
    vae = VAE((1, 4, 4), 2, encoder=net)
    assert vae.declaration["encoder"]["input"] == "log1p"
    assert "input" not in VAE((3,), 2, decoder="topic_decoder").declaration["decoder"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoder": encoder(input="log")}, "did you mean 'log1p'"),
        ({"decoder": encoder(input="log1p")}, "decoder.input: must be none"),
        ({"event_shape": (1,), "encoder": encoder(input="clr")}, "several numbers"),
    ],
)
def test_what_is_refused(changes, message):
    with pytest.raises(PyroVAEError, match=message):
        small_vae(**changes)


def test_outlying_counts_are_warned_of_where_they_come_raw(counts):
    usual = {"event_shape": (4,), "likelihood": "poisson"}
    fit(small_vae(**usual), as_dataset(counts, test=0, validation=0), **QUICK)
    counts[7, 0] = 200.0
    data = as_dataset(counts, test=0, validation=0)
    with pytest.warns(UserWarning, match=r"up to 200.*input: log1p"):
        fit(small_vae(**usual), data, **QUICK)
    for quiet in (
        {"encoder": encoder(input="log1p")},
        {"encoder": torch.nn.Linear(4, 4)},
        {"encoder": encoder(batch_norm=True)},
        {"likelihood": "gaussian"},
    ):
        fit(small_vae(**usual | quiet), data, **QUICK)


def test_pseudo_inputs_go_through_it(counts):
    vae = small_vae(event_shape=(4,), prior={"kind": "vamp", "pseudo_inputs": 3},
                    likelihood="poisson", encoder=encoder(input="log1p"))  # fmt: skip
    vae.initialize(counts)
    assert vae.prior.pseudo_inputs.abs().max() < counts.max()  # in units
    modes = vae.prior().component_distribution.mean
    u = vae.encoder.input_unit * vae.prior.pseudo_inputs
    torch.testing.assert_close(modes, vae.encode(u).mean)
