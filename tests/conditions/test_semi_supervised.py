"""Classes that are missing for some data: the model M2, held to sums by hand and to Pyro's."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas
import pyro
import pytest
import torch
from pyro.infer import SVI
from pyro.infer import TraceEnum_ELBO as PyrosTraceEnum_ELBO
from pyro.nn import pyro_method

from pyro_vae import VAE, as_dataset, audit_elbo, compare, evaluate, fit, importance_sampling, load
from pyro_vae.cli.app import app, guarded
from pyro_vae.compiled import backends
from pyro_vae.conditions import SemiSupervised
from pyro_vae.core.errors import DataError, DeclarationError, IncompatibleComponents
from pyro_vae.data import Digits
from pyro_vae.data.conditions import conditioned
from pyro_vae.distributions.bounds import MAX_SCALE
from pyro_vae.evidence.exact import linear_gaussian
from pyro_vae.experiment.run import scored_data
from pyro_vae.objectives.enumerated_elbo import TraceEnum_ELBO
from pyro_vae.objectives.kl import kl_exact
from pyro_vae.objectives.terms import elbo_terms
from tests.small_models import stirred
from tests.variants import NET, small_vae

P = [0.2, 0.3, 0.5]
CLASSES = {"kind": "semi_supervised", "count": 3, "classifier": NET, "prior": P, "weight": 2.0}
LABELS = torch.tensor([0, -1, 2, -1, -1, 1])
QUIET = {"show_progress": False}


def m2(**changes):
    torch.manual_seed(0)
    return stirred(small_vae(**({"condition": CLASSES} | changes)))


@pytest.fixture
def x():
    return torch.randn(6, 3, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def clusters():
    """Data about a mean for each class, and their classes."""
    rng = torch.Generator().manual_seed(0)
    classes = torch.arange(240) % 3
    noise = 0.5 * torch.randn(240, 3, generator=rng)
    return 4.0 * torch.nn.functional.one_hot(classes, 3) + noise, classes


# the bound ---------------------------------------------------------------------------------------


@torch.no_grad()
def exact_m2():
    """A linear-Gaussian M2 whose guide is its posterior, so that each draw gives log p(x)."""
    linear = CLASSES | {"classifier": "linear"}
    vae = m2(latent_dim=1, decoder="linear", encoder="linear", condition=linear).double().eval()
    points = torch.cat([torch.zeros(1, 3), torch.eye(3)]).double()
    models = [linear_gaussian(vae.given(y, 4)) for y in range(3)]
    posteriors = [model.posterior(points) for model in models]
    affine = vae.encoder.network.affine
    raw = posteriors[0].variance[0].sqrt().log() / math.log(MAX_SCALE)
    means = torch.stack([q.mean[:, 0] for q in posteriors])  # (class, point)
    affine.weight.zero_()
    affine.weight[0, :3] = means[0, 1:] - means[0, 0]
    affine.weight[0, 3:] = means[:, 0]
    affine.bias.copy_(torch.cat([torch.zeros(1), math.log(MAX_SCALE) * raw / (1 - raw**2).sqrt()]))
    joint = log_joint(vae, points)
    against = joint - joint[0]  # linear in x, since the covariances are equal
    vae.classifier.affine.bias.copy_(against[:, 0])
    vae.classifier.affine.weight.copy_(against[:, 1:] - against[:, :1])
    return vae


def log_joint(vae, x):
    """The exact log p(x, y), ``(K, N)``."""
    torch.testing.assert_close(vae.log_p.exp().flatten(), torch.tensor(P).double())
    models = [linear_gaussian(vae.given(y, len(x))) for y in range(3)]
    return torch.stack([model.log_evidence(x) for model in models]) + vae.log_p


def test_at_the_exact_posterior_the_bound_is_the_evidence(x):
    vae, x = exact_m2(), x.double()
    joint = log_joint(vae, x).detach()
    known = torch.where(LABELS < 0, joint.logsumexp(0), joint[LABELS, torch.arange(6)])
    close = {"rtol": 1e-9, "atol": 1e-9}
    torch.testing.assert_close(vae.classify(x), joint.softmax(0).mT, **close)
    for model, evidence in ((vae, joint.logsumexp(0)), (vae.given(LABELS), known)):
        terms = elbo_terms(model, x, kl="sampled")
        torch.testing.assert_close(terms.elbo.detach(), evidence, **close)
        estimate = importance_sampling(model, x, samples=5)
        torch.testing.assert_close(estimate.log_evidence, evidence, **close)
    first = vae.given(LABELS).at(slice(1))  # a batch whose class is known
    torch.testing.assert_close(elbo_terms(first, x[:1], kl="sampled").elbo.detach(), known[:1])
    loss = TraceEnum_ELBO(max_plate_nesting=1).loss(vae.model, vae.guide, x)
    assert loss == pytest.approx(-joint.logsumexp(0).sum().item(), rel=1e-9)


@pytest.mark.parametrize("parts", [{}, {"prior": "conditional"}, {"posterior": "iaf"}], ids=str)
@pytest.mark.parametrize("particles", [1, 3])
@pytest.mark.parametrize("labels", [(), (LABELS,)], ids=["unlabelled", "some labels"])
def test_value_and_gradient_are_those_of_pyros_traceenum_elbo(parts, particles, labels, x):
    vae, x = m2(**parts).double(), x.double()
    options = {"num_particles": particles, "vectorize_particles": particles > 1}
    found = []
    for kind in (TraceEnum_ELBO, PyrosTraceEnum_ELBO):
        torch.manual_seed(0)
        vae.zero_grad()
        loss = kind(max_plate_nesting=1, **options)
        value = loss.loss_and_grads(vae.model, vae.guide, x, *labels)
        gradients = [p.grad for p in vae.parameters() if p.grad is not None]
        found.append((value, torch.cat([gradient.flatten() for gradient in gradients])))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-9)
    torch.testing.assert_close(found[0][1], found[1][1], rtol=1e-7, atol=1e-9)


def test_labels_add_their_loss_and_the_terms_are_kept(x):
    vae = m2().double()
    loss = TraceEnum_ELBO("exact", max_plate_nesting=1)
    torch.manual_seed(0)
    value = loss.loss(vae.model, vae.guide, x.double(), LABELS)
    torch.manual_seed(0)
    terms = elbo_terms(vae.given(LABELS), x.double())
    known = LABELS >= 0
    right = vae.classify(x.double())[known, LABELS[known]].log().sum().item()
    assert loss.log_likelihood.item() == pytest.approx(terms.log_likelihood.sum().item())
    assert loss.kl.item() == pytest.approx(terms.kl.sum().item())
    assert -value == pytest.approx(terms.elbo.sum().item() + 2.0 * right)
    assert loss.bound.item() == pytest.approx(-value)


PARTS = [
    {"event_shape": (1, 8, 8), "encoder": {"kind": "conv", "channels": [3]},
     "decoder": {"kind": "conv", "channels": [3]}},
    {"missing": "zero_and_mask"},
    {"prior": "conditional", "likelihood": "bernoulli"},
    {"likelihood": {"kind": "columns", "columns": {"0": {"kind": "categorical", "categories": 2},
                                                   "1-2": "bernoulli"}}},
]  # fmt: skip


@pytest.mark.parametrize("parts", PARTS, ids=lambda parts: next(iter(parts.values())))
def test_classes_at_once_are_classes_one_after_another(parts):
    vae = m2(**parts).double().eval()
    data = (torch.rand(4, *vae.event_shape) > 0.5).double()
    if "missing" in parts:
        data[0, 1] = torch.nan
    each = vae.each_class()
    q = each.encode(data)
    z = torch.randn(3, 4, 2).double()
    for y in range(3):
        given = vae.given(y, 4)
        torch.testing.assert_close(q.mean[y], given.encode(data).mean)
        found = each.decode(z, data).log_prob(data)[y]
        torch.testing.assert_close(found, given.decode(z[y], data).log_prob(data))
        kl = kl_exact(q, each.prior())[y]
        torch.testing.assert_close(kl, kl_exact(given.encode(data), given.prior()))
    torch.testing.assert_close(vae.classify(data).sum(1), torch.ones(4).double())
    assert elbo_terms(vae, data).elbo.isfinite().all()


# the audit ---------------------------------------------------------------------------------------


class UniformPrior(VAE):
    """A model whose program forgets the declared p(y)."""

    @pyro_method
    def model(self, x, condition=None):
        with pyro.plate("data", len(x), dim=-1):
            uniform = pyro.distributions.Categorical(torch.ones(3, dtype=x.dtype))
            vae = self._bound(pyro.sample("y", uniform)) if self.sums_out else self
            z = pyro.sample("z", vae.prior())
            return pyro.sample("x", vae.likelihood(vae.decoder(z), x), obs=x)


def test_the_audit_passes_and_catches_a_wrong_prior_of_classes(x):
    vae, loss = m2(), TraceEnum_ELBO("exact", max_plate_nesting=1)
    audit = audit_elbo(vae, x[:3], loss=loss, particles=100, gradients=10)
    assert audit.passed, audit
    rows = {check.quantity for check in audit.checks}
    of = "ELBO, classes summed out"
    assert {"elbo, classes summed out", of, f"gradient of the {of}: classifier"} <= rows
    wrong = UniformPrior(**vae.declaration)
    wrong.load_state_dict(vae.state_dict())
    failures = audit_elbo(wrong, x[:3], particles=100, gradients=0).failures
    assert "elbo, classes summed out" in {check.quantity for check in failures}


# training ----------------------------------------------------------------------------------------


def test_training_learns_the_classes_from_few_labels(clusters):
    data = as_dataset(*clusters, labelled=15)
    assert (data.train.condition >= 0).sum() == 15
    condition = CLASSES | {"weight": 10.0, "classifier": "linear", "prior": None}
    vae = m2(condition=condition, decoder="linear", encoder="linear")
    result = fit(vae, data, objective={"kind": "elbo", "kl": "exact"}, epochs=60, lr=0.02,
                 batch_size=56, step="pyro", **QUIET)  # fmt: skip
    assert {"objective", "validation_elbo"} <= set(result.history[-1])
    scores = evaluate(vae, data, nll=20, **QUIET)
    assert scores.accuracy.value > 0.9  # by chance: 1/3
    assert scores.accuracy.draws == len(data.test)
    assert scores.elbo.value < -scores.nll.value
    assert compare({"one": scores, "same": evaluate(vae.swap(), data, nll=20, **QUIET)}).verdicts
    nearest = vae.generate(40, condition=2).argmax(1)
    assert (nearest == 2).float().mean() > 0.9
    assert vae.generate(5).shape == (5, 3)


def test_the_compiled_step_is_pyros(clusters, monkeypatch):
    monkeypatch.setattr(backends, "_compiled", lambda capture, options: capture.graph)
    data = as_dataset(*clusters, labelled=30, validation=0, test=0)
    found = []
    for step in ("pyro", "compiled"):
        torch.manual_seed(0)
        result = fit(m2(), data, epochs=3, lr=0.03, batch_size=120, step=step, **QUIET)
        found.append([epoch["objective"] for epoch in result.history])
    assert "captured in" in result.step
    assert found[1] == pytest.approx(found[0], rel=1e-5)


def test_pyros_own_svi_trains_it(x):
    vae = m2()
    before = vae.classify(x)
    svi = SVI(vae.model, vae.guide, pyro.optim.Adam({"lr": 0.1}),
              PyrosTraceEnum_ELBO(max_plate_nesting=1))  # fmt: skip
    assert math.isfinite(svi.step(x, LABELS))
    assert (vae.classify(x) != before).all()


# data --------------------------------------------------------------------------------------------


def test_labels_are_kept_equally_by_class_and_are_part_of_the_identity():
    one, again, other = (Digits(labelled=n, seed=s).load() for n, s in ((25, 0), (25, 0), (25, 1)))
    known = one.train.condition[one.train.condition >= 0]
    assert sorted(known.bincount(minlength=10).tolist()) == [2] * 5 + [3] * 5
    kept = one.train.condition >= 0
    assert torch.equal(one.train.condition[kept], one.train.labels[kept])
    assert torch.equal(one.test.condition, one.test.labels)
    assert torch.equal(one.train.condition, again.train.condition)
    assert one.identity == again.identity != other.identity
    assert one.identity != Digits().load().identity
    assert "25 training data labelled; conditions [sha256 " in str(one.identity)


def test_labels_that_are_missing_are_minus_one_or_nan(clusters):
    x, classes = clusters
    gaps = classes.double().masked_fill(torch.arange(240) % 2 == 0, math.nan)
    for given in (gaps, gaps.nan_to_num(nan=-1).long(), gaps.nan_to_num(nan=-1).numpy()):
        data = conditioned(as_dataset(x, given), SemiSupervised(3))
        assert (data.train.condition == -1).any()
        assert set(data.train.condition.long().tolist()) == {-1, 0, 1, 2}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"labels": None}, "labelled: expected data with labels"),
        ({"labelled": 500}, "labelled: expected at most 168 training data, got 500"),
        ({"condition": torch.zeros(240)}, "labelled: expected labels alone, got conditions too"),
    ],
)
def test_labels_that_cannot_be_kept_are_refused_in_words(clusters, given, message):
    x, labels = clusters
    with pytest.raises(DataError, match=message):
        as_dataset(x, **({"labels": labels, "labelled": 10} | given))
    with pytest.raises(DeclarationError, match="labelled"):
        as_dataset(x, labels, labelled=0)


# runs --------------------------------------------------------------------------------------------


def test_a_run_is_trained_audited_scored_and_loaded(clusters, tmp_path, command):
    x, classes = clusters
    frame = pandas.DataFrame(x.numpy(), columns=["a", "b", "c"]).assign(kind=classes.numpy())
    frame.to_csv(tmp_path / "t.csv", index=False)
    arguments = [
        "train", "data.kind=csv", f"data.path={tmp_path / 't.csv'}", "data.label=kind",
        "data.labelled=12", "model.condition={kind: semi_supervised, count: 3, weight: 10}",
        "model.condition.classifier={kind: mlp, hidden: [8]}", "model.latent_dim=2",
        "model.decoder.hidden=[8]", "guide.encoder.hidden=[8]", "train.step=pyro", "-q",
        "train.epochs=3", "--no-audit", "--out", tmp_path / "run",
    ]  # fmt: skip
    assert guarded(lambda: app(list(map(str, arguments)), standalone_mode=False)) == 0
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert 0 <= metrics["scores"]["accuracy"]["value"] <= 1
    assert (tmp_path / "run" / "pictures" / "classes.png").is_file()
    vae = load(tmp_path / "run")
    assert vae.classify(x.numpy()).shape == (240, 3)
    assert VAE(**vae.declaration).declaration == vae.declaration
    status, text, _ = command("evaluate", tmp_path / "run", "--nll", 5, "--data-count", 20)
    assert status == 0
    assert {"accuracy", "labelled;"} <= set(text.split())
    frame.drop(columns="kind").to_csv(tmp_path / "new.csv", index=False)
    for act in ("encode", "score"):  # of new data, which have no labels
        new = (tmp_path / "run", tmp_path / "new.csv", "--out", tmp_path / "z.npy")
        assert command(act, *new)[0] == 0
    out = ("-n", 3, "--out", tmp_path / "x.npy")
    assert command("generate", tmp_path / "run", *out)[0] == 0
    assert command("generate", tmp_path / "run", "--condition", 2, *out)[0] == 0
    data = conditioned(as_dataset(x, classes), vae.condition)
    assert scored_data(vae, data, 2, 0)[0].sums_out  # what is audited


# what is refused ---------------------------------------------------------------------------------


def test_classes_without_the_declaration_are_not_missing(clusters):
    x, classes = clusters
    plain = small_vae(condition={"kind": "classes", "count": 3})
    with pytest.raises(DataError, match="-1, condition: semi_supervised takes account"):
        fit(plain, as_dataset(x, classes, labelled=9), epochs=1, **QUIET)
    with pytest.raises(DataError, match="Expected data without conditions"):
        fit(small_vae(), as_dataset(x, classes, labelled=9), epochs=1, **QUIET)


@pytest.mark.parametrize("objective", ["iwae", "renyi", {"kind": "elbo", "beta": 2.0}], ids=str)
def test_an_objective_that_cannot_sum_is_refused(clusters, objective):
    with pytest.raises(IncompatibleComponents, match="expected objective elbo with beta 1"):
        fit(m2(), as_dataset(*clusters), objective=objective, epochs=1, **QUIET)


def test_what_needs_a_class_says_so(x, clusters):
    vae = m2()
    for act in (vae.encode, vae.reconstruct, vae.given(LABELS).encode):
        with pytest.raises(DataError, match="Expected a condition for each datum"):
            act(x)
    with pytest.raises(DataError, match="expected one for each of 6 data, got 2"):
        elbo_terms(vae.given([-1, 0]), x)
    with pytest.raises(DataError, match=r"expected classes.*or -1 where one is missing.*: -2"):
        vae.given([0, -2, 1])
    with pytest.raises(DataError, match="Expected a model that classifies"):
        small_vae().classify(x)
    with pytest.raises(IncompatibleComponents, match="Annealing: expected a model that sums out"):
        evaluate(vae, as_dataset(*clusters), ais=True, **QUIET)
    with pytest.raises(IncompatibleComponents, match="expected classes that are known"):
        fit(vae, as_dataset(clusters[0], np.full(240, -1)), epochs=1, **QUIET)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"count": 1}, DeclarationError, "condition.count: must be at least 2"),
        ({"prior": [0.5, 0.5]}, DeclarationError, "condition.prior: must be 3 probabilities"),
        ({"prior": [0.5, 0.5, 0.0]}, DeclarationError, "condition.prior: must be 3 probabilities"),
        ({"weight": -1.0}, DeclarationError, "weight"),
        ({"classifier": "mpl"}, DeclarationError, "unknown network 'mpl'"),
        ({"posterior": "per_example"}, IncompatibleComponents, "got per_example; choose another"),
    ],
)
def test_a_declaration_that_does_not_fit_is_refused_in_words(changes, error, message):
    parts = {"posterior": changes.pop("posterior")} if "posterior" in changes else {}
    with pytest.raises(error, match=message):
        small_vae(condition=CLASSES | changes, **parts)
