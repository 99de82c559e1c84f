"""The VAE for those who use it without Pyro: encode, decode, generate, swap, copy."""

import copy
import math
import re
import shutil
from importlib.util import find_spec

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from pyro_vae.core.errors import DataError, DeclarationError, IncompatibleComponents
from pyro_vae.core.likelihood import Likelihood
from pyro_vae.core.posterior import Posterior
from pyro_vae.core.prior import Prior
from pyro_vae.core.schema import docstring_formula
from pyro_vae.networks import MLP
from pyro_vae.priors import DiagonalNormal
from pyro_vae.vae import VAE
from tests.variants import NET, Z_CRIT, small_vae, stirred


class Counting(nn.Module):
    """A user's own encoder, with a layer and a buffer that training mode changes."""

    def __init__(self, width=4):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, width)
        )

    def forward(self, x):
        return self.layers(x)


def ids(vae):
    return {id(tensor) for tensor in vae.state_dict(keep_vars=True).values()}


def weights(vae):
    return copy.deepcopy(vae.state_dict())


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def test_shapes(vae, x):
    q = vae.encode(x)
    assert (q.batch_shape, q.event_shape) == ((6,), (2,))
    p = vae.decode(q.rsample(torch.Size([7])), x)
    assert (p.batch_shape, p.event_shape) == ((7, 6), (3,))
    assert vae.reconstruct(x).shape == (6, 3)
    assert vae.generate().shape == (1, 3)
    assert vae.generate(5).shape == vae.generate(5, sample=True).shape == (5, 3)
    assert vae.likelihood.support.check(x).all()


def test_pictures_and_scalars_are_data():
    assert small_vae(event_shape=(1, 2, 5)).generate(4).shape == (4, 1, 2, 5)
    scalar = small_vae(event_shape=())
    assert scalar.reconstruct(torch.zeros(4)).shape == (4,)


def test_reconstructions_are_the_mean_at_the_centre(vae, x):
    vae.eval()
    expected = vae.decode(vae.posterior.point_estimate(vae.encode(x))).mean
    assert torch.equal(vae.train().reconstruct(x), expected)


def test_generated_means_and_samples_are_what_they_say():
    vae = stirred(small_vae(likelihood={"kind": "gaussian", "scale": 0.1}))
    torch.manual_seed(1)
    z = vae.prior().sample(torch.Size([500]))
    means = vae.decode(z).mean.detach()
    torch.manual_seed(1)
    assert torch.equal(vae.generate(500), means)
    torch.manual_seed(1)
    noise = vae.generate(500, sample=True) - means
    stderr = 1 / math.sqrt(2 * noise.numel())  # of the logarithm of a standard deviation
    assert abs(math.log(noise.std() / 0.1)) < Z_CRIT * stderr


@pytest.mark.parametrize("call", ["reconstruct", "generate"])
def test_looking_takes_no_gradient_and_leaves_modes_and_buffers(call):
    vae = small_vae(encoder=Counting(), likelihood={"kind": "gaussian", "scale": "optimal"})
    vae.train()
    vae.encoder.module.layers[2].eval()
    modes = {module: module.training for module in vae.modules()}
    before = weights(vae)
    drawn = (
        vae.generate(5, sample=True) if call == "generate" else vae.reconstruct(torch.rand(5, 3))
    )
    assert not drawn.requires_grad
    assert modes == {module: module.training for module in vae.modules()}
    assert same(before, vae.state_dict())
    vae.encode(torch.rand(5, 3))
    assert not same(before, vae.state_dict())  # which a plain call in training mode does change


def test_modes_come_back_after_an_error():
    vae = small_vae().train()
    with pytest.raises(DataError):
        vae.reconstruct(torch.zeros(2, 4))
    assert all(module.training for module in vae.modules())


