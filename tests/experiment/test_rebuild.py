"""What is saved loads to the same model, in the same precision, or is refused when it is saved."""

import pyro.distributions as dist
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune, weight_norm

from pyro_vae import VAE, Prior, evaluate, load, load_data, save
from pyro_vae.core.errors import CheckpointError
from pyro_vae.experiment.declaration import Experiment
from pyro_vae.experiment.run import run_experiment
from tests.variants import COVERING

NET = {"kind": "mlp", "hidden": [8], "dropout": 0.1}


def a_vae(**changes):
    return VAE((1, 3, 2), 2, **({"encoder": NET, "decoder": NET} | changes))


def layer(vae):
    return next(m for m in vae.encoder.modules() if isinstance(m, nn.Linear))


def set_scale(vae):
    vae.likelihood.scale = 0.3


def set_bounds(vae):
    vae.posterior.max_scale = 2.0


def compile_encoder(vae):
    vae.encoder = torch.compile(vae.encoder)


def swap_activation(vae):
    at = next(i for i, m in enumerate(vae.encoder.layers) if isinstance(m, nn.ReLU))
    vae.encoder.layers[at] = nn.Tanh()


def set_dropout(vae):
    next(m for m in vae.decoder.modules() if isinstance(m, nn.Dropout)).p = 0.4


def tie(vae):
    linear = [m for m in vae.decoder.modules() if isinstance(m, nn.Linear)]
    linear[0].bias = next(m for m in vae.encoder.modules() if isinstance(m, nn.Linear)).bias


def one_part_in_double(vae):
    vae.decoder.double()


def patch_forward(vae):
    vae.decoder.transform = lambda z: torch.ones(len(z), 6)


def hook(vae):
    vae.decoder.register_forward_hook(lambda module, given, y: 2 * y)


def move_a_buffer(vae):
    vae.prior.zeros.fill_(0.5)


CHANGES = {
    set_scale: "likelihood.scale: expected 0.1, as declared, got 0.3",
    set_bounds: "posterior.max_scale: expected 1000.0, as declared, got 2.0",
    compile_encoder: "encoder: expected .*MLP, as declared, got .*OptimizedModule",
    swap_activation: "encoder.layers.*: expected torch.*ReLU, as declared, got .*Tanh",
    set_dropout: "decoder.*p: expected 0.1, as declared, got 0.4",
    tie: "expected weights shared as declared",
    one_part_in_double: "expected one precision",
    patch_forward: r"p\(x\|z\): the declared model .* computes another value",
    hook: r"p\(x\|z\): the declared model .* computes another value",
    move_a_buffer: "prior.zeros: expected the declared model's values",
    lambda vae: parametrizations.weight_norm(layer(vae)): "ParametrizedLinear",
    lambda vae: parametrizations.spectral_norm(layer(vae)): "ParametrizedLinear",
    lambda vae: prune.l1_unstructured(layer(vae), "weight", 0.5): "weight_orig",
    lambda vae: vae.register_buffer("more", torch.ones(1)): "more",
}


@pytest.mark.parametrize("change", CHANGES, ids=lambda f: f.__name__)
def test_a_model_changed_after_it_was_built_is_refused(tmp_path, change):
    vae = a_vae(likelihood={"kind": "gaussian", "scale": 0.1})
    change(vae)
    with pytest.raises(CheckpointError, match=CHANGES[change]):
        save(vae, tmp_path / "m")
    assert not (tmp_path / "m").exists()


@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
def test_the_old_weight_norm_is_refused(tmp_path):
    vae = a_vae()
    weight_norm(layer(vae))
    with pytest.raises(CheckpointError, match="weight_g"):
        save(vae, tmp_path / "m")


def test_a_parametrization_that_was_removed_is_saved(tmp_path):
    vae = a_vae()
    parametrizations.weight_norm(layer(vae))
    parametrize.remove_parametrizations(layer(vae), "weight")
    prune.l1_unstructured(layer(vae), "weight", 0.5)
    prune.remove(layer(vae), "weight")
    again = load(save(vae, tmp_path / "m"))
    x = torch.randn(5, 1, 3, 2)
    assert torch.equal(again.encode(x).mean, vae.eval().encode(x).mean)


