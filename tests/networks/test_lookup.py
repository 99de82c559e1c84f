"""The table of free parameters: its keys, its rows, and what it says to strangers."""

import copy
import struct

import pyro
import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from pyro_vae.core.errors import DataError, IncompatibleComponents
from pyro_vae.networks import MLP
from pyro_vae.networks import lookup as module
from pyro_vae.networks.lookup import SPEED, Lookup, keys_of
from tests.variants import small_vae, stirred

WORD = 2**64


def table_of(x, size=2):
    """A table that knows ``x``, each row with parameters of its own."""
    table = Lookup(tuple(x.shape[1:]), (2, size), "per_example")
    table.initialize(x)
    return stirred(table, size=1 / SPEED)


def splitmix64(word):
    word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9 % WORD
    word = (word ^ (word >> 27)) * 0x94D049BB133111EB % WORD
    return word ^ (word >> 31)


def key_by_hand(values):
    words = [struct.unpack("<Q", struct.pack("<d", value + 0.0))[0] for value in values]
    places = [place * 0x9E3779B97F4A7C15 for place in range(1, len(words) + 1)]
    key = sum(splitmix64((w + p) % WORD) for w, p in zip(words, places, strict=True)) % WORD
    return key - WORD if key >= WORD // 2 else key


@pytest.mark.parametrize("event", [(), (3,), (1, 2, 4)])
def test_keys_are_those_of_whole_numbers_by_hand(event):
    x = 3 * torch.randn(5, *event)
    expected = [key_by_hand(datum.flatten().double().tolist()) for datum in x]
    assert keys_of(x).tolist() == expected
    assert keys_of(x + 1e-6).tolist() != expected


def test_a_datum_has_one_key_in_every_batch_and_precision():
    x = torch.randn(300, 17)
    whole = keys_of(x)
    assert torch.equal(torch.cat([keys_of(part) for part in x.split(7)]), whole)
    assert torch.equal(keys_of(x.double()), whole)
    assert torch.equal(keys_of(x.half()), keys_of(x.half().float()))
    assert torch.equal(keys_of(torch.tensor([[-0.0]])), keys_of(torch.tensor([[0.0]])))


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_datum_has_one_key_on_every_device():
    x = torch.randn(300, 17)
    assert torch.equal(keys_of(x.cuda()).cpu(), keys_of(x))
    table = table_of(x)
    expected = table(x)
    assert torch.equal(table.cuda()(x.cuda()).cpu(), expected)


def test_data_that_differ_have_keys_that_differ():
    corners = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 14)
    one_pixel = torch.eye(784)
    counts = torch.cartesian_prod(*[torch.arange(8.0)] * 4)
    for x in (corners, one_pixel, counts):
        assert len(keys_of(x).unique()) == len(x)


def test_each_datum_finds_its_own_row():
    x = torch.randn(9, 3)
    table = table_of(x)
    parameters = table(x)
    assert parameters.shape == (9, 2, 2)
    assert len(parameters.flatten(1).unique(dim=0)) == 9
    order = torch.randperm(9)
    assert torch.equal(table(x[order]), parameters[order])
    assert torch.equal(table(x[4]), parameters[4])
    assert torch.equal(table(x.reshape(3, 3, 3)), parameters.reshape(3, 3, 2, 2))


def test_equal_data_share_a_row_and_gradient_reaches_no_other():
    x = torch.randn(4, 3)[[0, 1, 2, 1, 3]]
    table = table_of(x)
    assert len(table.table) == 4
    parameters = table(x)
    assert torch.equal(parameters[1], parameters[3])
    parameters[1].sum().backward()
    touched = (table.table.grad != 0).flatten(1)
    assert (touched.all(1) == touched.any(1)).all()
    assert touched.all(1).sum() == 1


