import json
import subprocess
import sys

import pytest
import torch

from pyro_vae.core.declaration import parse
from pyro_vae.core.errors import DeclarationError
from pyro_vae.data import Digits, Source

NEEDED = {
    "array": {"path": "x.npy"},
    "csv": {"path": "x.csv"},
    "huggingface": {"path": "ylecun/mnist"},
    "image_folder": {"path": "images"},
    "parquet": {"path": "x.parquet"},
    "sparse_counts": {"path": "x.npz"},
    "torchvision": {"name": "CIFAR100"},
}
OFFICIAL = {"binarized_mnist", "celeba"}  # whose validation split is not the user's to choose


@pytest.fixture(params=sorted(Source.kinds()))
def source(request):
    return parse(Source, {"kind": request.param, **NEEDED.get(request.param, {})}, "data").build()


def test_declaration_round_trip(source):
    declared = json.loads(json.dumps(source.declaration))
    assert parse(Source, declared, "data").build().declaration == source.declaration
    assert {"binarization", "seed"} < set(declared)
    assert ("validation" in declared) == (source.kind not in OFFICIAL)
    assert repr(source).startswith(f"{type(source).__name__}(")


def test_kinds_are_named_for_their_files():
    known = {
        "array",
        "binarized_mnist",
        "celeba",
        "cifar10",
        "csv",
        "digits",
        "emnist",
        "fashion_mnist",
    }
    known |= {"image_folder", "kmnist", "mnist", "omniglot", "sparse_counts", "svhn"}
    known |= {"huggingface", "parquet", "torchvision", "twenty_newsgroups"}
    assert known <= set(Source.kinds())
    for kind, cls in Source.kinds().items():
        assert cls.__module__ == f"pyro_vae.data.{kind}"


def test_all_problems_of_a_declaration_at_once():
    declared = {"kind": "digits", "binarization": "dinamic", "validation": 1.5, "sed": 3}
    with pytest.raises(DeclarationError) as caught:
        parse(Source, declared, "data")
    assert len(caught.value.problems) == 3
    assert "data.validation: must be a fraction in [0, 1) or a whole number" in str(caught.value)


def test_digits():
    data = Digits(binarization="none", seed=3).load()
    assert data.event_shape == (1, 8, 8)
    assert data.identity.value_range == (0.0, 1.0)
    assert str(data.identity).startswith("digits [sha256 ")
    assert str(data.identity).endswith(
        "train 1258, validation 180, test 359; split seed 3; binarization none]"
    )
    assert (data.train.x * 16 % 1 == 0).all()
    assert Digits(seed=3).load().identity == data.identity
    labels = torch.cat([split.labels for split in data.splits.values()])
    assert labels.bincount().tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_import_is_light():
    heavy = ("torchvision", "sklearn", "scipy", "PIL", "pandas", "pyro_vae.vae")
    code = f"import sys, pyro_vae.data; print([m for m in {heavy} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
