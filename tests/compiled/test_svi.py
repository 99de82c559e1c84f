"""What a captured step holds, run as it was captured, without a compiler."""

import copy

import pyro
import pytest
import torch
from pyro import distributions as dist
from pyro.infer import SVI, Trace_ELBO, TraceMeanField_ELBO
from torch import nn
from torch.fx.experimental.proxy_tensor import make_fx

from pyro_vae.compiled import CompiledSVI, backends, parameter_groups
from pyro_vae.compiled.outside import optimizer_of
from pyro_vae.core.errors import NonFiniteLoss, NotCapturable
from pyro_vae.objectives.pyro_elbos import Trace_ELBO as RememberingELBO
from pyro_vae.objectives.pyro_elbos import TraceExactKL_ELBO
from tests.compiled.common import adam, assert_equal, same, trained
from tests.compiled.programs import Program, deep_markov, regression


@pytest.fixture(autouse=True)
def as_captured(monkeypatch):
    monkeypatch.setattr(backends, "_compiled", lambda capture, options: capture.graph)


OPTIMIZERS = {
    "adam": lambda: pyro.optim.Adam({"lr": 0.02, "weight_decay": 0.1, "betas": (0.8, 0.99)}),
    "amsgrad": lambda: pyro.optim.Adam({"lr": 0.02, "amsgrad": True}),
    "adamw": lambda: pyro.optim.AdamW({"lr": 0.02, "weight_decay": 0.1}),
    "sgd": lambda: pyro.optim.SGD({"lr": 1e-4}),
    "nesterov": lambda: pyro.optim.SGD({"lr": 1e-4, "momentum": 0.5, "nesterov": True}),
    "damped": lambda: pyro.optim.SGD({"lr": 1e-4, "momentum": 0.5, "dampening": 0.1}),
    "clipped_adam": lambda: pyro.optim.ClippedAdam({"lr": 0.02, "lrd": 0.99, "clip_norm": 3.0}),
    "centred": lambda: pyro.optim.ClippedAdam({"lr": 0.02, "centered_variance": True}),
    "by_norm": lambda: pyro.optim.Adam({"lr": 0.02}, {"clip_norm": 1.0}),
    "by_value": lambda: pyro.optim.SGD({"lr": 1e-3}, {"clip_value": 2.0}),
    "own_rates": lambda: pyro.optim.Adam(lambda name: {"lr": 0.05 if name == "loc" else 0.001}),
}


def test_small_parameters_become_one_vector_beside_the_large_ones(monkeypatch):
    monkeypatch.setattr(parameter_groups, "SMALL", 20)
    made = same(deep_markov)._step.groups
    sizes = [[parameter.numel() for parameter in group.parameters] for group in made]
    (joined,) = [unit for unit in sizes if len(unit) > 1]
    alone = [size for unit in sizes if len(unit) == 1 for size in unit]
    assert max(joined) <= 20 < min(alone)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_optimizer_is_captured(name):
    assert same(regression, optimizer=OPTIMIZERS[name]).outside == set()


@pytest.mark.parametrize("clip", [None, {"clip_norm": 1.0}])
def test_another_optimizer_runs_outside(clip):
    svi = same(regression, optimizer=lambda: pyro.optim.RMSprop({"lr": 0.01}, clip))
    assert svi.outside == {"RMSprop"}


def test_a_schedule_reaches_the_captured_optimizer():
    def scheduled():
        settings = {"optimizer": torch.optim.Adam, "optim_args": {"lr": 0.05}, "gamma": 0.5}
        return pyro.optim.ExponentialLR(settings)

    def fall(number, svi):
        if number % 12 == 11:
            svi.optim.step()

    same(regression, optimizer=scheduled, each=fall)
    always = trained(SVI, regression, optimizer=lambda: pyro.optim.Adam({"lr": 0.05}))
    with pytest.raises(AssertionError):
        assert_equal(trained(CompiledSVI, regression, optimizer=scheduled, each=fall), always)


def test_parameters_whose_rates_part_are_updated_apart():
    def part(number, svi):
        if number == 20:
            parameter = pyro.get_param_store()._params["loc"]
            svi.optim.optim_objs[parameter].param_groups[0]["lr"] = 0.2

    same(regression, each=part)
    with pytest.raises(AssertionError):
        assert_equal(trained(CompiledSVI, regression, each=part), trained(SVI, regression))