def test_a_stranger_is_refused_with_what_to_do():
    x = torch.randn(5, 3)
    table = table_of(x[:3])
    message = r"per_example holds .* those 3, got 2 others among 5 \(first rows: \[3, 4\]\).*train"
    with pytest.raises(DataError, match=message):
        table(x)
    with pytest.raises(DataError, match=r"vae\.initialize\(x\)"):
        small_vae(posterior="per_example").encode(x)


def test_without_validation_a_stranger_has_no_parameters_and_harms_no_other():
    x = torch.randn(5, 3)
    table = table_of(x[:3])
    expected = table(x[:3]).detach()
    with pyro.validation_enabled(False):
        parameters = table(x)
    assert torch.equal(parameters[:3], expected)
    assert parameters[3:].isnan().all()
    parameters[:3].sum().backward()
    assert torch.equal(table.table.grad, torch.full_like(table.table, SPEED))


def test_the_same_data_again_change_nothing():
    x = torch.randn(5, 3)
    table = table_of(x)
    before, parameters = table.table, table(x)
    table.initialize(x.flip(0))
    assert table.table is before
    assert torch.equal(table(x), parameters)


def test_known_data_go_on_and_others_begin_anew():
    x = torch.randn(6, 3)
    table = table_of(x[:4])
    known = table(x[2:4])
    table.initialize(x[2:])
    assert torch.equal(table(x[2:4]), known)
    assert (table(x[4:]) == 0).all()
    with pytest.raises(DataError, match="2 others among 6"):
        table(x)


def test_no_data_are_refused():
    with pytest.raises(DataError, match="at least one datum"):
        table_of(torch.randn(1, 3)).initialize(torch.zeros(0, 3))


def test_two_data_of_one_key_are_refused(monkeypatch):
    monkeypatch.setattr(module, "keys_of", lambda x: torch.zeros(len(x), dtype=torch.int64))
    table_of(torch.ones(4, 3))
    with pytest.raises(DataError, match="two that differ have the same"):
        table_of(torch.randn(4, 3))


def test_as_many_rows_come_back_as_were_saved():
    x = torch.randn(5, 3)
    table = table_of(x)
    for rows in (1, 2, 7):
        other = table_of(torch.randn(rows, 3))
        other.load_state_dict(copy.deepcopy(table.state_dict()))
        assert torch.equal(other(x), table(x))
    with pytest.raises(RuntimeError, match="size mismatch for table"):
        table_of(x, size=3).load_state_dict(table.state_dict())


def test_another_precision_finds_the_same_rows():
    x = torch.randn(5, 3)
    table = table_of(x)
    expected = table(x)
    assert table.double()(x.double()).dtype == torch.double
    assert torch.allclose(table(x.double()).float(), expected)


def test_the_search_is_one_graph_without_a_wait():
    x = torch.randn(8, 3)
    table = table_of(x)
    with pyro.validation_enabled(False):
        graph = make_fx(lambda data: table(data))(x[:4])  # noqa: PLW0108
    assert torch.equal(graph(x[4:]), table(x[4:]))
    with pytest.raises(RuntimeError, match="local_scalar"):  # a wait would be found
        make_fx(lambda data: table(data))(x[:4])  # noqa: PLW0108


def test_what_was_declared_of_the_encoder_is_kept_for_the_next_swap():
    net = {"kind": "mlp", "hidden": [5], "activation": "tanh"}
    vae = small_vae(encoder=net, posterior="per_example")
    assert isinstance(vae.encoder, Lookup)
    assert net.items() <= vae.declaration["encoder"].items()
    back = vae.swap(posterior="diagonal_normal")
    assert isinstance(back.encoder, MLP)
    assert net.items() <= back.declaration["encoder"].items()


@pytest.mark.parametrize("encoder", [torch.nn.Linear(3, 4), MLP((3,), (2, 2))])
def test_an_encoder_that_would_get_no_use_is_refused(encoder):
    message = "per_example has free parameters for each datum, got a module of type (Linear|MLP)"
    with pytest.raises(IncompatibleComponents, match=message):
        small_vae(encoder=encoder, posterior="per_example")
