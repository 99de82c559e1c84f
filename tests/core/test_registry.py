"""A user's own component registers by being defined, and its name works at once."""

import copy
import inspect

import pyro.distributions as dist
import pytest
import torch
from torch import nn

from pyro_vae import save
from pyro_vae.core.declarable import snake_case
from pyro_vae.core.errors import CheckpointError, DeclarationError
from pyro_vae.core.network import Network
from pyro_vae.core.prior import Prior
from pyro_vae.core.schema import argument_help, arguments_model
from pyro_vae.networks import MLP
from pyro_vae.priors import StandardNormal
from tests.variants import small_vae

pytestmark = pytest.mark.usefixtures("registries")

CELL = '''
import pyro.distributions as dist
import torch
from pyro_vae import Prior

class WideNormal(Prior):
    """A wide one."""

    def __init__(self, latent_dim: int, width: float = {width}, shape: tuple[int, ...] = (1, 2)):
        super().__init__()
        self.loc = torch.nn.Parameter(torch.zeros(latent_dim))
        self.width = width

    def forward(self):
        return dist.Normal(self.loc, self.width).to_event(1)
'''


def run_cell(source, name="__main__"):
    scope = {"__name__": name}
    exec(compile(source, "<cell>", "exec", dont_inherit=True), scope)
    return scope


@pytest.mark.parametrize(
    ("name", "kind"),
    [("MLP", "mlp"), ("GatedMLP", "gated_mlp"), ("Beta2VAE", "beta2_vae"), ("A", "a")],
)
def test_kinds_are_in_snake_case(name, kind):
    assert snake_case(name) == kind


def test_a_component_of_a_notebook_cell_works_by_name_at_once():
    assert "wide_normal" not in Prior.kinds()
    run_cell(CELL.format(width=3.0))
    assert "wide_normal" in Prior.kinds()
    vae = small_vae(prior="wide_normal")
    assert vae.prior().stddev.tolist() == [3.0, 3.0]
    narrow = vae.swap(prior={"kind": "wide_normal", "width": 0.5, "shape": [4]})
    assert narrow.prior().stddev.tolist() == [0.5, 0.5]
    declared = {"kind": "wide_normal", "width": 0.5, "shape": [4]}
    assert narrow.declaration["prior"] == declared
    assert narrow.swap().declaration["prior"] == declared
    with pytest.raises(DeclarationError, match=r"prior\.width: must be a number, got 'x'"):
        small_vae(prior={"kind": "wide_normal", "width": "x"})


def test_a_cell_that_runs_again_replaces_its_class():
    run_cell(CELL.format(width=3.0))
    first = small_vae(prior="wide_normal")
    run_cell(CELL.format(width=7.0))
    for anew in (small_vae(prior="wide_normal"), first.swap(prior="wide_normal")):
        assert anew.prior().stddev[0] == 7.0
    for kept in (first, copy.deepcopy(first)):
        assert kept.prior().stddev[0] == 3.0


def test_a_cell_that_runs_again_may_take_other_arguments():
    run_cell(CELL.format(width=3.0))
    small_vae(prior="wide_normal")
    run_cell(
        CELL.format(width=3.0).replace("shape: tuple[int, ...] = (1, 2)", "mean: float = 1.0")
    )
    vae = small_vae(prior={"kind": "wide_normal", "mean": 2.0})
    assert vae.declaration["prior"] == {"kind": "wide_normal", "width": 3.0, "mean": 2.0}
    with pytest.raises(DeclarationError, match=r"prior\.shape"):
        small_vae(prior={"kind": "wide_normal", "shape": [4]})


def test_a_model_of_a_cell_that_ran_again_is_not_saved_as_another(tmp_path):
    run_cell(CELL.format(width=9.0)
             .replace("self.width)", "3.0)"))  # fmt: skip
    first = small_vae(prior="wide_normal")
    run_cell(CELL.format(width=9.0).replace("self.width)", "7.0)"))
    with pytest.raises(CheckpointError, match="another value"):
        save(first, tmp_path / "model")


