"""Models of other libraries compute here what they compute there."""

import math

import pytest
import torch

from pyro_vae import as_dataset, audit_elbo, compare, elbo_terms, evaluate, import_model
from pyro_vae.core.errors import CheckpointError, DeclarationError, IncompatibleComponents
from pyro_vae.objectives.kl import kl_exact
from pyro_vae.sharing.implied import implied_likelihood

FILE = """
import torch
from torch import nn

class Theirs(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.mean, self.log_var = nn.Linear(6, 5), nn.Linear(5, 2), nn.Linear(5, 2)
        self.out = nn.Linear(2, 6)

    def encode(self, x):
        h = torch.tanh(self.body(x))
        return self.mean(h), self.log_var(h)

    def decode(self, z):
        return torch.sigmoid(self.out(z))

def trained():
    torch.manual_seed(0)
    return Theirs()

def linear():
    return nn.Linear(6, 2)

def broken():
    raise ValueError("no weights")
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "theirs.py"
    path.write_text(FILE)
    return path


@pytest.mark.parametrize(
    ("weight", "kl_weight"), [(1.0, 1.0), (0.5, 1.0), (1 / 6, 3.0), (2.0, 0.1)]
)
@pytest.mark.parametrize("loss", ["mse", "l1"])
def test_the_implied_likelihood_gives_the_loss_back(loss, weight, kl_weight):
    """Its negative log-density, times k, is w times the error, up to a constant."""
    declared, _ = implied_likelihood(loss, 6, weight=weight, kl_weight=kl_weight)
    kind = {"gaussian": torch.distributions.Normal, "laplace": torch.distributions.Laplace}
    p = kind[declared["kind"]](torch.zeros(6), declared["scale"])
    x = torch.randn(2, 6)
    error = (x.square() if loss == "mse" else x.abs()).sum(-1)
    minus = -kl_weight * p.log_prob(x).sum(-1)
    assert torch.allclose(minus[0] - minus[1], weight * (error[0] - error[1]), rtol=1e-4)


def test_losses_that_imply_none():
    assert implied_likelihood("bce", 6)[0] == {"kind": "bernoulli"}
    for given in ({"kl_weight": 0.0}, {"kl_weight": 4.0}, {"weight": 1 / 6}):
        declared, why = implied_likelihood("bce", 6, **given)
        assert declared is None
        assert why.startswith("no likelihood")
    for loss, kl_weight in (("ssim", 1.0), ("mse", -1.0), ("mse", math.nan)):
        with pytest.raises(DeclarationError):
            implied_likelihood(loss, 6, kl_weight=kl_weight)


@pytest.fixture
def pythae():
    """The library, whose import warns."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("pythae.models")


@pytest.mark.parametrize("loss", ["mse", "bce"])
@pytest.mark.filterwarnings("ignore")  # pythae's
def test_pythaes_loss_is_the_elbo(pythae, loss, tmp_path):
    torch.manual_seed(0)
    config = pythae.VAEConfig(input_dim=(1, 2, 3), latent_dim=2, reconstruction_loss=loss)
    theirs = pythae.VAE(config)
    theirs.save(str(tmp_path / "m"))
    found = import_model(f"pythae:{tmp_path / 'm'}")
    kind = {"mse": "gaussian", "bce": "bernoulli"}[loss]
    assert found.implied["kind"] == kind
    assert str(found).startswith(f"pythae:{tmp_path / 'm'}: {kind}")
    x = torch.bernoulli(torch.full((64, 1, 2, 3), 0.5))
    torch.manual_seed(1)
    there = theirs({"data": x})
    q = found.vae.encode(x)
    here = -found.vae.decode(there.z).log_prob(x).mean()
    constant = 6 / 2 * math.log(2 * math.pi) if loss == "mse" else 0.0
    assert torch.allclose(here, there.recon_loss + constant, rtol=1e-5)
    assert torch.allclose(kl_exact(q, found.vae.prior()).mean(), there.reg_loss, rtol=1e-4)


@pytest.mark.filterwarnings("ignore")
def test_what_pythae_pickled_is_refused(pythae, tmp_path):
    config = pythae.VAEConfig(input_dim=(6,), latent_dim=2)
    theirs = pythae.VAE(config, encoder=pythae.nn.default_architectures.Encoder_VAE_MLP(config))
    theirs.model_config.uses_default_encoder = False
    theirs.save(str(tmp_path / "m"))
    source = f"pythae:{tmp_path / 'm'}"
    with pytest.raises(
        CheckpointError, match=r"encoder.pkl would be unpickled.*allow_pickle=True"
    ):
        import_model(source)
    x = torch.randn(3, 6)
    mean = import_model(source, allow_pickle=True).vae.encode(x).mean
    assert torch.equal(mean, theirs.eval().encoder(x).embedding)


