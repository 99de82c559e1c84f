"""What is exported computes what the model does, without this package."""

import io
import warnings
from contextlib import redirect_stdout

import numpy as np
import pyro
import pytest
import torch
from torch import nn

from pyro_vae import as_dataset, elbo_terms, export
from pyro_vae.core.errors import DeclarationError, IncompatibleComponents
from pyro_vae.core.likelihood import Likelihood
from pyro_vae.core.network import Network
from pyro_vae.core.posterior import Posterior
from pyro_vae.data.standardization import Standardization
from pyro_vae.diagnostics.new_data import embed
from pyro_vae.sharing.export import TOLERANCE, _difference, _run
from pyro_vae.sharing.parts import Scorer, Static, _hypot, _lgamma, noise_size
from tests.variants import Z_CRIT, small_vae, stirred, variants

WITHOUT = {"per_example": "parameters only for the data"}  # posteriors with no static encoder
RANDOM = {  # and those whose draws are no function of normal noise
    "gaussian_mixture": "aten.multinomial",
    "student_t": "aten._standard_gamma",
    "power_spherical": "_sample_dirichlet",
} | WITHOUT
WITHOUT_ONNX = {"low_rank_normal": "linalg_cholesky"}  # of any part that encodes
SCORERS_WITHOUT_ONNX = {"multivariate_normal": "linalg_solve"} | WITHOUT_ONNX
LARGE = {"neural_spline", "real_nvp", "nice", "planar"}  # left to the slow test, as iaf is alike
IN_ONNX = [k for k in Posterior.kinds() if k not in {*WITHOUT, *WITHOUT_ONNX, *LARGE}]
PRIORS = {"power_spherical": "uniform_sphere", "hierarchical": "hierarchical"}


@pytest.fixture
def needs_onnx():
    for name in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(name)


def of_posterior(kind):
    return stirred(small_vae(posterior=kind, prior=PRIORS.get(kind, "standard_normal")))


def of_network(kind):
    event = {"temporal_conv": (3, 2)}.get(kind, (1, 8, 8))
    small = {"conv": {"channels": [2]}, "resnet": {"channels": [2], "blocks": 1}}
    net = {"kind": kind, **small.get(kind, {})}
    size = event[-1] if kind == "temporal_conv" else 2
    return stirred(small_vae(event_shape=event, latent_dim=size, encoder=net, decoder=net))


def kinds(family, *without):
    return [kind for kind in family.kinds() if kind not in without]


class Code(nn.Module):
    """A posterior's point estimate, given the encoder's output."""

    def __init__(self, posterior):
        super().__init__()
        self.posterior, self.input_shape = posterior, posterior.parameter_shape

    def forward(self, parameters):
        return self.posterior.point_estimate(self.posterior(parameters))


class All(nn.Module):
    """Many functions as one program, since the exporter takes seconds however small one is."""

    def __init__(self, parts):
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def inputs(self, size):
        return tuple(torch.randn(size, *part.input_shape) for part in self.parts)

    def forward(self, *given):
        with Static():
            return tuple(part(x) for part, x in zip(self.parts, given, strict=True))


@pytest.fixture(scope="module")
def onnx_outputs():
    """Each function's outputs by onnxruntime and by PyTorch, for another number of data."""
    for name in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(name)
    nets = {kind: of_network(kind) for kind in kinds(Network, "module_network")}
    made = {f"posterior {kind}": Code(of_posterior(kind).posterior) for kind in IN_ONNX}
    made |= {f"encoder {kind}": vae.encoder for kind, vae in nets.items()}
    made |= {f"decoder {kind}": vae.decoder for kind, vae in nets.items()}
    many = All(made.values()).eval().requires_grad_(False)
    with pyro.validation_enabled(False), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's
        batch = ({0: torch.export.Dim("N")},) * len(made)
        program = torch.export.export(many, many.inputs(3), dynamic_shapes=(batch,), strict=False)
        with redirect_stdout(io.StringIO()):
            content = torch.onnx.export(program, dynamo=True, optimize=False).model_proto
        x = many.inputs(5)
        session = onnx_session(content.SerializeToString())
        fed = {i.name: v.numpy() for i, v in zip(session.get_inputs(), x, strict=True)}
        return dict(zip(made, zip(session.run(None, fed), many(*x), strict=True), strict=True))


