"""Learning-rate schedules: each kind, and that every form of the step follows it."""

import itertools
import math

import pyro
import pytest
import torch

from pyro_vae import VAE, as_dataset, fit
from pyro_vae.compiled import backends
from pyro_vae.core.errors import DeclarationError
from pyro_vae.experiment.declaration import Experiment
from pyro_vae.training.loop import _adam
from pyro_vae.training.schedules.constant import Constant
from pyro_vae.training.schedules.cosine import Cosine
from pyro_vae.training.schedules.piecewise_constant import PiecewiseConstant
from pyro_vae.training.schedules.schedule import Schedule
from pyro_vae.training.settings import TrainSettings

QUIET = {"show_progress": False, "batch_size": 32}
NET = {"kind": "mlp", "hidden": [8]}


@pytest.fixture
def data():
    return as_dataset(torch.randn(100, 4, generator=torch.Generator().manual_seed(0)))


def a_vae():
    pyro.set_rng_seed(0)
    return VAE((4,), 2, encoder=NET, decoder=NET)


@pytest.mark.parametrize("epochs", [2, 3, 300])
@pytest.mark.parametrize("final", [0.0, 0.02, 1.0])
def test_a_cosine_ends_where_it_is_said_to(epochs, final):
    factors = [Cosine(final=final).factor(epoch, epochs) for epoch in range(1, epochs + 1)]
    assert factors[0] == 1
    assert factors[-1] == pytest.approx(final, abs=1e-12)
    assert factors == sorted(factors, reverse=True)
    assert sum(factors) / epochs == pytest.approx((1 + final) / 2)


def test_a_cosine_is_halfway_down_in_the_middle_and_steepest_there():
    factors = [Cosine(final=0.2).factor(epoch, 101) for epoch in range(1, 102)]
    assert factors[50] == pytest.approx(0.6)
    drops = [a - b for a, b in itertools.pairwise(factors)]
    assert max(drops) == pytest.approx(0.8 * math.pi / 2 / 100, rel=1e-3)
    assert drops.index(max(drops)) in {49, 50}


def test_one_epoch_has_the_whole_rate():
    assert Cosine(final=0.1).factor(1, 1) == 1


@pytest.mark.parametrize("epoch", [1, 2, 3, 4, 5, 9])
def test_pieces_are_those_of_torchs_multi_step(epoch):
    parameter = torch.nn.Parameter(torch.zeros(()))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    torchs = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones=[2, 4], gamma=0.1)
    for _ in range(epoch - 1):
        optimizer.step()
        torchs.step()
    ours = PiecewiseConstant(milestones=[2, 4], factors=[1.0, 0.1, 0.01])
    assert ours.factor(epoch, 9) == pytest.approx(torchs.get_last_lr()[0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"milestones": [3, 2], "factors": [1.0, 0.5, 0.1]}, r"must increase, got \[3, 2\]"),
        ({"milestones": [2, 2], "factors": [1.0, 0.5, 0.1]}, "must increase"),
        ({"milestones": [2], "factors": [1.0]}, "one more than the 1 milestones, got 1"),
        ({"milestones": [0], "factors": [1.0, 0.5]}, "must be > 0"),
    ],
)
def test_pieces_that_make_no_sense(arguments, message):
    with pytest.raises(DeclarationError, match=message):
        PiecewiseConstant(**arguments)


def test_a_run_that_ends_before_the_last_piece_is_refused(data):
    pieces = {"kind": "piecewise_constant", "milestones": [1, 3], "factors": [1.0, 0.5, 0.1]}
    with pytest.raises(DeclarationError, match=r"milestones: must be < train.epochs.*got 3"):
        Experiment.read({"train": {"schedule": pieces, "epochs": 3}})
    with pytest.raises(DeclarationError, match=r"milestones: must be < train.epochs.*got 3"):
        fit(a_vae(), data, schedule=pieces, epochs=3, **QUIET)


def test_a_typo_is_told_the_nearest_name(data):
    with pytest.raises(DeclarationError, match="did you mean 'cosine'"):
        fit(a_vae(), data, schedule="cosin", epochs=1, **QUIET)
    with pytest.raises(DeclarationError, match=r"train.schedule: .*did you mean 'cosine'"):
        Experiment.read({"train": {"schedule": "cosin"}})


def test_a_declaration_writes_its_schedule_out():
    mapping = Experiment.read({"train": {"schedule": "cosine"}}).mapping
    assert mapping["train"]["schedule"] == {"kind": "cosine", "final": 0.0}
    assert Experiment.read(mapping).mapping == mapping
    assert Experiment.read({}).mapping["train"]["schedule"] == {"kind": "constant"}


@pytest.mark.parametrize("step", ["pyro", "compiled"])
def test_each_epoch_has_its_rate_in_either_form(monkeypatch, data, step):
    monkeypatch.setattr(backends, "_compiled", lambda capture, options: capture.graph)
    pieces = PiecewiseConstant(milestones=[1, 3], factors=[1.0, 0.5, 1e-9])
    weights = []

    def keep(result):
        weights.append(result.vae.decoder.layers[0].weight.detach().clone())

    fit(a_vae(), data, schedule=pieces, lr=1e-2, epochs=5, step=step, on_epoch=keep, **QUIET)
    moved = [(b - a).abs().max().item() for a, b in itertools.pairwise(weights)]
    assert moved[0] > 1e-3
    assert moved[1] > 1e-3
    assert max(moved[2:]) < 1e-6


def test_the_optimizer_is_adam_with_the_rate_and_the_epsilon():
    settings = TrainSettings.checked(
        lr=0.1, adam_eps=1e-4, adam_betas=[0.8, 0.9], epochs=3, schedule="cosine"
    )
    ours, parameter = _adam(settings), torch.nn.Parameter(torch.ones(()))
    expected = torch.nn.Parameter(torch.ones(()))
    for epoch, rate in enumerate((0.1, 0.05, 0.0), start=1):
        if epoch == 1:
            adam = torch.optim.Adam([expected], lr=rate, eps=1e-4, betas=(0.8, 0.9))
        adam.param_groups[0]["lr"] = rate
        for gradient in (1e-5, 3e-5):
            for weight in (parameter, expected):
                weight.grad = torch.full((), gradient)
            ours([parameter])
            adam.step()
        torch.testing.assert_close(parameter, expected)
        ours.step()


def test_a_schedule_of_ones_own(data, registries):
    class Warmup(Schedule):
        """From nothing upwards."""

        def __init__(self, over: int = 3) -> None:
            self.over = over

        def factor(self, epoch: int, epochs: int) -> float:
            return min(1.0, epoch / self.over)

    read = Experiment.read({"train": {"schedule": {"kind": "warmup", "over": 5}}})
    assert read.train.learning_rate_schedule.factor(1, 50) == 0.2
    result = fit(a_vae(), data, schedule=Warmup(over=2), epochs=1, **QUIET)
    assert result.settings.model_dump()["schedule"] == {"kind": "warmup", "over": 2}


def test_the_default_is_constant():
    assert isinstance(TrainSettings.checked().learning_rate_schedule, Constant)