LOSSES = {
    "mean_field": TraceMeanField_ELBO,
    "particles": lambda: Trace_ELBO(num_particles=3),
    "vectorized": lambda: Trace_ELBO(
        num_particles=3, vectorize_particles=True, max_plate_nesting=1
    ),
    "remembering": RememberingELBO,
    "exact": lambda: TraceExactKL_ELBO(kl="auto"),
}


def steps(svi, arguments):
    for given in arguments:
        svi.step(*given)


def with_loss(make):
    def program():
        made = normal_mean()
        return Program(made.model, made.guide, make(), made.arguments)

    return program


def normal_mean():
    def model(x):
        loc = pyro.sample("loc", dist.Normal(torch.zeros(()), 1.0))
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("x", dist.Normal(loc, 1.0), obs=x)

    def guide(x):
        scale = pyro.param("scale", torch.ones(()), dist.constraints.positive)
        pyro.sample("loc", dist.Normal(pyro.param("middle", torch.zeros(())), scale))

    return Program(model, guide, Trace_ELBO(), (torch.randn(20) + 1,))


@pytest.mark.parametrize("name", LOSSES)
def test_the_loss_is_captured(name):
    same(with_loss(LOSSES[name]))


def test_what_a_loss_remembers_is_that_of_the_last_step():
    def remembered(kind):
        seen = []
        trained(kind, with_loss(RememberingELBO), steps=10,
                each=lambda _, svi: seen.append(svi_loss(svi).kl.item()))  # fmt: skip
        return seen

    def svi_loss(svi):
        return svi.loss.__self__

    assert remembered(CompiledSVI) == pytest.approx(remembered(SVI), rel=1e-4)


class Carrying(Trace_ELBO):
    """A loss with a running mean of its own, which each step makes anew from the last."""

    def __init__(self):
        super().__init__()
        self.mean = torch.zeros(())

    def _differentiable_loss_particle(self, model_trace, guide_trace):
        loss, surrogate = super()._differentiable_loss_particle(model_trace, guide_trace)
        self.mean = 0.9 * self.mean + 0.1 * surrogate.detach()
        return loss, surrogate * (1 + 0.01 * self.mean.tanh())


def test_what_a_loss_carries_from_step_to_step_is_carried():
    same(with_loss(Carrying))


class Annealed(Trace_ELBO):
    """A loss whose weight is a tensor, changed where it lies."""

    def __init__(self):
        super().__init__()
        self.weight = torch.ones(())

    def _differentiable_loss_particle(self, model_trace, guide_trace):
        loss, surrogate = super()._differentiable_loss_particle(model_trace, guide_trace)
        return loss, surrogate * self.weight


def test_a_weight_that_changes_with_the_step_reaches_the_graph():
    def anneal(number, svi):
        svi.loss.__self__.weight.fill_(1 / (1 + number))

    same(with_loss(Annealed), each=anneal)
    constant = trained(SVI, with_loss(Annealed))
    with pytest.raises(AssertionError):
        assert_equal(trained(CompiledSVI, with_loss(Annealed), each=anneal), constant)


def test_batch_norm_keeps_its_running_moments():
    nets = []

    def program():
        net = nn.Sequential(nn.Linear(3, 4, bias=False), nn.BatchNorm1d(4), nn.Linear(4, 1))
        nets.append(net)

        def model(x):
            pyro.module("net", net)
            with pyro.plate("data", len(x)):
                pyro.sample("y", dist.Normal(net(x)[:, 0], 1.0), obs=x[:, 0])

        return Program(model, lambda x: None, Trace_ELBO(), (torch.randn(16, 3),))

    same(program)
    for pyros, ours in zip(nets[0].buffers(), nets[1].buffers(), strict=True):
        torch.testing.assert_close(ours, pyros, rtol=1e-4, atol=1e-5)


