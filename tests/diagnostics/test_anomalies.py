"""Anomaly scores: against the exact log p(x), and with anomalies that the density misses."""

from __future__ import annotations

import io
import math

import numpy as np
import pandas
import pytest
import torch
from PIL import Image
from sklearn.metrics import roc_auc_score

from pyro_vae import VAE, anomaly_scores, as_dataset, fit, score_samples
from pyro_vae.core.errors import DataError, DeclarationError, IncompatibleComponents
from pyro_vae.evidence.exact import linear_gaussian
from tests.small_models import near_exact, stirred

ERROR = 0.05  # of 2,000 importance samples; a planted mistake is larger by far


@pytest.fixture
def split(known):
    torch.manual_seed(5)
    return as_dataset(known.generate(400, sample=True), name="simulated")


def exact(vae, x):
    return linear_gaussian(vae).log_evidence(x.double()).detach().numpy()


def test_typicality_is_the_distance_from_the_mean_of_log_p(known, split):
    x = split.test.x.double()
    expected = np.abs(exact(known, x) - exact(known, split.validation.x).mean())
    found = anomaly_scores(known, x, "typicality", data=split, samples=2000)
    assert found == pytest.approx(expected, abs=ERROR)
    train = as_dataset(split.train.x, validation=0, test=0)
    expected = np.abs(exact(known, x) - exact(known, train.train.x).mean())
    found = anomaly_scores(known, x, "typicality", data=train, samples=2000)
    assert found == pytest.approx(expected, abs=ERROR)


def test_the_likelihood_ratio_is_that_of_the_background_to_the_model(known, split):
    wide = stirred(known.swap().float())
    wide = near_exact(known.swap(encoder="linear"), wide)
    x = split.test.x.double()
    expected = exact(wide, x) - exact(known, x)
    assert np.abs(expected).max() > 1
    found = anomaly_scores(known, x, "likelihood_ratio", background=wide, samples=2000)
    assert found == pytest.approx(expected, abs=ERROR)


def test_the_elbo_is_below_log_p_by_little(known, split):
    x = split.test.x.double()
    gap = anomaly_scores(known, x, "elbo", samples=2000) + exact(known, x)
    assert (gap > -ERROR).all()
    assert gap.mean() < 1


def test_a_datum_that_is_too_likely_is_an_anomaly_by_typicality_alone(known, split):
    normal = split.test.x.double()
    mode = normal.mean(0, keepdim=True).expand_as(normal)  # a higher density than all others
    mixed, labels = torch.cat([normal, mode]), [0] * len(normal) + [1] * len(mode)
    auc = {
        method: roc_auc_score(labels, anomaly_scores(known, mixed, method, data=data))
        for method, data in {"elbo": None, "typicality": split}.items()
    }
    assert auc["elbo"] < 0.1
    assert auc["typicality"] > 0.8


@pytest.mark.parametrize(
    ("shape", "likelihood"),
    [
        ((6, 5), "gaussian"),
        ((1, 6, 5), "bernoulli"),
        ((3, 6, 5), "gaussian"),
        ((1, 1, 90), "laplace"),
    ],
)
def test_complexity_takes_off_the_length_of_a_file_that_holds_the_picture(
    shape, likelihood, monkeypatch
):
    torch.manual_seed(0)
    vae = VAE(shape, 2, likelihood=likelihood)
    x = (torch.rand(4, *shape) * 255).round() / 255
    if likelihood == "bernoulli":
        x = x.round()
    x[0] = 0
    files, save = [], Image.Image.save

    def spy(picture, file, *args, **options):
        save(picture, file, *args, **options)
        files.append(file.getvalue())

    monkeypatch.setattr(Image.Image, "save", spy)
    found = anomaly_scores(vae, x, "complexity", samples=10)
    for datum, file in zip(x, files, strict=True):
        picture = Image.open(io.BytesIO(file))
        assert picture.mode == {"bernoulli": "1"}.get(likelihood, "RGB" if shape[0] == 3 else "L")
        pixels = np.asarray(picture.convert("RGB" if shape[0] == 3 else "L")) / 255
        pixels = pixels.transpose(2, 0, 1) if shape[0] == 3 else pixels.reshape(shape)
        assert pixels == pytest.approx(datum.numpy(), abs=1e-6)
    log_p = -anomaly_scores(vae, x, "likelihood_ratio", background=vae, samples=10)
    assert log_p.tolist() == [0] * 4  # of a model to itself
    nats = np.array([len(file) for file in files]) * 8 * math.log(2)
    assert found == pytest.approx(-score_samples(vae, x, 10) - nats)
    assert nats[0] < nats[1:].min()


