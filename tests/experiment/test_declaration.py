"""The whole declaration: defaults, overrides, errors, round trip, JSON schema."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyro_vae.core.errors import DeclarationError
from pyro_vae.core.prior import Prior
from pyro_vae.experiment.catalogue import catalogue
from pyro_vae.experiment.declaration import DEFAULTS, FAMILIES, Experiment, json_schema
from pyro_vae.experiment.yaml_file import dump, override, parse_value, read_yaml


def test_an_empty_declaration_is_whole():
    mapping = Experiment.read({}).mapping
    assert mapping["data"]["kind"] == "digits"
    assert mapping["model"]["prior"] == {"kind": "standard_normal"}
    assert mapping["train"]["epochs"] == 50


def test_round_trip_through_yaml(tmp_path):
    first = Experiment.read({"model": {"event_shape": [1, 8, 8], "prior": "diagonal_normal"},
                             "train": {"lr": 1e-3}})  # fmt: skip
    (tmp_path / "x.yaml").write_text(dump(first.mapping))
    again = Experiment.read(read_yaml(tmp_path / "x.yaml"))
    assert again.mapping == first.mapping
    assert again.build().declaration == first.build().declaration


@pytest.mark.parametrize("family", FAMILIES)
def test_every_kind_is_in_the_schema_and_in_the_catalogue(family):
    schema = json.dumps(json_schema())
    listed = str(catalogue(family)[0])
    for kind, cls in FAMILIES[family].kinds().items():
        assert f'"{kind}"' in schema
        assert kind in listed
        assert cls.summary() in listed


def test_every_setting_has_a_description():
    for definition in json_schema()["$defs"].values():
        for name, field in definition["properties"].items():
            assert name == "kind" or field.get("description"), (definition["title"], name)


def test_a_component_of_ones_own_is_there_at_once(registries):
    class PurpleNormal(Prior):
        """A prior of one's own."""

        def __init__(self, latent_dim: int, hue: float = 0.5) -> None:
            super().__init__()

        def forward(self): ...

    assert Experiment.read({"model": {"prior": {"kind": "purple_normal", "hue": 0.1}}})
    assert "hue=0.5" in str(catalogue("prior")[0])
    assert "purple_normal" in json.dumps(json_schema())


def test_all_problems_at_once_with_paths_and_nearest_names():
    with pytest.raises(DeclarationError) as error:
        Experiment.read({
            "model": {"prior": {"kind": "xyz"}, "latent_dim": -1,
                      "likelihood": {"kind": "gaussian", "scal": 1.0}},
            "guide": {"encoder": {"kind": "mlp", "hidden": [10, "wide"]}},
            "train": {"epochs": 1.5},
            "objectve": "elbo",
        })  # fmt: skip
    assert error.value.problems == [
        "model.latent_dim: must be > 0, got -1",
        f"model.prior: unknown prior 'xyz'; known: {', '.join(Prior.kinds())}",
        "model.likelihood.scal: unknown argument; known here: scale; did you mean 'scale'?",
        "guide.encoder.hidden.1: must be a whole number, got 'wide'",
        "train.epochs: must be a whole number, got 1.5",
        "objectve: unknown argument; known here: data, model, guide, objective, train, seeds; did "
        "you mean 'objective'?",
    ]


def test_a_shape_that_is_not_the_datas_is_refused():
    experiment = Experiment.read({"model": {"event_shape": [3, 3]}})
    with pytest.raises(DeclarationError, match=r"must be the shape of the data, \[1, 8, 8\]"):
        experiment.for_data(experiment.load_data())