@pytest.mark.parametrize("call", ["encode", "reconstruct", "guide", "model"])
@pytest.mark.parametrize(
    ("x", "got"),
    [
        (torch.zeros(4), "one of shape (4,)"),
        (torch.zeros(2, 4), "one of shape (2, 4)"),
        (torch.zeros(2, 1, 3), "one of shape (2, 1, 3)"),
        (torch.tensor(1.0), "one of shape ()"),
        ([[1.0, 2.0, 3.0]], "[[1.0, 2.0, 3.0]]"),
    ],
)
def test_data_of_another_shape_are_refused(call, x, got):
    message = f"Expected x to be a tensor of shape (N, 3), got {got}"
    with pytest.raises(DataError, match=re.escape(message)):
        getattr(small_vae(), call)(x)


def test_a_guide_needs_data():
    with pytest.raises(DataError, match="got None"):
        small_vae().guide(None)


@pytest.mark.parametrize("flat", [True, False])
def test_ones_own_modules_are_encoder_and_decoder(flat):
    encoder = nn.Sequential(nn.Linear(3, 4), *([] if flat else [nn.Unflatten(1, (2, 2))]))
    vae = small_vae(encoder=encoder, decoder=nn.Linear(2, 3))
    x = torch.randn(6, 3)
    assert torch.equal(vae.encode(x).mean, encoder(x).reshape(6, 2, 2)[:, 0])
    assert vae.decode(torch.randn(7, 6, 2)).batch_shape == (7, 6)
    assert vae.declaration["encoder"] is encoder
    assert {"encoder.module.0.weight", "decoder.module.bias"} <= set(vae.state_dict())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"encoder": nn.Linear(3, 5)},
            "Linear: expected an output of shape (N, 2, 2) (or the same number of values, "
            "flattened) for an input of shape (N, 3), got (N, 5); change the network's last layer",
        ),
        ({"decoder": nn.Linear(2, 5)}, "Linear: expected an output of shape (N, 3)"),
        ({"encoder": nn.LSTM(3, 4)}, "LSTM: expected the module to return one tensor"),
        (
            {"encoder": MLP((5,), (2, 2), [4])},
            "MLP: expected a network from (3,) to (2, 2), got one from (5,) to (2, 2)",
        ),
        (
            {"prior": DiagonalNormal(5)},
            "prior(): expected a distribution of batch_shape () and event_shape (2,), got () and",
        ),
    ],
)
def test_parts_that_do_not_fit_are_refused_when_the_model_is_built(changes, message):
    with pytest.raises(IncompatibleComponents, match=re.escape(message)):
        small_vae(**changes)


def test_building_a_model_draws_only_its_weights():
    modules = {"encoder": Counting(), "decoder": nn.Linear(2, 3), "prior": DiagonalNormal(2)}
    state, buffers = torch.get_rng_state(), weights(modules["encoder"])
    VAE(event_shape=(3,), latent_dim=2, **modules)
    assert torch.equal(torch.get_rng_state(), state)
    assert same(buffers, modules["encoder"].state_dict())


def test_swap_changes_what_it_is_told_and_shares_nothing(vae):
    other = vae.swap(latent_dim=4, decoder="linear")
    assert other.latent_dim == 4
    changed = {"latent_dim": 4, "decoder": {"kind": "linear", "bias": True, "input": "none"}}
    assert other.declaration == vae.declaration | changed
    assert not ids(vae) & ids(other)
    assert other.generate(2).shape == (2, 3)


def test_swap_copies_ones_own_module_with_its_weights():
    vae = small_vae(encoder=Counting())
    other = vae.swap(prior="diagonal_normal")
    assert same(vae.encoder.state_dict(), other.encoder.state_dict())
    assert not ids(vae) & ids(other)
    mine = nn.Linear(3, 4)
    assert vae.swap(encoder=mine).encoder.module is mine


def test_swap_refuses_what_it_does_not_know():
    with pytest.raises(DeclarationError, match=r"priro: unknown argument; known here: event_sh"):
        small_vae().swap(priro="standard_normal", latent_dim=3)


def test_swap_keeps_the_subclass():
    class Own(VAE):
        """A user's own."""

    assert type(Own(event_shape=(3,), latent_dim=2, encoder=NET, decoder=NET).swap()) is Own