def onnx_session(content):
    import onnxruntime

    return onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize(
    "name",
    [
        *(f"posterior {kind}" for kind in IN_ONNX),
        *(f"{side} {kind}" for side in ("encoder", "decoder")
          for kind in kinds(Network, "module_network")),
    ],
)  # fmt: skip
def test_onnxruntime_computes_the_same(onnx_outputs, name):
    got, wanted = onnx_outputs[name]
    assert wanted.std() > 1e-3
    assert _difference(torch.from_numpy(got), wanted) <= TOLERANCE


@pytest.mark.parametrize("kind", RANDOM)
def test_scorers_without_a_static_form_are_refused_in_words(kind, tmp_path):
    with pytest.raises(IncompatibleComponents, match=RANDOM[kind]):
        export(of_posterior(kind), tmp_path, parts=["scorer"], onnx=False)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", kinds(Posterior, *RANDOM))
def test_a_scorers_mean_over_the_noise_is_the_elbo(kind):
    vae = of_posterior(kind).eval()
    x = torch.randn(3).expand(400, 3)
    with torch.no_grad():
        draws = Scorer(vae)(x, torch.randn(400, noise_size(vae)))
        other = elbo_terms(vae, x).elbo
    spread = (draws.var() + other.var()).div(400).sqrt()
    assert abs(draws.mean() - other.mean()) < Z_CRIT * spread


def test_data_go_in_and_come_out_in_their_own_units(tmp_path):
    x = 1000 + 50 * torch.randn(40, 3)
    vae = stirred(small_vae()).eval()
    vae.standardization = Standardization.of(x)
    made = {each.part: torch.export.load(each.file).module()
            for each in export(vae, tmp_path, onnx=False).files}  # fmt: skip
    z = embed(vae, x.numpy())
    assert np.allclose(made["encoder"](x).detach(), z, atol=1e-5)
    assert made["decoder"](torch.as_tensor(z)).mean() > 900
    plain = stirred(small_vae()).eval()
    plain.load_state_dict(vae.state_dict())
    noise = torch.randn(40, 2)
    there = Scorer(plain)(vae.transform(x.numpy()), noise) - vae.standardization.scale.log().sum()
    assert torch.allclose(made["scorer"](x, noise).double(), there.double(), rtol=1e-4, atol=1e-4)


def test_functions_that_onnx_lacks_are_spelt_out():
    x = torch.cat([torch.logspace(-6, 6, 1001), torch.arange(1.0, 200.0)])
    assert torch.allclose(_lgamma(x), x.lgamma(), rtol=1e-6, atol=1e-6)
    a, b = torch.tensor([[0.0, 3.0, 1e30, -1e-30], [0.0, -4.0, 1.0, 0.0]])
    assert torch.allclose(_hypot(a, b), torch.hypot(a, b))


def test_bad_requests_are_refused(tmp_path, monkeypatch):
    with pytest.raises(DeclarationError, match="expected some of encoder, decoder, scorer, got x"):
        export(small_vae(), tmp_path, parts=["x"])
    monkeypatch.setattr("pyro_vae.sharing.export.find_spec", lambda name: None)
    with pytest.raises(DeclarationError, match=r"ONNX needs onnx, .*pip install 'pyro-vae\["):
        export(small_vae(), tmp_path)


def test_the_command(trained, command, tmp_path):
    status, out, err = command("export", trained, "--out", tmp_path / "e", "--no-onnx")
    assert status == 0, err
    assert {path.name for path in (tmp_path / "e").iterdir()} == {
        "encoder.pt2", "decoder.pt2", "scorer.pt2"}  # fmt: skip
    assert "x (N, 1, 8, 8)" in out
    status, _, err = command("export", tmp_path / "none", "--no-onnx")
    assert (status, "is not a folder" in err) == (2, True)