@pytest.mark.parametrize(
    ("assignments", "expected"),
    [
        (["train.epochs=3"], {"train": {"epochs": 3}}),
        (["model.prior=diagonal_normal"], {"model": {"prior": "diagonal_normal"}}),
        (["data.binarization=static"], {"data": {"kind": "digits", "binarization": "static"}}),
        (["data.kind=mnist", "data.root=d"], {"data": {"kind": "mnist", "root": "d"}}),
        (
            ["model.decoder.hidden=[4, 2]"],
            {"model": {"decoder": {"kind": "mlp", "hidden": [4, 2]}}},
        ),
        (["train.lr=1e-3"], {"train": {"lr": 1e-3}}),
        (["train.patience=null"], {"train": {"patience": None}}),
    ],
)
def test_overrides(assignments, expected):
    changed = override({}, assignments, DEFAULTS)
    for section, values in expected.items():
        for name, value in values.items():
            assert changed[section][name] == value


def test_an_override_does_not_change_what_it_is_laid_over():
    mapping = {"model": {"prior": {"kind": "standard_normal"}}}
    override(mapping, ["model.prior.kind=diagonal_normal"], DEFAULTS)
    assert mapping == {"model": {"prior": {"kind": "standard_normal"}}}
    assert DEFAULTS["data"] == "digits"


@pytest.mark.parametrize("order", [1, -1])
def test_a_new_kind_discards_the_old_arguments(order):
    mapping = {"objective": {"kind": "elbo", "kl": "exact"}, "data": {"kind": "digits", "seed": 3}}
    given = ["objective.kind=iwae", "objective.particles=7", "data.kind=digits"][::order]
    changed = override(mapping, given, DEFAULTS)
    assert changed["objective"] == {"kind": "iwae", "particles": 7}
    assert changed["data"] == {"kind": "digits", "seed": 3}
    assert Experiment.read(changed).objective.mapping["estimator"] == "pathwise"


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        (
            {"objective": {"kind": "elbo", "warm_up": 9}, "train": {"epochs": 8}},
            r"objective.warm_up: must be <= train.epochs.*got 9 epochs of warm-up in a run of 8",
        ),
        ({"objective": {"kind": "renyi", "alpha": 1.0}}, "renyi.alpha: must not be 1"),
    ],
)
def test_an_objective_without_meaning_is_refused_when_it_is_read(mapping, message):
    with pytest.raises(DeclarationError, match=message):
        Experiment.read(mapping)


@pytest.mark.parametrize("bad", ["train.epochs", "=3", "train..lr=1", ".x=1"])
def test_what_is_no_override(bad):
    with pytest.raises(DeclarationError, match="expected path=value"):
        override({}, [bad])


def test_a_path_below_a_number():
    with pytest.raises(DeclarationError, match="nothing below it"):
        override({"train": {"lr": 0.1}}, ["train.lr.x=1"])


@pytest.mark.parametrize(
    ("text", "message"),
    [("a: [1", "line 1, column 4|not valid YAML"), ("", "an empty file"), ("- 1", "got \\[1\\]"),
     ("a: 1\na: 2", "not valid YAML")],
)  # fmt: skip
def test_unreadable_files(tmp_path, text, message):
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(DeclarationError, match=message):
        read_yaml(tmp_path / "x.yaml")


def test_missing_and_binary_files(tmp_path):
    with pytest.raises(DeclarationError, match="No such file"):
        read_yaml(tmp_path / "x.yaml")
    (tmp_path / "x.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DeclarationError, match="UTF-8"):
        read_yaml(tmp_path / "x.yaml")


leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)
paths = st.sampled_from(
    ["data", "model", "guide", "objective", "train", "model.prior", "model.likelihood.scale",
     "guide.encoder.hidden", "train.lr", "x"]
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(path=paths, value=values)
def test_whatever_is_declared_only_a_declaration_error_is_raised(path, value):
    mapping: dict = {}
    *above, last = path.split(".")
    inner = mapping
    for step in above:
        inner = inner.setdefault(step, {"kind": "gaussian"} if step == "likelihood" else {})
    inner[last] = value
    with contextlib.suppress(DeclarationError):
        Experiment.read(mapping)


@settings(max_examples=100, deadline=None)
@given(text=st.text(max_size=20))
def test_any_text_is_a_value(text):
    parse_value(text)
