"""Whatever a declaration holds, it is read or refused, and nothing else happens."""

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyro_vae.core.declaration import Declared, parse
from pyro_vae.core.errors import DeclarationError, IncompatibleComponents
from tests.variants import FAMILIES, small_vae

KINDS = sorted({kind for family in FAMILIES for kind in family.kinds()})
ARGUMENTS = [
    "kind",
    "scale",
    "hidden",
    "activation",
    "bias",
    "min_scale",
    "max_scale",
    "df",
    "components",
]

plain = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 30),
    st.floats(-2, 2),
    st.sampled_from([float("nan"), float("inf"), -float("inf"), b"ab", {1}, (1,), object()]),
    st.sampled_from([*KINDS, "learned", "optimal", "relu"]),
    st.text(max_size=6),
)
keys = st.one_of(st.sampled_from(ARGUMENTS), st.text(max_size=4), st.integers(0, 3), st.none())
values = st.recursive(
    plain,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=5,
)
mappings = st.builds(
    lambda kind, rest: rest | {"kind": kind},
    st.sampled_from(KINDS) | plain,
    st.dictionaries(keys, values, max_size=3),
)
declarations = values | mappings


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
@given(value=declarations)
@settings(max_examples=60, deadline=None)
def test_reading_a_component(family, value):
    with suppress(DeclarationError):  # and no other error
        declared = parse(family, value, "component")
        assert isinstance(declared, Declared)
        again = parse(family, declared.mapping, "component")
        assert again.mapping == declared.mapping


@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_building_a_model(data):
    names = st.sampled_from(["prior", "likelihood", "decoder", "posterior", "encoder"])
    changes = data.draw(st.dictionaries(names, declarations, min_size=1, max_size=2))
    sizes = st.sampled_from(["event_shape", "latent_dim"])
    changes |= data.draw(st.dictionaries(sizes, values, max_size=1))
    with suppress(DeclarationError, IncompatibleComponents):
        vae = small_vae(**changes)
        assert vae.generate(2).shape == (2, *vae.event_shape)
