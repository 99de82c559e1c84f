import multiprocessing
from dataclasses import replace
from graphlib import TopologicalSorter
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from torchvision import datasets

from benchmarks import __main__ as command
from benchmarks import report
from benchmarks.contenders import CONTENDERS, EPOCHS, REFERENCE, by_hand, ours, pyro_svi
from benchmarks.contenders.nets import count, initial_weights
from benchmarks.contenders.pyro_svi import PyroVAE
from benchmarks.contenders.training import Unavailable, is_grey
from benchmarks.contenders.tutorial import write_mnist
from benchmarks.data import binary_digits, mnist
from benchmarks.sizes import BY_KEY, SIZES
from benchmarks.timing import TOLERANCE, Effort, Result, best, check_losses, measure
from benchmarks.workers import Workers, thread_counts

TINY = Effort(rounds=1, seconds=0.001)
BY_VARIANT = {contender.variant: contender for contender in CONTENDERS}
EAGER, COMPILED, EXACT, JIT = (
    BY_VARIANT[name] for name in ("fused", "compiled", "compiled exact", "jit")
)


def timed(contender=EAGER, loss=30.0, parameters=9936, times=(0.002, 0.001, 0.004), **more):
    return Result(contender, threads=1, parameters=parameters, expected=9936, loss=loss,
                  start=0.5, times=list(times), **more)  # fmt: skip


def test_imports_go_one_way():
    grimp = pytest.importorskip("grimp")
    graph = grimp.build_graph("benchmarks")
    imports = {one: graph.find_modules_directly_imported_by(one) for one in graph.modules}
    TopologicalSorter(imports).prepare()  # raises CycleError


class TestSizes:
    def test_parameters_by_hand(self):
        parameters = (784 * 400 + 400) + (400 * 40 + 40) + (20 * 400 + 400) + (400 * 784 + 784)
        weights = initial_weights(BY_KEY["mnist"])
        assert sum(values.size for values in weights.values()) == parameters == 652_824

    @pytest.mark.parametrize("size", SIZES, ids=lambda size: size.key)
    def test_every_contender_in_torch_has_as_many_parameters(self, size):
        weights = initial_weights(size)
        parameters = sum(values.size for values in weights.values())
        assert count(by_hand.NegativeELBO(size)) == parameters
        assert count(PyroVAE(size)) == parameters
        assert count(ours.vae_of(size, weights)) == parameters

    @pytest.mark.parametrize("size", SIZES, ids=lambda size: size.key)
    def test_ours_starts_from_the_same_weights(self, size):
        weights = initial_weights(size)
        given = sorted(float(np.abs(values).sum()) for values in weights.values())
        held = sorted(p.abs().sum().item() for p in ours.vae_of(size, weights).parameters())
        assert held == pytest.approx(given, rel=1e-4)


class TestData:
    def test_binary(self):
        for size in SIZES:
            x = binary_digits(size.event_shape)
            assert x.shape == (1797, *size.event_shape)
            assert set(np.unique(x)) == {0.0, 1.0}

    def test_grey_pixels_are_drawn_for_every_batch(self):
        grey = np.tile(np.float32([0, 0.25, 1]), (64, 22))[:, :64]
        digits, rows = BY_KEY["digits"], torch.arange(64)
        asked = digits, grey, initial_weights(digits), "cpu"
        compiled = ours.build("compiled", *asked)
        batches = [
            by_hand.build("eager", *asked).rows,
            pyro_svi.build("Trace_ELBO", *asked).rows,
            ours.build("pyro", *asked).rows,
            lambda rows: compiled.svi.batch(rows)[0],
        ]
        for batch in batches:
            one, other = batch(rows), batch(rows)
            assert set(one.unique().tolist()) == {0.0, 1.0}
            assert not torch.equal(one, other)
            assert torch.equal(one[:, ::3], torch.zeros(64, 22))
            assert torch.equal(one[:, 2::3], torch.ones(64, 21))
        fit = ours.build("fit", *asked)
        assert fit.data.train.dynamic
        assert not is_grey(binary_digits((64,)))

    def test_digits_replace_mnist_where_it_is_missing(self, tmp_path, monkeypatch):
        monkeypatch.setenv("PYRO_VAE_DATA", str(tmp_path))
        name, x = mnist(50)
        assert "MNIST was not found" in name
        assert x.shape == (50, 784)
        assert np.array_equal(x > 0.5, binary_digits((784,))[:50] > 0)

    def test_torchvision_and_we_read_the_written_mnist_alike(self, tmp_path, monkeypatch):
        monkeypatch.setenv("PYRO_VAE_DATA", str(tmp_path / "none"))
        _, x = mnist(50)
        write_mnist(tmp_path, x)
        read = datasets.MNIST(tmp_path, download=False).data.reshape(50, 784) / 255
        assert np.abs(read.numpy() - x).max() <= 0.5 / 255 + 1e-6  # rounded to bytes
        monkeypatch.setenv("PYRO_VAE_DATA", str(tmp_path))
        name, again = mnist(50)
        assert name == "MNIST"
        assert np.array_equal(again, read.numpy())