def test_the_gather_is_captured_and_a_short_batch_is_made():
    x = torch.randn(50)

    def losses(kind, given, **options):
        pyro.clear_param_store()
        pyro.set_rng_seed(0)
        program = normal_mean()
        order = torch.Generator().manual_seed(0)
        svi = kind(program.model, program.guide, adam(), Trace_ELBO(), **options)
        indices = [i for _ in range(30) for i in torch.randperm(50, generator=order).split(20)]
        return [float(svi.step(given(index))) for index in indices]

    ours = losses(CompiledSVI, lambda index: index, batch=lambda index: (x[index],))
    assert ours == pytest.approx(losses(SVI, lambda index: x[index]), rel=1e-4)


def test_optimizer_state_is_the_one_that_pyro_saves():
    def state(kind):
        saved = {}
        trained(
            kind, regression, steps=20, each=lambda _, svi: saved.update(svi.optim.get_state())
        )
        return saved

    ours, theirs = state(CompiledSVI), state(SVI)
    assert ours.keys() == theirs.keys()
    for name, of_parameter in theirs.items():
        for key, value in of_parameter["state"][0].items():
            torch.testing.assert_close(ours[name]["state"][0][key], value, rtol=1e-4, atol=1e-4)


def test_parameters_that_are_replaced_are_captured_anew():
    program = normal_mean()
    svi = CompiledSVI(program.model, program.guide, adam(), Trace_ELBO())
    for _ in range(6):
        svi.step(*program.arguments)
    pyro.clear_param_store()
    for _ in range(6):
        svi.step(*program.arguments)
    assert pyro.param("middle").item() != 0


def branching(x):
    def model(x):
        z = pyro.sample("z", dist.Normal(0.0, 1.0))
        loc = z if z > 0 else -z
        pyro.sample("x", dist.Normal(loc, 1.0), obs=x)

    def guide(x):
        pyro.sample("z", dist.Normal(pyro.param("m", torch.zeros(())), 1.0))

    return model, guide


def masking(x):
    def model(x):
        z = pyro.sample("z", dist.Normal(torch.zeros(4), 1.0).to_event(1))
        pyro.sample("x", dist.Normal(z[z > -9].sum(), 1.0), obs=x)

    def guide(x):
        pyro.sample("z", dist.Normal(pyro.param("m", torch.zeros(4)), 1.0).to_event(1))

    return model, guide


@pytest.mark.parametrize(
    ("programs", "match"),
    [
        (branching, r"site 'z' \(.*test_svi.py:\d+\): the program reads the value of a tensor"),
        (masking, r"site 'z' \(.*test_svi.py:\d+\): the shape .* depends on values"),
    ],
)
def test_a_program_without_a_static_graph_is_refused(programs, match):
    def one():
        x = torch.tensor(1.0)
        return Program(*programs(x), Trace_ELBO(), (x,))

    pyros = trained(SVI, one, steps=5)
    pyro.clear_param_store()
    pyro.set_rng_seed(0)
    program = one()
    optimizer = adam()
    svi = CompiledSVI(program.model, program.guide, optimizer, program.loss)
    losses = [svi.step(*program.arguments)]
    with pytest.raises(NotCapturable, match=match):
        svi.step(*program.arguments)
    plain = SVI(program.model, program.guide, optimizer, program.loss)
    losses += [torch.tensor(plain.step(*program.arguments)) for _ in range(4)]
    torch.testing.assert_close(torch.stack(losses), pyros[0])


def test_a_program_that_changes_between_steps_is_refused():
    program = normal_mean()
    count = []

    def model(x):
        count.append(1)
        return program.model(x if len(count) % 2 else x.exp().log())

    svi = CompiledSVI(model, program.guide, adam(), Trace_ELBO())
    with pytest.raises(NotCapturable, match="does the same at every step, but it did"):
        steps(svi, [program.arguments] * 5)


def test_a_tensor_made_anew_of_other_values_is_refused():
    program = normal_mean()
    count = []

    def model(x):
        count.append(1)
        return program.model(x + torch.tensor([float(len(count))]))

    svi = CompiledSVI(model, program.guide, adam(), Trace_ELBO())
    with pytest.raises(NotCapturable, match="made a new tensor of other values"):
        steps(svi, [program.arguments] * 5)


def test_a_number_that_changes_at_every_step_is_refused():
    program = normal_mean()
    svi = CompiledSVI(
        lambda x, by: program.model(x * by), lambda x, by: program.guide(x), adam(), Trace_ELBO()
    )
    with pytest.raises(NotCapturable, match="give numbers that change as tensors"):
        steps(svi, [(*program.arguments, 1.0 + number) for number in range(20)])