def test_a_bare_module_in_the_place_of_a_part_is_refused(tmp_path):
    vae = a_vae()
    vae.decoder = nn.Linear(2, 6)
    with pytest.raises(
        CheckpointError, match=r"decoder: expected .*ModuleNetwork, as declared, got"
    ):
        save(vae, tmp_path / "m")


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_it_comes_back_in_its_own_precision(tmp_path, dtype):
    vae = a_vae().to(dtype)
    again = load(save(vae, tmp_path / "m"))
    x = torch.randn(5, 1, 3, 2).to(dtype)
    assert again.prior.zeros.dtype == dtype
    assert torch.equal(again.encode(x).mean, vae.eval().encode(x).mean)


@pytest.mark.parametrize("changes", [triple.values[0] for triple in COVERING[::4]], ids=str)
def test_components_come_back_in_double(tmp_path, changes):
    vae = a_vae(**changes).double()
    again = load(save(vae, tmp_path / "m"))
    state = again.state_dict()
    assert all(torch.equal(v, state[k]) for k, v in vae.state_dict().items())
    assert all(v.dtype == state[k].dtype for k, v in vae.state_dict().items())


def test_the_loaded_model_has_the_same_score(tmp_path):
    data = load_data("digits")
    vae = VAE(data.event_shape, 4, likelihood={"kind": "gaussian", "scale": 0.3})
    again = load(save(vae, tmp_path / "m"))
    mine, others = (evaluate(v, data).terms.elbo for v in (vae, again))
    assert torch.equal(mine, others)


def test_a_model_with_weights_that_are_nan_is_refused(tmp_path):
    vae = a_vae()
    nn.init.constant_(layer(vae).weight, torch.nan)
    with pytest.raises(CheckpointError, match=r"got NaN in \w+\..*weight"):
        save(vae, tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_the_generators_and_the_modes_are_left_alone(tmp_path):
    vae = a_vae()
    vae.decoder.eval()
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    save(vae, tmp_path / "m")
    assert torch.equal(torch.rand(1), expected)
    assert vae.encoder.training
    assert not vae.decoder.training


@pytest.fixture(autouse=True)
def own_kinds(registries):
    """The kinds of this file, which no other test shall find."""
    Prior._registry.update(OWN)


class AnnealedPrior(Prior):
    """Its scale is a plain number that training changes."""

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.register_buffer("loc", torch.zeros(latent_dim))
        self.temperature = 1.0

    def forward(self):
        if self.training:
            self.temperature *= 0.99
        return dist.Normal(self.loc, self.temperature).to_event(1)


def test_a_run_whose_training_changes_a_plain_number_says_so(tmp_path):
    experiment = Experiment.read(
        {"model": {"prior": "annealed_prior"}, "train": {"epochs": 1, "step": "pyro"}}
    )
    with pytest.warns(UserWarning, match=r"prior.temperature: expected 1.0, as declared, got"):
        run_experiment(experiment, tmp_path / "run", audit=False, show_progress=False)
    assert (tmp_path / "run" / "metrics.json").exists()


class ForgetfulPrior(Prior):
    """Its mean is drawn when it is built, and not kept."""

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.loc = torch.randn(latent_dim)

    def forward(self):
        return dist.Normal(self.loc, 1.0).to_event(1)


OWN = {kind: Prior._registry.pop(kind) for kind in ("annealed_prior", "forgetful_prior")}


def test_a_component_that_forgets_a_draw_is_refused_before_it_is_trained(tmp_path):
    with pytest.raises(CheckpointError, match=r"p\(z\): the declared model"):
        save(a_vae(prior="forgetful_prior"), tmp_path / "m")
    experiment = Experiment.read({"model": {"prior": "forgetful_prior"}, "train": {"epochs": 1}})
    with pytest.raises(CheckpointError, match=r"p\(z\): the declared model"):
        run_experiment(experiment, tmp_path / "run", show_progress=False)
    assert not (tmp_path / "run").exists()