class TestCheck:
    def test_agreement_within_the_tolerance(self):
        results = [timed(loss=30 * (1 + 0.9 * TOLERANCE)), timed(), timed()]
        check_losses(results)
        assert all(result.agrees for result in results)

    @pytest.mark.parametrize(
        "other",
        [
            timed(loss=30 * (1 - 1.1 * TOLERANCE)),
            timed(loss=float("nan")),
            timed(parameters=9000),
        ],
        ids=["loss", "nan", "parameters"],
    )
    def test_another_model_is_not_compared(self, other):
        results = [timed(REFERENCE), timed(), timed(), other]
        check_losses(results)
        assert [result.agrees for result in results] == [True, True, True, False]
        section = report.size_section(BY_KEY["digits"], results, "cpu")
        assert "not comparable" in str(section)
        (sentence,) = report.disagreements(results)
        assert other.contender.name in sentence

    def test_the_faster_thread_count_is_kept_and_a_failure_only_if_both_failed(self):
        slow, quick = timed(EAGER, times=[3.0]), timed(EAGER, times=[2.0])
        failed, measured = Result(JIT, note="failed"), timed(JIT)
        found = best([slow, quick, failed, measured, Result(EXACT, note="missing")])
        assert found[:2] == [quick, measured]
        assert found[2].note == "missing"


class TestRun:
    @pytest.fixture
    def workers(self, tmp_path):
        with Workers("cpu", (1,), tmp_path) as running:
            yield running

    def test_one_round_of_the_digits(self, workers):
        names = ("pyro", "Trace_ELBO", "fused", "jit", "train_step")
        contenders = [BY_VARIANT[name] for name in names]
        results = measure(BY_KEY["digits"], contenders, workers, TINY)
        for result in results:
            package = result.contender.package
            if package and find_spec(package) is None:
                assert "pip install" in result.note
                continue
            assert not result.note
            assert result.agrees
            assert len(result.times) == 1
            assert result.parameters == 9936
        assert report.disagreements(results) == []

    def test_a_contender_starts_processes_as_it_would_alone(self, workers):
        class StartMethod:  # in the worker it unpickles as the name of the start method
            def __reduce__(self):
                return eval, ("__import__('multiprocessing').get_start_method()",)

        expected = multiprocessing.get_start_method()
        with pytest.raises(Unavailable, match=f"KeyError: '{expected}'"):
            workers.ask(EAGER, 1, "train", StartMethod(), 1)

    def test_a_flow_guide_has_no_exact_row(self, workers):
        (result,) = measure(BY_KEY["flow"], [EXACT], workers, TINY)
        assert "no closed-form KL" in result.note

    def test_a_contender_that_fails_is_a_row(self, workers):
        broken = replace(EAGER, name="broken", group="no_such_module")
        (result,) = measure(BY_KEY["digits"], [broken], workers, TINY)
        assert result.note.startswith("failed: ModuleNotFoundError")

    def test_a_process_that_dies_is_a_row(self, workers):
        workers.ask(EAGER, 1, "forget")
        workers.running["by_hand", 1][0].kill()
        with pytest.raises(Unavailable, match="its process ended with -9"):
            workers.ask(EAGER, 1, "forget")
        assert workers.ask(EAGER, 1, "forget") is None  # by a new one

    def test_no_worker_is_left(self, tmp_path):
        with pytest.raises(KeyboardInterrupt), Workers("cpu", (1,), tmp_path) as workers:  # noqa: PT012
            workers.ask(EAGER, 1, "forget")
            ((worker, _),) = workers.running.values()
            raise KeyboardInterrupt
        assert worker.exitcode == 0


