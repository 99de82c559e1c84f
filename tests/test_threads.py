"""Threads: each trains, scores and draws as if alone, and leaves Pyro's state as it was."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pyro
import pytest
import torch
from pyro.infer.util import is_validation_enabled

from pyro_vae import VAE, alone, as_dataset, audit_elbo, evaluate, fit, load, quadrature, save
from pyro_vae.compiled import backends
from tests.variants import NET

DATA = as_dataset(torch.randn(300, 3, generator=torch.Generator().manual_seed(0)))


def a_vae(seed=0, **changes):
    with alone(), torch.random.fork_rng():
        torch.manual_seed(seed)
        return VAE((3,), 1, **({"encoder": NET, "decoder": NET} | changes))


def trained(seed, step="pyro", epochs=4):
    result = fit(a_vae(seed), DATA, epochs=epochs, seed=seed, step=step, show_progress=False)
    return [record["elbo"] for record in result.history]


@pytest.fixture(autouse=True)
def nothing_is_left():
    yield
    assert is_validation_enabled()
    assert not pyro.poutine.runtime._PYRO_STACK


@pytest.mark.parametrize("step", ["pyro", "compiled"])
def test_trainings_side_by_side_are_those_of_each_alone(monkeypatch, step):
    monkeypatch.setattr(backends, "_compiled", lambda capture, options: capture.graph)
    expected = [trained(seed, step) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda seed: trained(seed, step), range(4))) == expected


def scored():
    return evaluate(a_vae(), DATA, seed=0, nll=10, show_progress=False).terms.elbo.tolist()


WORK = {
    "build": lambda: VAE((3,), 2).latent_dim,
    "evaluate": scored,
    "audit": lambda: audit_elbo(a_vae(), DATA.test.x[:4], particles=100, gradients=0).table(),
    "encode": lambda: a_vae(posterior="iaf").encode(DATA.test.x).sample().shape,
    "quadrature": lambda: str(quadrature(a_vae(), DATA.test.x[:2]).log_evidence),
}


@pytest.mark.parametrize("work", WORK)
def test_other_work_neither_disturbs_a_training_nor_is_disturbed(work):
    training_alone, expected = trained(0, epochs=8), str(WORK[work]())
    with ThreadPoolExecutor(1) as pool:
        training = pool.submit(trained, 0, epochs=8)
        while not training.done():
            assert str(WORK[work]()) == expected
        assert training.result() == training_alone


def test_a_model_is_saved_and_loaded_beside_a_training(tmp_path):
    expected, vae, count = trained(0), a_vae(), 0
    with ThreadPoolExecutor(1) as pool:
        training = pool.submit(trained, 0)
        while not training.done():
            count += 1
            load(save(vae, tmp_path / str(count)))
        assert training.result() == expected


def test_a_generator_that_is_seeded_during_training_is_said():
    with pytest.warns(UserWarning, match="seed 5 alone, but PyTorch's generator was seeded again"):
        fit(a_vae(), DATA, epochs=1, seed=5, show_progress=False,
            on_epoch=lambda result: torch.manual_seed(1))  # fmt: skip


def test_a_second_thread_waits_and_a_callback_does_not():
    order = []
    vae, begun = a_vae(), threading.Event()

    def on_epoch(result):
        begun.set()
        evaluate(result.vae, DATA)
        order.append("training")

    def training():
        fit(vae, DATA, epochs=3, show_progress=False, on_epoch=on_epoch)

    thread = threading.Thread(target=training)
    thread.start()
    begun.wait()
    vae.encode(DATA.test.x)
    order.append("encoded")
    thread.join()
    assert order == ["training"] * 3 + ["encoded"]
