import json
import math
import re

import pytest
from torch import nn

from pyro_vae.core.declaration import parse
from pyro_vae.core.errors import DeclarationError, PyroVAEError
from pyro_vae.core.likelihood import Likelihood
from pyro_vae.core.network import Network
from pyro_vae.core.posterior import Posterior
from pyro_vae.core.prior import Prior
from pyro_vae.likelihoods import Gaussian
from pyro_vae.networks import MLP
from pyro_vae.priors import StandardNormal
from pyro_vae.vae import VAE
from tests.variants import FAMILIES, build, small_vae, variants


@pytest.mark.parametrize("component", variants(*FAMILIES))
def test_a_declaration_builds_what_it_declares(component):
    family, declaration = component
    first = build(family, declaration)
    second = build(family, json.loads(json.dumps(first.declaration)))
    assert declaration.items() <= first.declaration.items()
    assert second.declaration == first.declaration
    assert type(second) is type(first) is family.kinds()[declaration["kind"]]
    shapes = [{k: v.shape for k, v in c.state_dict().items()} for c in (first, second)]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize("component", variants(*FAMILIES))
def test_a_mapping_has_the_defaults_and_nothing_that_the_model_fills_in(component):
    family, declaration = component
    declared = parse(family, declaration, "component")
    assert declared.mapping == build(family, declaration).declaration
    assert not {"latent_dim", "event_shape", "input_shape"} & set(declared.mapping)


def test_a_name_a_mapping_and_a_module_mean_the_same():
    given = ["gaussian", {"kind": "gaussian"}, Gaussian(event_shape=(3,))]
    declared = [small_vae(likelihood=likelihood).declaration for likelihood in given]
    assert declared[0] == declared[1] == declared[2]
    assert declared[0]["likelihood"] == {"kind": "gaussian", "scale": "learned"}


def test_a_model_comes_back_from_its_declaration(vae):
    again = VAE(**json.loads(json.dumps(vae.declaration)))
    assert again.declaration == vae.declaration
    shapes = [{k: v.shape for k, v in m.state_dict().items()} for m in (vae, again)]
    assert shapes[0] == shapes[1]


BAD = [
    (Prior, "standart_normal", "unknown prior 'standart_normal'; known: .*; did you mean 'standa"),
    (
        Prior,
        {"kind": "xyz"},
        r"p: unknown prior 'xyz'; known: conditional, diagonal_normal, .*standard_normal.*$",
    ),
    (Prior, 3, "p: must be a name or a mapping with 'kind', got 3; known: cond"),
    (Prior, None, "must be a name or a mapping with 'kind', got None"),
    (Prior, ["standard_normal"], "must be a name or a mapping with 'kind', got "),
    (Prior, {"scale": 1}, "must be a name or a mapping with 'kind', got {'scale': 1}"),
    (Prior, {"kind": ["standard_normal"]}, r"unknown prior \['standard_normal'\]"),
    (Prior, {"kind": None}, "unknown prior None"),
    (Prior, {"kind": "standard_normal", "scale": 1}, r"p\.scale: unknown argument; it takes no"),
    (Prior, {"kind": "standard_normal", 3: 1}, r"p\.3: must be text, got 3"),
    (Prior, {"kind": "standard_normal", "latent_dim": 2}, r"p\.latent_dim: unknown argument"),
    (
        Likelihood,
        {"kind": "gaussian", "scael": 1},
        r"p\.scael: .*known here: scale; did you mean 's",
    ),
    (Likelihood, {"kind": "gaussian", "scale": -1}, r"scale: must be > 0 or learned, .*, got -1"),
    (Likelihood, {"kind": "gaussian", "scale": "lerned"}, "scale: must be .*learned.*'lerned'"),
    (Likelihood, {"kind": "gaussian", "scale": math.nan}, "scale: must be .*, got nan"),
    (Likelihood, {"kind": "gaussian", "scale": math.inf}, "scale: must be a finite .*, got inf"),
    (Posterior, {"kind": "diagonal_normal", "max_scale": math.inf}, "must be a finite number"),
    (Posterior, {"kind": "diagonal_normal", "min_scale": "1"}, "min_scale: must be a number, got"),
    (Posterior, {"kind": "diagonal_normal", "min_scale": True}, "must be a number, got True"),
    (Network, {"kind": "mlp", "hidden": 4}, r"p\.hidden: must be a list, got 4"),
    (Network, {"kind": "mlp", "hidden": "44"}, r"p\.hidden: must be a list, got '44'"),
    (Network, {"kind": "mlp", "hidden": [4, -1]}, r"p\.hidden\.1: must be > 0, got -1"),
    (Network, {"kind": "mlp", "hidden": [4.5]}, r"p\.hidden\.0: must be a whole number, got 4.5"),
    (Network, {"kind": "mlp", "activation": "rleu"}, "relu.*, got 'rleu'; did you mean 'relu'"),
    (Network, {"kind": "linear", "bias": "no"}, "bias: must be true or false, got 'no'"),
]


