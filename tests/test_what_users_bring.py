"""What users bring: data sets of PyTorch, other precisions and numbers, modules of their own."""

import numpy as np
import pandas
import pytest
import scipy.sparse
import torch
from torch import nn
from torch.export import Dim, export
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset
from typer.testing import CliRunner

from pyro_vae import VAE, as_dataset, audit_elbo, evaluate, fit, load_data
from pyro_vae.cli.app import app
from pyro_vae.core.errors import DataError, IncompatibleComponents
from pyro_vae.data import CSV

X = torch.arange(60.0).reshape(10, 6) / 10


class Items(Dataset):
    """A map-style data set of what a function gives."""

    def __init__(self, item, size=10):
        self.item, self.size = item, size

    def __len__(self):
        return self.size

    def __getitem__(self, row):
        return self.item(row)


@pytest.mark.parametrize(
    "given",
    [
        TensorDataset(X),
        TensorDataset(X, torch.arange(10)),
        DataLoader(TensorDataset(X), batch_size=3, shuffle=True),
        Items(lambda row: (X[row], row)),
        Items(lambda row: X[row].numpy()),
        torch.utils.data.Subset(TensorDataset(torch.cat([X, X])), range(10)),
    ],
)
def test_pytorchs_data_sets_are_read(given):
    assert load_data(given).identity == as_dataset(X).identity
    assert (load_data(given).train.labels is not None) == (
        len(given[0]) == 2 if not isinstance(given, DataLoader) else False
    )


def test_other_data_sets_are_refused_with_what_to_do():
    class Stream(IterableDataset):
        def __iter__(self):
            return iter(X)

    with pytest.raises(DataError, match="Stream: expected a data set with a length"):
        load_data(Stream())
    with pytest.raises(DataError, match=r"Items: .*got str in row 0; give it transform="):
        load_data(Items(lambda row: "a"))
    with pytest.raises(DataError, match="Items: expected items of one shape"):
        load_data(Items(lambda row: torch.zeros(1 + row)))


@pytest.mark.parametrize("step", ["pyro", "compiled"])
def test_a_float64_model_trains_and_is_scored_in_float64(step):
    torch.manual_seed(0)
    vae = VAE((6,), 2).double()
    data = as_dataset(torch.randn(100, 6))
    fit(vae, data, epochs=2, step=step, show_progress=False)
    assert {p.dtype for p in vae.parameters()} == {torch.float64}
    scores = evaluate(vae, data)
    assert scores.terms.elbo.dtype == torch.float64
    assert audit_elbo(vae, data.test.x.double(), particles=100).passed
    assert vae.encode(data.test.x.numpy()).mean.dtype == torch.float64


def test_another_precision_is_refused_in_words():
    for vae, x in ((VAE((6,), 2), X.double()), (VAE((6,), 2).double(), X)):
        for method in (vae.encode, vae.reconstruct, vae.model, vae.guide):
            with pytest.raises(DataError, match=r"precision of the model's weights.*x\.to\("):
                method(x)


def test_a_last_batch_of_one_is_refused_before_the_first_step():
    net = {"kind": "mlp", "hidden": [8], "batch_norm": True}
    vae = VAE((6,), 2, encoder=net, decoder=net)
    before = [p.clone() for p in vae.parameters()]
    data = as_dataset(torch.randn(33, 6), validation=0, test=0)
    with pytest.raises(IncompatibleComponents, match=r"last batch of 1; choose another batch"):
        fit(vae, data, epochs=1, batch_size=16, show_progress=False)
    assert all(torch.equal(p, q) for p, q in zip(before, vae.parameters(), strict=True))
    fit(vae, data, epochs=1, batch_size=11, show_progress=False)


def test_numbers_may_be_numpys():
    vae = VAE((np.int64(6),), np.int32(2))
    assert (vae.event_shape, vae.latent_dim) == ((6,), 2)
    assert type(vae.latent_dim) is int


def test_two_heads_are_told_how_to_become_one():
    class Heads(nn.Module):
        def forward(self, x):
            return x[:, :2], x[:, 2:4]

    with pytest.raises(IncompatibleComponents, match=r"got tuple; return torch.stack.*log-var"):
        VAE((6,), 2, encoder=Heads())


@pytest.mark.parametrize(
    "net", ["linear", "mlp", "gated_mlp", {"kind": "conv", "channels": [4]}, "resnet"]
)
def test_networks_export_with_any_batch(net):
    vae = VAE((1, 8, 8), 2, encoder=net, decoder=net).eval()
    for network, shape in ((vae.encoder, (1, 8, 8)), (vae.decoder, (2,))):
        program = export(
            network, (torch.zeros(5, *shape),), dynamic_shapes=({0: Dim("batch")},)
        ).module()
        x = torch.rand(9, *shape)
        assert torch.allclose(program(x), network(x), atol=1e-5)


def test_labels_may_be_texts_or_several_numbers():
    data = as_dataset(X, labels=["b", "a"] * 5, validation=0, test=0)
    assert data.train.labels.tolist() == [1, 0] * 5
    series = pandas.Series(["x", "y"] * 5)
    assert as_dataset(X, labels=series, validation=0, test=0).train.labels.tolist() == [0, 1] * 5
    pairs = as_dataset(X, labels=np.ones((10, 2)), validation=0, test=0)
    assert pairs.train.labels.shape == (10, 2)


def test_truths_in_a_table_are_1_and_0(tmp_path):
    table = pandas.DataFrame({"a": [True, False] * 5, "b": range(10)})
    table.to_csv(tmp_path / "t.csv", index=False)
    x = CSV(tmp_path / "t.csv", validation=0, test=0).load().train.x
    assert x[:, 0].tolist() == [1, 0] * 5


def test_data_do_not_share_their_callers_memory():
    mine = X.clone()
    data = as_dataset(mine, validation=0, test=0)
    mine.zero_()
    assert torch.equal(data.train.x, X)


def test_sparse_values_are_kept():
    dense = np.array([[0, 2**25 + 1], [3, 0]] * 5)
    data = as_dataset(scipy.sparse.csr_array(dense % 1000), validation=0, test=0)
    assert torch.equal(data.train.x, torch.from_numpy(dense % 1000).float())
    with pytest.raises(DataError, match="float32 can tell apart"):
        as_dataset(scipy.sparse.csr_array(dense + [[0, 0], [0, 2**25 + 3]] * 5))


def test_a_run_with_labels_of_two_columns_ends_and_is_scored_where_its_data_moved(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "d.npz"
    np.savez(path, counts=rng.poisson(2, (100, 5)), velocity=rng.normal(size=(100, 2)))
    run = CliRunner().invoke(app, [
        "train", "data.kind=array", f"data.path={path}", "data.key=counts",
        "data.labels=velocity", "model.likelihood=poisson", "train.epochs=1",
        "--out", str(tmp_path / "run"), "-q",
    ])  # fmt: skip
    assert run.exit_code == 0, run.output
    (tmp_path / "moved").mkdir()
    path.rename(tmp_path / "moved" / "d.npz")
    for root in ("moved", "moved/d.npz"):
        again = CliRunner().invoke(
            app, ["evaluate", str(tmp_path / "run"), "--root", str(tmp_path / root), "-q"]
        )
        assert again.exit_code == 0, again.output
