import pytest
import torch

from pyro_vae.data.dataset import Split
from pyro_vae.data.feed import Resident, Streamed, binarized, feed

CPU = torch.device("cpu")
X = torch.arange(22.0).reshape(11, 2)


@pytest.mark.parametrize("kind", [Resident, Streamed])
def test_an_epoch_has_every_datum_once_in_an_order_of_its_own(kind):
    source = kind(Split(X), CPU)
    generator = torch.Generator().manual_seed(0)
    passes = [[source.batch(g) for g in source.epoch(4, generator)] for _ in range(2)]
    for batches in passes:
        assert [len(batch) for batch in batches] == [4, 4, 3]
        assert sorted(torch.cat(batches)[:, 0].tolist()) == X[:, 0].tolist()
    assert not torch.equal(torch.cat(passes[0]), torch.cat(passes[1]))


def test_streamed_and_resident_give_the_same_batches():
    both = []
    for kind in (Resident, Streamed):
        torch.manual_seed(0)
        source = kind(Split(X / 22, dynamic=True), CPU)
        generator = torch.Generator().manual_seed(0)
        both.append(torch.cat([source.batch(g) for g in source.epoch(4, generator)]))
    assert torch.equal(*both)
    assert set(both[0].flatten().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_intensity_is_the_chance_of_a_one(dtype):
    chances = torch.tensor([0.0, 1 / 255, 0.2, 0.5, 254 / 255, 1.0], dtype=dtype)
    n = 200_000
    drawn = binarized(chances.expand(n, -1))
    assert drawn.dtype == dtype
    assert set(drawn.unique().tolist()) == {0.0, 1.0}
    z = (drawn.mean(0) - chances) / (chances * (1 - chances) / n).sqrt().clamp(min=1e-12)
    assert z.abs().max() < 5
    assert (drawn[:, 0] == 0).all()
    assert (drawn[:, -1] == 1).all()


@pytest.mark.parametrize("kind", [Resident, Streamed])
def test_a_dynamic_split_is_drawn_again_at_every_use(kind):
    source = kind(Split(torch.full((1, 200), 0.5), dynamic=True), CPU)
    given = next(iter(source.epoch(1, torch.Generator())))
    one, other = (source.batch(given) for _ in range(2))
    assert not torch.equal(one, other)
    assert set(one.unique().tolist()) == {0.0, 1.0}


def test_on_a_cpu_one_number_is_drawn_for_all():
    torch.manual_seed(0)
    drawn = binarized(torch.full((50,), 0.5))
    after = torch.get_rng_state()
    torch.manual_seed(0)
    torch.randint(2**62, ())
    assert torch.equal(torch.get_rng_state(), after)
    torch.manual_seed(0)
    assert torch.equal(binarized(torch.full((50,), 0.5)), drawn)


def test_a_pass_that_is_left_early_ends_its_worker():
    source = Streamed(Split(X), CPU)
    for _ in source.epoch(4, torch.Generator()):
        break


def test_on_the_host_data_are_resident():
    assert isinstance(feed(Split(X), CPU), Resident)


@pytest.mark.parametrize(("free", "cached", "kind"), [(87, 89, "Resident"), (87, 88, "Streamed")])
def test_what_the_allocator_keeps_for_itself_is_free_too(monkeypatch, free, cached, kind):
    told = {"mem_get_info": (free, 0), "memory_reserved": cached + 7, "memory_allocated": 7}
    for name, value in told.items():
        monkeypatch.setattr(torch.cuda, name, lambda device, value=value: value)
    for name in ("Resident", "Streamed"):
        monkeypatch.setattr(f"pyro_vae.data.feed.{name}", lambda *_, name=name: name)
    assert X.nbytes == 88
    assert feed(Split(X), torch.device("cuda")) == kind


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_what_does_not_fit_on_the_gpu_is_streamed(monkeypatch):
    device = torch.device("cuda")
    assert isinstance(feed(Split(X), device), Resident)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (-(10**12), 0))
    source = feed(Split(X), device)
    assert isinstance(source, Streamed)
    batches = list(source.epoch(4, torch.Generator().manual_seed(0)))
    assert {batch.device.type for batch in batches} == {"cuda"}
    assert sorted(torch.cat(batches)[:, 0].tolist()) == X[:, 0].tolist()
