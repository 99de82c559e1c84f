import json
from dataclasses import replace

import pytest
import torch

from pyro_vae.core.errors import DataError
from pyro_vae.data import Identity, as_dataset

X = torch.linspace(0, 1, 400).reshape(100, 4)


def identity(x=X, **changes):
    return as_dataset(x, **changes).identity


def test_equal_where_data_splits_and_preprocessing_are():
    assert identity() == identity()
    assert hash(identity()) == hash(identity())
    assert identity() == identity(X.double())
    assert identity() == identity(name="another name")
    assert identity() == identity(labels=torch.arange(100))


@pytest.mark.parametrize(
    "changes",
    [
        {"validation": 0.2},
        {"test": 10},
        {"seed": 1},
        {"binarization": "static"},
        {"binarization": "dynamic"},
        {"binarization": "threshold"},
        {"x": X + torch.eye(100, 4) * 1e-6},
        {"x": X.reshape(100, 2, 2)},
        {"x": X.flip(0)},
        {"x": X * 255},
    ],
)
def test_unequal_where_one_of_them_differs(changes):
    assert identity() != identity(**changes)


def test_digest_is_of_the_values_before_any_draw():
    digests = {identity(binarization=b).sha256 for b in ("none", "static", "dynamic")}
    assert len(digests) == 1
    assert len(digests.pop()) == 12


def test_round_trip_through_json():
    one = identity(binarization="dynamic", name="ramp")
    again = Identity.from_dict(json.loads(json.dumps(one.to_dict())))
    assert (again, again.name, str(again)) == (one, "ramp", str(one))
    assert again.value_range == (0.0, 1.0)


@pytest.mark.parametrize("change", [{"unknown": 1}, {"seed": None}])
def test_other_fields_are_refused(change):
    fields = identity().to_dict() | change
    if change == {"seed": None}:
        del fields["seed"]
    with pytest.raises(DataError, match=r"expected the fields name, sha256, .*, got name"):
        Identity.from_dict(fields)


def test_what_was_done_to_the_values_is_compared_and_shown():
    one = identity()
    other = replace(one, preprocessing="middle 4 x 4")
    assert one != other
    assert str(other).endswith("binarization none; middle 4 x 4]")
    assert Identity.from_dict(other.to_dict()) == other


def test_identities_from_before_there_was_preprocessing_are_read():
    fields = identity().to_dict()
    assert fields.pop("preprocessing") == "none"
    assert Identity.from_dict(fields) == identity()