def test_a_scorer_and_its_onnx_agree(needs_onnx, tmp_path):
    vae = stirred(small_vae())
    x = 3 + 2 * torch.randn(7, 3)
    vae.standardization = Standardization.of(x)
    result = export(vae, tmp_path, parts=["scorer"])
    assert [each.form for each in result.files] == ["torch.export", "ONNX"]
    assert all(each.difference <= TOLERANCE for each in result.files)
    noise = torch.randn(7, 2)
    got = _run((tmp_path / "scorer.onnx").read_bytes(), (x, noise))
    assert _difference(got, Scorer(vae.eval())(x, noise)) <= TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize("part", variants(Posterior, Likelihood))
def test_every_part_in_both_forms(part, needs_onnx, tmp_path):
    family, declared = part
    kind = declared["kind"]
    prior = PRIORS.get(kind, "standard_normal") if family is Posterior else "standard_normal"
    vae = stirred(small_vae(**{family.__name__.lower(): declared}, prior=prior))
    x = vae.generate(20, sample=True)
    vae.initialize(as_dataset(x, validation=0, test=0).train.x)
    for each in export(vae, tmp_path).files:
        known = RANDOM if each.part == "scorer" else WITHOUT
        if each.form == "ONNX":
            known = known | (SCORERS_WITHOUT_ONNX if each.part == "scorer" else WITHOUT_ONNX)
        encodes = each.part != "decoder" and family is Posterior
        expected = known.get(kind, "") if encodes else ""
        assert expected in each.reason
        assert bool(expected) == bool(each.reason)
        assert each.reason or each.difference <= TOLERANCE


CONDITIONS = {
    "classes": ({"kind": "classes", "count": 2}, torch.tensor([1, 0, 1, 1, 0])),
    "log_exposure": ("log_exposure", torch.linspace(-1, 1, 5)[:, None]),
}


@pytest.mark.parametrize("kind", CONDITIONS)
def test_the_parts_of_a_conditional_model_take_the_condition(kind, tmp_path):
    declared, c = CONDITIONS[kind]
    counts = kind == "log_exposure"
    parts = {"likelihood": "poisson"} if counts else {"prior": "conditional"}
    vae = stirred(small_vae(condition=declared, **parts)).eval()
    x, z, noise = torch.arange(15.0).reshape(5, 3), torch.randn(5, 2), torch.randn(5, 2)
    if not counts:
        vae.standardization = Standardization.of(x)
    made = {each.part: torch.export.load(each.file).module()
            for each in export(vae, tmp_path, onnx=False).files}  # fmt: skip
    given = vae.given(c)
    code = torch.as_tensor(embed(given, x.numpy()))
    assert torch.allclose(made["encoder"](x, c), code, atol=1e-5)
    mean = given.decode(z).mean
    mean = mean if counts else vae.standardization.inverse(mean)
    assert torch.allclose(made["decoder"](z, c).double(), mean.double(), rtol=1e-5)
    other = Scorer(vae)(x, noise, c)
    assert torch.allclose(made["scorer"](x, noise, c), other, rtol=1e-5)
    assert not torch.allclose(made["scorer"](x, noise, c.flip(0)), other, rtol=1e-2)
    x_many, c_many = (v.repeat(400, *[1] * (v.dim() - 1)) for v in (x, c))
    with torch.no_grad():
        draws = Scorer(vae)(x_many, torch.randn(2000, 2), c_many).reshape(400, 5)
        elbo = elbo_terms(given, vae.transform(x.numpy()), kl="sampled", particles=400).elbo
    elbo = elbo if counts else elbo - vae.standardization.scale.log().sum()
    assert ((draws.mean(0) - elbo).abs() < 2 * Z_CRIT * draws.std(0) / 20).all()


def test_a_conditional_model_in_onnx(needs_onnx, tmp_path):
    declared, c = CONDITIONS["classes"]
    vae = stirred(small_vae(condition=declared)).eval()
    result = export(vae, tmp_path, parts=["decoder"])
    assert all(each.file and "condition (N)" in each.inputs for each in result.files)
    z = torch.randn(5, 2)
    got = _run((tmp_path / "decoder.onnx").read_bytes(), (z, c))
    assert _difference(got, vae.given(c).decode(z).mean) <= TOLERANCE