@pytest.mark.parametrize("name", ["__main__", "elsewhere"])
def test_another_class_of_a_taken_name_is_refused(name):
    cell = CELL.format(width=3.0).replace("WideNormal", "StandardNormal")
    message = r"standard_normal: expected a new kind of Prior, but .*StandardNormal has that name"
    with pytest.raises(DeclarationError, match=message):
        run_cell(cell, name)
    assert Prior.kinds()["standard_normal"] is StandardNormal


def test_kinds_of_two_families_may_share_a_name():
    class Linear(Prior):
        """One named as a network is."""

        def forward(self):
            return dist.Normal(torch.zeros(2), 1.0).to_event(1)

    assert Prior.kinds()["linear"] is Linear
    assert Network.kinds()["linear"] is not Linear


def test_a_class_without_a_constructor_takes_no_arguments():
    class Fixed(Prior):
        """Nothing to declare."""

        def forward(self):
            return dist.Normal(torch.zeros(2), 1.0).to_event(1)

    vae = small_vae(prior="fixed")
    assert vae.declaration["prior"] == {"kind": "fixed"}
    with pytest.raises(DeclarationError, match=r"prior\.args: unknown argument; it takes no"):
        small_vae(prior={"kind": "fixed", "args": 1})


def test_keyword_arguments_are_those_of_the_base():
    class ScaledMLP(MLP):
        """An MLP whose output is multiplied."""

        def __init__(self, factor: float = 2.0, activation: str = "none", **kwargs):
            super().__init__(**kwargs)
            self.factor = factor

        def transform(self, x):
            return self.factor * super().transform(x)

    vae = small_vae(encoder={"kind": "scaled_mlp", "factor": 3.0, "hidden": [5]})
    usual = MLP(input_shape=(3,), output_shape=(2,)).declaration
    own = {"kind": "scaled_mlp", "factor": 3.0, "activation": "none", "hidden": [5]}
    expected = usual | own
    assert vae.declaration["encoder"] == expected
    assert vae.encoder.layers[0].out_features == 5
    direct = ScaledMLP(input_shape=(3,), output_shape=(2,), hidden=[6])
    assert direct.declaration == expected | {"factor": 2.0, "hidden": [6]}
    with pytest.raises(DeclarationError, match=r"hidden\.0: must be > 0.*|unknown"):
        small_vae(encoder={"kind": "scaled_mlp", "hidden": [0]})


def test_arguments_without_annotations_take_anything():
    class Free(Network):
        """Annotated nowhere."""

        def __init__(self, input_shape, output_shape, width=3):
            super().__init__(input_shape, output_shape)
            self.layer = nn.Linear(input_shape[0], output_shape[0] * width)

        def transform(self, x):
            return self.layer(x)[:, :3]

    assert small_vae(decoder="free").declaration["decoder"] == {"kind": "free", "width": 3}


def test_abstract_classes_are_no_kinds_and_subclasses_of_a_kind_are():
    class Halfway(Prior):
        """Without a forward."""

    class Quiet(StandardNormal):
        """A standard normal by another name."""

    assert "halfway" not in Prior.kinds()
    assert small_vae(prior="quiet").declaration["prior"] == {"kind": "quiet"}
    assert list(Prior.kinds()) == sorted(Prior.kinds())


@pytest.mark.parametrize("cls", [cls for f in (Network, Prior) for cls in f.kinds().values()])
def test_every_argument_has_a_description(cls):
    fields = arguments_model(cls, declared=False).model_fields
    assert {
        name: field.description for name, field in fields.items() if not field.description
    } == {}


def test_arguments_are_described_by_a_docstring_of_any_indentation():
    class Narrow:
        """Summary.

        Args:
            size: How many,
                all told.
            rate (float): Of what.

        References:
            | one: two
        """

    described = argument_help(Narrow)
    assert described == {"size": "How many, all told.", "rate": "Of what."}
    dedented = inspect.cleandoc(Narrow.__doc__)  # as Python 3.13 stores it
    for text in (dedented, dedented.replace("    ", "  "), dedented.replace("\n", "\n  ")):
        Narrow.__doc__ = text
        assert argument_help(Narrow) == described