def test_a_loss_that_is_not_finite_changes_nothing_from_then_on():
    program = normal_mean()
    svi = CompiledSVI(program.model, program.guide, adam(), Trace_ELBO())
    for _ in range(5):
        svi.step(*program.arguments)
    svi.check()
    before = {name: value.clone() for name, value in pyro.get_param_store().items()}
    assert not svi.step(torch.full((20,), float("nan"))).isfinite()
    svi.step(*program.arguments)
    for name, value in pyro.get_param_store().items():
        assert torch.equal(value, before[name])
    with pytest.raises(NonFiniteLoss, match="last good step"):
        svi.check()
    svi.step(*program.arguments)
    assert not torch.equal(pyro.param("middle"), before["middle"])


def test_a_compiler_that_fails_is_reported_at_the_next_step(monkeypatch):
    def fail(capture, options):
        raise RuntimeError("no compiler here")

    monkeypatch.setattr(backends, "_compiled", fail)
    program = normal_mean()
    svi = CompiledSVI(program.model, program.guide, adam(), Trace_ELBO())
    steps(svi, [program.arguments] * 3)
    before = pyro.param("middle").item()
    with pytest.raises(NotCapturable, match=r"RuntimeError: no compiler here; .* C\+\+ compiler"):
        svi.step(*program.arguments)
    assert pyro.param("middle").item() == before


def test_the_inputs_that_a_graph_changes_are_found():
    def change(held, moment, buffer, read, parted, cut, listed):
        moment.view(-1)[:2].mul_(2)
        buffer.detach().add_(read.sum())
        parted.unbind()[1].add_(1)
        first, second = (read * 2).split(1)
        second.add_(first)
        torch._foreach_mul_([listed, second], 2.0)
        held.copy_(read + moment + cut.max(0).values)
        return held * 1

    graph = make_fx(change)(*(torch.ones(2, 2) for _ in range(7))).graph
    assert backends._changed(graph) == {0, 1, 2, 4, 6}


def test_training_mode_is_part_of_the_graph():
    from pyro.nn import PyroModule

    class Model(PyroModule):
        def __init__(self):
            super().__init__()
            self.net = PyroModule[nn.Linear](3, 1)
            self.dropout = nn.Dropout(0.9)

        def forward(self, x):
            with pyro.plate("data", len(x)):
                loc = self.dropout(self.net(x))[:, 0]
                pyro.sample("y", dist.Normal(loc, 1.0), obs=x[:, 0])

    def run(kind):
        pyro.clear_param_store()
        pyro.set_rng_seed(0)
        model = Model()
        svi = kind(model, lambda x: None, adam(), Trace_ELBO())
        x = torch.randn(8, 3)
        return [float(svi.step(x)) for training in (True, False) for _ in range(10)
                if model.train(training)]  # fmt: skip

    assert run(CompiledSVI) == pytest.approx(run(SVI), rel=1e-4)


def test_an_interrupt_amid_the_update_undoes_the_step(monkeypatch):
    pyro.clear_param_store()
    pyro.set_rng_seed(0)
    program = regression()
    svi = CompiledSVI(program.model, program.guide, adam(), program.loss)
    svi.step(*program.arguments)
    store = pyro.get_param_store()
    states = [optimizer_of(svi.optim, store._params[name]).state for name in store]
    before = copy.deepcopy((dict(store._params), states))

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("pyro_vae.compiled.capture._tensors_of", stop_at_second(stop))
        with pytest.raises(KeyboardInterrupt):
            svi.step(*program.arguments)
    for name, value in before[0].items():
        assert torch.equal(store._params[name], value)
    kept = [tensor for state in before[1] for of in state.values() for tensor in of.values()]
    now = [tensor for state in states for of in state.values() for tensor in of.values()]
    assert all(map(torch.equal, now, kept))
    for _ in range(4):
        svi.step(*program.arguments)
    assert svi.compiled


def stop_at_second(stop):
    """The first call, before the step, gives nothing; the second, after the update, stops."""
    calls = []

    def call(loss):
        calls.append(loss)
        return stop() if len(calls) == 2 else {}

    return call
