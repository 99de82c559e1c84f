"""The explorer, without a browser: its widgets' values are what a notebook shows."""

from __future__ import annotations

import base64
import importlib.util
import io
import re

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from pyro_vae import VAE, as_dataset, explore, fit, load_data
from pyro_vae.core.errors import DataError
from pyro_vae.report.numbers import MISSING
from tests.variants import handed_over

pytest.importorskip("ipywidgets", reason="ipywidgets is not installed")
NET = {"kind": "mlp", "hidden": [8]}


def a_vae(shape, latent_dim, **parts):
    torch.manual_seed(0)
    return VAE(shape, latent_dim, encoder=NET, decoder=NET, **parts)


@pytest.fixture(scope="module")
def digits():
    return load_data("digits")


def pixels(page, which=0):
    source = re.findall(r'src="data:image/png;base64,([^"]+)"', page)[which]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(source)))).astype(int)


def mean(vae, z):
    with torch.no_grad():
        return (255 * vae.decode(z[None]).mean[0, 0].clip(0, 1)).round().int().numpy()


def test_the_picture_is_the_decoders_mean_at_the_sliders(digits):
    vae = a_vae(digits.event_shape, 3)
    found = explore(vae, digits)
    assert np.abs(pixels(found.decoded.value) - mean(vae, found.codes[0])).max() <= 1
    z = torch.tensor([0.5, -1.0, 0.25])
    for m, slider in found.sliders.items():
        slider.min, slider.max = -3, 3
        slider.value = z[m].item()
    assert torch.equal(found.z, z)
    assert np.abs(pixels(found.decoded.value) - mean(vae, z)).max() <= 1


def test_the_sliders_stand_in_the_order_of_the_kl(digits):
    vae = a_vae(digits.event_shape, 3)
    with torch.no_grad():
        last = vae.encoder.layers[-1]
        last.weight.zero_()
        last.bias.copy_(torch.tensor([0.1, 5.0, 1.0, 0.0, 0.0, 0.0]))
    assert list(explore(vae, digits).sliders) == [1, 2, 0]


def test_another_datum_moves_the_sliders_to_its_code_and_shows_its_posterior(digits):
    vae = a_vae(digits.event_shape, 2)
    found = explore(vae, digits)
    found.chooser.value = 7
    x = digits.test.x[found.rows[7]][None]
    with torch.no_grad():
        q = vae.encode(x)
    assert torch.allclose(found.z, q.mean[0], atol=1e-6)
    assert f"datum 7, label {digits.test.labels[found.rows[7]]}" in found.others.value
    said = found.beside[0].value
    average, spread = map(float, re.search(r"q: (\S+) ± ([^,]+),", said).groups())
    assert average == pytest.approx(q.mean[0, 0].item(), abs=5 * q.stddev[0, 0].item() / 14)
    assert spread == pytest.approx(q.stddev[0, 0].item(), rel=0.25)
    names = [int(n) for n in re.findall(r"near: datum (\d+)", found.others.value)[::2]]
    away = (found.codes - found.codes[7]).norm(dim=1)
    assert names == [n for n in away.argsort().tolist() if n != 7][:5]


def test_a_click_on_the_map_takes_the_nearest_code_or_the_point_of_the_plane(digits):
    found = explore(a_vae(digits.event_shape, 2), digits)
    places = found._on_map(found.codes)
    found._clicked(*places[31])
    assert found.chooser.value == 31 or np.allclose(places[found.chooser.value], places[31])
    found._clicked(1.0, 1.0)  # the upper left corner, where no code is
    assert np.allclose(found._on_map(found.z[None])[0], [1.0, 1.0], atol=1e-3)


def test_a_click_takes_a_datum_in_more_dimensions(digits):
    found = explore(a_vae(digits.event_shape, 5), digits)
    found._clicked(*found._on_map(found.codes)[12])
    assert torch.equal(found.z, found.codes[found.chooser.value])


def test_a_z_outside_of_a_sliders_range_widens_it(digits):
    found = explore(a_vae(digits.event_shape, 2), digits)
    found.place(torch.tensor([50.0, -50.0]))
    assert (found.sliders[0].value, found.sliders[1].value) == (50.0, -50.0)