def test_a_table_is_scored_in_its_own_units_and_keeps_its_index():
    generator = np.random.default_rng(0)
    table = pandas.DataFrame(generator.normal(5, 100, (40, 2)), columns=["a", "b"]).set_index(
        np.arange(40) + 7
    )
    vae = VAE.for_table(table, latent_dim=1, missing="none")
    fit(vae, table, epochs=1, show_progress=False)
    scores = anomaly_scores(vae, table, "typicality", data=table)
    assert (scores.name, list(scores.index)) == ("typicality", list(table.index))
    z_scores = vae.transform(table.to_numpy())
    on_model_scale = anomaly_scores(vae, z_scores, "typicality", data=table)
    assert scores.to_numpy() == pytest.approx(on_model_scale)  # the log-scale cancels


@pytest.mark.parametrize(
    ("method", "given", "error", "message"),
    [
        ("typicalty", {}, DeclarationError, "got 'typicalty'; did you mean 'typicality'"),
        ("typicality", {}, DeclarationError, "data: typicality needs what the model was trained"),
        ("likelihood_ratio", {}, DeclarationError, "background: likelihood_ratio needs a model"),
        ("elbo", {"data": "digits"}, DeclarationError, "data: only typicality takes it"),
        ("elbo", {"samples": 1}, DataError, "samples: expected at least 2, got 1"),
        ("complexity", {}, DataError, "expected pictures of shape"),
        ("typicality", {"data": torch.zeros(9, 2)}, IncompatibleComponents, "event shape"),
        ("likelihood_ratio", {"background": VAE((3,), 2)}, IncompatibleComponents, "event shape"),
        (
            "likelihood_ratio",
            {"background": VAE((4,), 2, likelihood="poisson")},
            IncompatibleComponents,
            "of a density of the data, got of a probability",
        ),
    ],
)
def test_what_cannot_be_scored_is_refused(method, given, error, message):
    with pytest.raises(error, match=message):
        anomaly_scores(VAE((4,), 2), torch.zeros(3, 4), method, **given)


def test_values_that_are_no_intensities_have_no_picture():
    with pytest.raises(DataError, match=r"intensities from 0 to 1.*got values from 0 to 16"):
        anomaly_scores(VAE((2, 2), 2), torch.tensor([[[0.0, 16.0], [1, 1]]]), "complexity")


def test_a_conditional_model_takes_the_mean_over_data_with_their_own_conditions():
    torch.manual_seed(0)
    vae = VAE((3,), 2, condition={"kind": "classes", "count": 2}, prior="conditional").eval()
    data = as_dataset(torch.randn(100, 3), condition=torch.arange(100) % 2)
    x, c = data.test.x, data.test.condition
    found = anomaly_scores(vae.given(c), x, "typicality", data=data, samples=20)
    held_out = vae.given(data.validation.condition)
    mean = score_samples(held_out, data.validation.x, 20).mean()
    assert found == pytest.approx(np.abs(score_samples(vae.given(c), x, 20) - mean), abs=1e-5)
    with pytest.raises(DataError, match="condition"):
        anomaly_scores(vae, x, "elbo")