@pytest.mark.filterwarnings("ignore")
def test_pythaes_models_without_an_elbo_are_told(pythae, tmp_path):
    pythae.AE(pythae.AEConfig(input_dim=(6,), latent_dim=2)).save(str(tmp_path / "m"))
    with pytest.raises(CheckpointError, match="has no ELBO for a loss, and so implies no likel"):
        import_model(f"pythae:{tmp_path / 'm'}")
    pythae.BetaVAE(pythae.BetaVAEConfig(input_dim=(6,), latent_dim=2, beta=4.0)).save(
        str(tmp_path / "beta")
    )
    found = import_model(f"pythae:{tmp_path / 'beta'}")
    assert found.implied == {"kind": "gaussian", "scale": 2.0}


@pytest.mark.filterwarnings("ignore")
def test_diffusers(tmp_path):
    library = pytest.importorskip("diffusers")
    torch.manual_seed(0)
    theirs = library.AutoencoderKL(
        in_channels=1, out_channels=1, block_out_channels=(4,), norm_num_groups=2,
        latent_channels=1, sample_size=4,
    ).eval()  # fmt: skip
    theirs.save_pretrained(tmp_path / "m")
    source = f"diffusers:{tmp_path / 'm'}"
    with pytest.raises(DeclarationError, match=r"does not record the loss.*give likelihood="):
        import_model(source)
    found = import_model(source, loss="mse", reduction="mean", kl_weight=0.01)
    assert math.isclose(found.implied["scale"], math.sqrt(0.01 * 16 / 2))
    x, q = torch.randn(3, 1, 4, 4), found.vae.encode
    there = theirs.encode(x).latent_dist
    assert torch.equal(q(x).mean, there.mean.flatten(1))
    assert torch.allclose(q(x).stddev, there.std.flatten(1), rtol=1e-5)
    z = there.mean
    here = found.vae.decode(z.flatten(1)).mean
    assert torch.allclose(here, theirs.decode(z).sample, atol=1e-6)


def test_a_file_is_audited_scored_and_compared(file):
    source = f"torch:{file}:trained"
    found = import_model(source, loss="bce", event_shape=(6,))
    x = torch.bernoulli(torch.full((60, 6), 0.5))
    module = found.vae.decoder.module.model
    assert torch.equal(
        found.vae.decode(torch.ones(2, 2)).base_dist.logits, module.out(torch.ones(2, 2))
    )
    assert audit_elbo(found.vae, x[:16], particles=100).passed
    data = as_dataset(x)
    assert evaluate(found.vae, data).terms.elbo.isfinite().all()
    other = import_model(source, likelihood="continuous_bernoulli", event_shape=(6,))
    assert other.implied is None
    assert "scored under the likelihood that was given" in other.statement
    scores = {
        name: evaluate(each.vae, data, nll=20)
        for name, each in (
            ("theirs", found),
            ("again", import_model(source, loss="bce", event_shape=(6,))),
        )
    }
    assert "again" in str(compare(scores))
    assert elbo_terms(found.vae, x).elbo.shape == (60,)


@pytest.mark.parametrize(
    ("source", "given", "error", "message"),
    [
        ("keras:m", {}, DeclarationError, "expected pythae:, diffusers: or torch:"),
        ("pythae:", {}, DeclarationError, "expected pythae:"),
        ("pythae:none", {}, CheckpointError, "expected a folder, but there is none"),
        ("torch:none.py:f", {}, DeclarationError, "there is no file none.py"),
        ("torch:FILE:none", {}, CheckpointError, "expected a function none that returns a module"),
        ("torch:FILE:linear", {}, CheckpointError, r"with encode\(x\).*got Linear"),
        ("torch:FILE:broken", {}, CheckpointError, r"broken\(\) ended with ValueError: no"),
        ("torch:FILE:trained", {}, DeclarationError, "event_shape: expected the shape of one"),
        ("torch:FILE:trained", {"event_shape": (6,)}, DeclarationError, "does not say by which"),
        ("torch:FILE:trained", {"event_shape": (6,), "loss": "bce", "kl_weight": 2.0},
         DeclarationError, "a Bernoulli to a power"),
        ("torch:FILE:trained", {"event_shape": (6,), "likelihood": "poisson"},
         DeclarationError, "likelihood: expected one of what such a decoder gives"),
        ("torch:FILE:trained", {"event_shape": (6,), "loss": "mse", "reduction": "max"},
         DeclarationError, "reduction: expected sum or mean"),
        ("torch:FILE:trained", {"event_shape": (7,), "loss": "mse"},
         IncompatibleComponents, r"encode: .*failed on \(2, 7\)"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(source, given, error, message, file):
    with pytest.raises(error, match=message):
        import_model(source.replace("FILE", str(file)), **given)