def test_a_table_of_several_kinds_is_shown_in_its_units_and_words():
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {"size": 100 + rng.normal(size=60), "kind": rng.choice(["ash", "oak"], 60)}
    )
    table.loc[::2, "size"] = np.nan
    vae = VAE.for_table(table, 2, encoder=NET, decoder=NET)
    fit(vae, table, epochs=1, step="pyro", show_progress=False)
    found = explore(vae, table)
    found.chooser.value = (found.x[:, 0].isnan()).int().argmax().item()
    page = found.decoded.value
    assert "size" in page
    assert MISSING in page
    assert "ash" in page or "oak" in page
    sizes = [float(n) for n in re.findall(r">(\d+\.\d+)<", page)]
    assert 90 < np.mean(sizes) < 110


def test_long_rows_of_one_dimensional_codes_are_cut():
    found = explore(a_vae((30,), 1), as_dataset(torch.randn(40, 30)))
    assert "the first 20 of 30 values" in found.decoded.value
    assert found.map.value.startswith("<svg")


def test_a_class_is_chosen_from_a_list_and_decoded(digits):
    vae = a_vae(digits.event_shape, 2, condition={"kind": "classes", "count": 10})
    found = explore(vae, digits)
    (chooser,) = found.conditions
    assert list(chooser.options) == list(range(10))
    found.chooser.value = 7
    own = digits.test.labels[found.rows[7]].item()
    assert chooser.value == own
    with torch.no_grad():
        q = vae.given(own, 1).encode(digits.test.x[found.rows[7]][None])
    assert torch.allclose(found.z, q.mean[0], atol=1e-6)
    drawn = {}
    for other in (own, (own + 1) % 10):
        chooser.value = other
        drawn[other] = pixels(found.decoded.value)
        assert np.abs(drawn[other] - mean(vae.given(other, 1), found.z)).max() <= 1
    assert len({image.tobytes() for image in drawn.values()}) == 2
    rebuilt = pixels(found.others.value)  # of the datum, under its own class
    assert np.abs(rebuilt - mean(vae.given(own, 1), found.codes[7])).max() <= 1


def test_numbers_that_condition_have_sliders_and_the_prior_follows_them():
    c = torch.tensor([[-2.0, 0.0], [3.0, 1.0]]).repeat(50, 1)
    vae = a_vae((4,), 3, condition={"kind": "vector", "size": 2}, prior="conditional")
    found = explore(vae, as_dataset(torch.randn(100, 4), condition=c))
    first, second = found.conditions
    assert (first.min, first.max, second.min, second.max) == (-2.0, 3.0, 0.0, 1.0)
    before = found.decoded.value
    first.value = 0.5
    assert "p(x|z, c)" in before
    assert found.decoded.value != before
    assert found._given().conditions.tolist() == [[0.5, second.value]]
    (draw,) = (b for b in found.widget.children[0].children[1].children[1].children
               if b.description == "draw z ~ p(z)")  # fmt: skip
    draw.click()
    assert found._given().conditions[0, 0] == 0.5
    assert [slider.value for m, slider in sorted(found.sliders.items())] == pytest.approx(
        found.z.tolist()
    )


def test_data_without_conditions_are_refused():
    vae = a_vae((4,), 2, condition={"kind": "vector", "size": 2})
    with pytest.raises(DataError, match="Expected a condition for each datum"):
        explore(vae, as_dataset(torch.randn(100, 4)))


def test_any_model_can_be_explored(vae):
    x = handed_over(vae, vae.generate(30, sample=True)).detach()
    held_out = {} if vae.posterior.amortized else {"validation": 0, "test": 0}
    data = as_dataset(x, missing="keep", **held_out)
    if not vae.posterior.amortized:
        vae.encoder.initialize(data.train.x)
    found = explore(vae, data)
    before = found.decoded.value + found.map.value
    next(iter(found.sliders.values())).value += 0.3
    assert found.decoded.value + found.map.value != before
    found._clicked(*found._on_map(found.codes)[1])
    assert torch.equal(found.z, found.codes[found.chooser.value])


def test_the_model_is_left_as_it_was(digits):
    vae = a_vae(digits.event_shape, 2).train()
    state = torch.get_rng_state()
    explore(vae, digits)
    assert vae.training
    assert torch.equal(torch.get_rng_state(), state)


def test_ipywidgets_missing_is_said(monkeypatch, digits):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"pip install 'pyro-vae\[notebooks\]'"):
        explore(a_vae(digits.event_shape, 2), digits)