def test_a_copy_has_equal_weights_of_its_own(vae, x):
    other = copy.deepcopy(vae.train())
    assert same(vae.state_dict(), other.state_dict())
    assert not ids(vae) & ids(other)
    assert other.declaration == vae.declaration
    assert other.training
    assert torch.equal(other.reconstruct(x), vae.reconstruct(x))
    assert other._pyro_name != vae._pyro_name


def test_weights_come_back_from_a_file(vae, x, tmp_path):
    save_file(vae.state_dict(), tmp_path / "weights.safetensors")
    other = VAE(**vae.declaration)
    other.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    assert torch.equal(other.reconstruct(x), vae.reconstruct(x))


def test_repr_shows_the_parts(vae):
    total = sum(parameter.numel() for parameter in vae.parameters())
    assert f"{total:,} parameters" in repr(vae)
    for name in ("prior", "likelihood", "posterior", "decoder", "encoder"):
        row = next(line for line in repr(vae).splitlines() if line.startswith(name))
        assert vae.declaration[name]["kind"] in row
        count = sum(parameter.numel() for parameter in getattr(vae, name).parameters())
        assert row.endswith(f"{count:,}")
    shown = vae._repr_markdown_()
    assert shown.count("\n| ") == 1 + 1 + 5


def test_a_notebook_shows_the_densities_as_formulas():
    shown = VAE((4,), latent_dim=2, likelihood="bernoulli", posterior="iaf")._repr_markdown_()
    assert r"& p(z) = N(z \mid 0, I) \\" in shown
    assert r"\pi = \mathrm{sigmoid}(f(z))" in shown
    assert r"z_{t-1,\lt m}" in shown  # no tag of HTML
    assert "_repr_html_" not in dir(VAE)  # which notebooks would prefer


@pytest.mark.parametrize("there", [True, False])
def test_a_notebook_shows_the_graph_of_the_model_or_what_that_needs(there, monkeypatch):
    if there and (find_spec("graphviz") is None or shutil.which("dot") is None):
        pytest.skip("Graphviz is not installed")
    if not there:
        monkeypatch.setattr(shutil, "which", lambda name: None)
    vae = VAE((4,), latent_dim=2, likelihood="multinomial")
    state = torch.get_rng_state()
    shown = vae._repr_markdown_()
    assert shown.endswith("</details>")
    assert ("data:image/svg+xml;base64," in shown) == there
    assert ("the program dot" in shown) != there
    assert torch.equal(torch.get_rng_state(), state)


def test_a_model_that_cannot_be_drawn_is_shown_with_the_reason(heavy_tailed, monkeypatch):
    pytest.importorskip("graphviz", reason="Graphviz is not installed")
    monkeypatch.setattr(shutil, "which", lambda name: "dot")
    vae = VAE((4,), latent_dim=2)
    vae.prior.forward = lambda: 1 / 0
    assert "It cannot be drawn: ZeroDivisionError" in vae._repr_markdown_()


def test_a_class_without_a_formula_is_named(heavy_tailed):
    vae = VAE((4,), latent_dim=2, prior="heavy_tailed")
    assert r"& p(z) \text{: HeavyTailed} \\" in vae._repr_markdown_()


@pytest.mark.parametrize("family", [Prior, Likelihood, Posterior])
def test_every_kind_has_a_formula_of_balanced_brackets(family):
    for cls in family.kinds().values():
        formula = docstring_formula(cls)
        assert formula, cls
        assert formula.count("{") == formula.count("}"), cls
        assert formula.count(r"\left") == formula.count(r"\right"), cls
        assert not re.search(r"&|\\\\", formula), cls  # it is one line of several


def test_a_model_can_be_in_double_precision(vae, x):
    vae.double()
    assert vae.reconstruct(x.double()).dtype == torch.double
    assert vae.generate(2, sample=True).dtype == torch.double


def test_a_module_that_fails_on_its_input_is_said_to():
    with pytest.raises(
        IncompatibleComponents, match=r"Linear: expected a module that maps \(N, 2\)"
    ):
        VAE((4,), 2, decoder=torch.nn.Linear(3, 4))
