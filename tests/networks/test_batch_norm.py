"""Batch normalization with a learned shift, and the networks that have it."""

import pytest
import torch

from pyro_vae import VAE, as_dataset, fit
from pyro_vae.compiled import backends
from pyro_vae.core.errors import IncompatibleComponents
from pyro_vae.core.network import Network
from pyro_vae.networks.layers import ShiftedBatchNorm
from tests.variants import build

TOPICS = {"kind": "topic_decoder", "dropout": 0.0}
MLP = {"kind": "mlp", "hidden": [8], "batch_norm": True}


def test_each_feature_is_standardized_and_shifted():
    norm = ShiftedBatchNorm(3)
    norm.shift.data = torch.tensor([1.0, 2.0, 3.0])
    y = norm(5 + 7 * torch.randn(50, 3))
    torch.testing.assert_close(y.mean(0), norm.shift.detach())
    torch.testing.assert_close(y.var(0, correction=0), torch.ones(3), rtol=1e-4, atol=0)


def test_in_evaluation_a_datum_depends_on_no_other():
    norm = ShiftedBatchNorm(3)
    for _ in range(200):
        norm(5 + 7 * torch.randn(50, 3))
    x = torch.randn(4, 3)
    y = norm.eval()(x)
    assert torch.equal(y[:1], norm(x[:1]))
    torch.testing.assert_close(y, (x - 5) / 7, rtol=0, atol=0.2)


def test_a_training_batch_of_one_is_refused():
    data = as_dataset(torch.randn(7, 3), validation=0, test=0)
    with pytest.raises(IncompatibleComponents, match=r"at least 2 data.*batch_size"):
        fit(VAE((3,), 2, encoder=MLP, decoder=MLP), data, batch_size=3, epochs=1,
            show_progress=False)  # fmt: skip


def test_a_topic_decoder_is_its_formula():
    network = build(Network, TOPICS).train()
    z = torch.randn(9, 3)
    logits = z.softmax(-1) @ network.topics.weight.T
    expected = (logits - logits.mean(0)) / (logits.var(0, correction=0) + 1e-5).sqrt()
    torch.testing.assert_close(network(z).flatten(1), expected)
    plain = build(Network, TOPICS | {"batch_norm": False})
    torch.testing.assert_close(
        plain(z).flatten(1), z.softmax(-1) @ plain.topics.weight.T + plain.topics.bias
    )


def test_dropout_is_for_training_alone():
    for declared in (TOPICS | {"dropout": 0.5, "batch_norm": False}, MLP | {"dropout": 0.5}):
        network = build(Network, declared)
        z = torch.randn(9, 3)
        assert not torch.equal(network.train()(z), network(z))
        assert torch.equal(network.eval()(z), network(z))


def test_a_topic_model_trains_alike_in_both_forms(monkeypatch):
    monkeypatch.setattr(backends, "_compiled", lambda capture, options: capture.graph)
    counts = torch.randint(0, 4, (60, 6), generator=torch.Generator().manual_seed(0)) + 1.0
    data = as_dataset(counts, validation=0, test=10)
    found = []
    for step in ("pyro", "compiled"):
        torch.manual_seed(0)
        vae = VAE((6,), 3, prior="dirichlet", likelihood="multinomial", decoder=TOPICS,
                  encoder=MLP)  # fmt: skip
        history = fit(vae, data, epochs=4, batch_size=25, step=step, show_progress=False).history
        found.append((history[-1]["elbo"], vae.state_dict()))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-4)
    for name, value in found[0][1].items():
        torch.testing.assert_close(found[1][1][name], value, rtol=1e-3, atol=1e-4, msg=name)