@pytest.mark.parametrize(("family", "value", "message"), BAD)
def test_bad_declarations_are_refused_with_the_reason(family, value, message):
    with pytest.raises(DeclarationError, match=message) as caught:
        parse(family, value, "p")
    assert isinstance(caught.value, PyroVAEError)
    assert caught.value.__cause__ is None
    assert len(caught.value.problems) == 1


def test_all_that_is_wrong_with_a_model_is_said_at_once():
    with pytest.raises(DeclarationError) as caught:
        VAE(
            event_shape=(3, -1),
            latent_dim=0,
            prior="standart_normal",
            likelihood={"kind": "gaussian", "scale": -1, "colour": "red"},
            decoder={"kind": "mlp", "hidden": [4, 0]},
            posterior=nn.Linear(1, 1),
            encoder=7,
        )
    text = str(caught.value)
    assert text.startswith("The VAE's declaration has 8 problems:\n  event_shape: must be")
    paths = ["event_shape", "latent_dim", "prior", "likelihood.scale", "likelihood.colour",
             "decoder.hidden.1", "posterior", "encoder"]  # fmt: skip
    assert [line.partition(":")[0] for line in caught.value.problems] == paths
    assert all(f"\n  {path}: " in text for path in paths)


@pytest.mark.parametrize("event_shape", [3, "3", None, (0,), (3.0,), (True,), [3, -1], {3}])
def test_event_shapes_that_are_none_are_refused(event_shape):
    message = "event_shape: must be the sizes of one datum, each > 0, got"
    with pytest.raises(DeclarationError, match=message):
        small_vae(event_shape=event_shape)


@pytest.mark.parametrize("latent_dim", [0, -1, 2.0, True, "2", None])
def test_latent_sizes_that_are_none_are_refused(latent_dim):
    message = f"latent_dim: must be a whole number > 0, got {re.escape(repr(latent_dim))}"
    with pytest.raises(DeclarationError, match=message):
        small_vae(latent_dim=latent_dim)


@pytest.mark.parametrize("name", ["prior", "likelihood", "posterior", "encoder", "decoder"])
def test_a_module_of_another_family_is_refused(name):
    strange = MLP((3,), (2,)) if name in ("prior", "likelihood") else StandardNormal(2)
    message = f"{name}: must be a .*, got a module of type {type(strange).__name__}"
    with pytest.raises(DeclarationError, match=message):
        small_vae(**{name: strange})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: StandardNormal(0), "StandardNormal has 1 problem:\n  standard_normal.latent_dim"),
        (lambda: StandardNormal(latent_dim=2.5), "latent_dim: must be a whole number, got 2.5"),
        (lambda: Gaussian((3,), -1.0), r"gaussian.scale: must be > 0 or learned"),
        (lambda: Gaussian(event_shape="ab"), r"gaussian.event_shape: must be a list, got 'ab'"),
        (lambda: MLP((3,), (2,), [0]), r"mlp.hidden.0: must be > 0, got 0"),
    ],
)
def test_a_component_of_ones_own_making_is_checked_too(make, message):
    with pytest.raises(DeclarationError, match=message):
        make()


def test_min_and_max_of_a_scale_are_compared():
    bad = {"kind": "diagonal_normal", "min_scale": 2.0, "max_scale": 1.0}
    with pytest.raises(DeclarationError, match=r"min_scale: must be < max_scale \(1.0\), got 2.0"):
        small_vae(posterior=bad)


def test_lists_are_taken_for_tuples():
    assert Gaussian(event_shape=[1, 3]).event_shape == (1, 3)
    assert small_vae(event_shape=[3]).event_shape == (3,)
