"""Data in compressed rows: the same numbers as dense, and not dense until they are used."""

import copy
import pickle

import numpy as np
import pytest
import scipy.sparse
import torch

from pyro_vae import VAE, as_dataset, audit_elbo, evaluate, fit, topics
from pyro_vae.compiled import backends
from pyro_vae.data import SparseCounts
from pyro_vae.data.feed import feed
from pyro_vae.data.sparse_rows import SparseRows

GENERATOR = torch.Generator().manual_seed(0)
DENSE = torch.poisson(torch.rand(60, 12, generator=GENERATOR) ** 4, generator=GENERATOR)
DENSE[:, 3] += 1
DENSE[5, 5] = 0
QUIET = {"show_progress": False}


@pytest.fixture
def x():
    return SparseRows.of(scipy.sparse.csr_array(DENSE.numpy()))


@pytest.fixture
def never_whole(monkeypatch):
    """Making more than a batch dense is an error."""
    dense = SparseRows.dense

    def watched(self):
        assert len(self) <= 10, f"{self} was made dense"
        return dense(self)

    monkeypatch.setattr(SparseRows, "dense", watched)


INDEX = torch.tensor([7, 0, 7, 59])
TAKEN = {
    "index": lambda x: x[INDEX],
    "last": lambda x: x[torch.tensor([-1])],
    "none": lambda x: x[INDEX[:0]],
    "slice": lambda x: x[4:11],
    "step": lambda x: x[3:60:9],
    "row": lambda x: x[-2],
    "select": lambda x: x.index_select(0, INDEX)[:],
    "mask": lambda x: x[torch.arange(60) % 9 == 1],
    "least": lambda x: x.min(),
    "most": lambda x: x.max(),
    "gaps": lambda x: x.isnan().any(),
    "number of gaps": lambda x: x.isnan().sum(),
    "precision": lambda x: x.to(torch.float64)[INDEX],
}


@pytest.mark.parametrize("name", TAKEN)
def test_what_is_taken_is_as_if_it_were_dense(x, name, never_whole):
    found = TAKEN[name](x)
    assert torch.equal(found, TAKEN[name](DENSE))
    assert type(found) is torch.Tensor
    assert found.dtype == TAKEN[name](DENSE).dtype


def test_gaps_are_found():
    dense = torch.tensor([[0.0, float("nan")], [1.0, 0.0]])
    x = SparseRows.of(scipy.sparse.csr_array(dense.numpy()))
    assert torch.equal(x.isnan(), dense.isnan())
    assert x.isnan().sum() == 1
    assert x.isnan().any()


WHOLE = {
    "sum": lambda x: x.sum(),
    "mean": lambda x: x.mean(0),
    "columns": lambda x: x[:, 2:4],
    "mask": lambda x: x[x > 1],
    "product": lambda x: x @ torch.ones(12, 2),
    "split": lambda x: torch.cat(x.split(7)),
    "both": lambda x: torch.where(x > 0, x, -1.0),
    "clone": lambda x: x.clone(),
}


@pytest.mark.parametrize("name", WHOLE)
def test_any_other_operation_is_that_of_the_dense(x, name):
    assert torch.equal(WHOLE[name](x), WHOLE[name](DENSE))


def test_it_is_a_tensor_that_holds_little(x):
    assert (x.shape, x.dtype, len(x)) == (DENSE.shape, torch.float32, 60)
    assert x.bytes_held < DENSE.nbytes
    assert "values in (60, 12)" in repr(x)
    assert torch.equal(copy.deepcopy(x)[:], DENSE)
    assert type(x.index_select(0, INDEX)) is SparseRows
    assert type(x.to(torch.float64)) is SparseRows
    again = pickle.loads(pickle.dumps(x))
    assert type(again) is SparseRows
    assert torch.equal(again[:], DENSE)
    for array in (x.numpy(), np.asarray(x), np.array(x.tolist())):
        assert np.array_equal(array, DENSE.numpy())
    with pytest.raises(RuntimeError, match="Expected a tensor to write to"):
        x.add_(1)


def test_entries_that_are_given_twice_add_up():
    matrix = scipy.sparse.coo_array(([1.0, 2.0, 5.0], ([0, 0, 1], [1, 1, 0])), (2, 3))
    assert torch.equal(SparseRows.of(matrix)[:], torch.tensor([[0.0, 3.0, 0.0], [5.0, 0.0, 0.0]]))


@pytest.fixture
def both(tmp_path):
    scipy.sparse.save_npz(tmp_path / "x.npz", scipy.sparse.csr_array(DENSE.numpy()))
    sparse = SparseCounts(tmp_path / "x.npz", validation=10, test=10, seed=3).load()
    return sparse, as_dataset(DENSE, validation=10, test=10, seed=3)


def test_a_data_set_is_the_same_one(both):
    sparse, dense = both
    assert sparse.identity == dense.identity
    for one, other in zip(sparse.splits.values(), dense.splits.values(), strict=True):
        assert type(one.x) is SparseRows
        assert torch.equal(one.x, other.x)
        assert torch.equal(one.rows, other.rows)
        assert torch.equal(one.batch(INDEX % 10), other.batch(INDEX % 10))


def test_it_is_fed_in_batches_of_the_same_bits(both, never_whole):
    sources = [feed(data.train, torch.device("cpu")) for data in both]
    batches = [
        [source.arguments(given) for given in source.epoch(9, torch.Generator().manual_seed(1))]
        for source in sources
    ]
    for (one,), (other,) in zip(*batches, strict=True):
        assert torch.equal(one, other)
        assert type(one) is torch.Tensor


def model():
    torch.manual_seed(0)
    net = {"kind": "mlp", "hidden": [8], "input": "log1p"}
    return VAE((12,), 2, likelihood="multinomial", decoder="linear", encoder=net)


@pytest.mark.parametrize("step", ["pyro", "compiled"])
def test_training_and_scores_are_the_same_to_the_bit(both, step, monkeypatch):
    monkeypatch.setattr(backends, "_compiled", lambda capture, options: capture.graph)
    found = []
    for data in both:
        vae = model()
        history = fit(vae, data, epochs=2, batch_size=9, step=step, **QUIET).history
        scores = evaluate(vae, data, nll=20, **QUIET)
        found.append((history[-1]["elbo"], scores.elbo.value, scores.nll.value, vae.state_dict()))
    (*one, weights), (*other, others) = found
    assert one == other
    assert all(torch.equal(weights[name], others[name]) for name in weights)


def test_what_else_takes_data_takes_it(both):
    sparse, _ = both
    vae = model()
    fit(vae, sparse, epochs=1, **QUIET)
    assert vae.encode(sparse.test.x).mean.shape == (10, 2)
    assert audit_elbo(vae, sparse.test.x, particles=200, gradients=0).passed
    assert topics(vae, sparse, words=3) is not None
    assert sparse._repr_html_()