class TestCommand:
    @pytest.fixture
    def measured(self, monkeypatch):
        """The sizes and contenders that the command measures, without measuring them."""
        asked = []

        def fake(size, contenders, *_):
            asked.append((size.key, contenders))
            return [timed(REFERENCE), timed()]

        monkeypatch.setattr(command, "measure", fake)
        return asked

    def test_a_full_run_is_written(self, measured, monkeypatch, tmp_path):
        monkeypatch.setattr(command, "PAGE", tmp_path / "RESULTS.md")
        assert command.main(["--only", "iwae", "--device", "cpu", "--rounds", "7"]) == 0
        assert [key for key, _ in measured] == ["iwae"]
        assert "7 turns" in command.PAGE.read_text()

    def test_a_quick_run_writes_nothing_and_skips_what_is_slow_to_start(
        self, measured, monkeypatch, tmp_path, capsys
    ):
        monkeypatch.setattr(command, "PAGE", tmp_path / "RESULTS.md")
        assert command.main(["--quick", "--only", *BY_KEY, "--device", "cpu"]) == 0
        assert [key for key, _ in measured] == list(BY_KEY)
        assert not any(one.slow_to_start for _, asked in measured for one in asked)
        assert any(one.slow_to_start for one in CONTENDERS)
        assert not command.PAGE.exists()
        assert all(size.name in capsys.readouterr().out for size in SIZES[:1])

    def test_a_contender_that_trains_another_model_fails_the_run(
        self, monkeypatch, tmp_path, capsys
    ):
        monkeypatch.setattr(command, "measure", lambda *_: [timed(agrees=False)])
        page = ["--results", str(tmp_path / "page.md")]
        assert command.main(["--only", "digits", "--device", "cpu", *page]) == 1
        assert "not comparable" in capsys.readouterr().err

    def test_an_interrupt_is_said_and_what_was_finished_is_kept(
        self, monkeypatch, tmp_path, capsys
    ):
        def interrupted(size, *_):
            if size.key == "mnist":
                raise KeyboardInterrupt
            return [timed(REFERENCE), timed()]

        monkeypatch.setattr(command, "measure", interrupted)
        page = tmp_path / "RESULTS.md"
        parts = ["--only", "digits", "mnist", "--device", "cpu", "--results", str(page)]
        assert command.main(parts) == 130
        assert "the part being measured was not written" in capsys.readouterr().err
        text = page.read_text()
        assert BY_KEY["digits"].name in text
        assert BY_KEY["mnist"].name not in text

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["--only", "nothing"], "invalid choice: 'nothing'"),
            (["--rounds", "0"], "--rounds: expected at least 1, got 0"),
        ],
    )
    def test_bad_arguments(self, capsys, arguments, said):
        with pytest.raises(SystemExit, match="2"):
            command.main(arguments)
        assert said in capsys.readouterr().err

    def test_names_are_unique_and_thread_counts_sound(self):
        for contenders in (CONTENDERS, EPOCHS):
            names = [contender.name for contender in contenders]
            assert len(set(names)) == len(names)
        assert thread_counts("cpu")[0] == 1
        assert len(thread_counts("cuda")) == 1
