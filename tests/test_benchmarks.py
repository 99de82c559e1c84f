import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import __main__ as command
from benchmarks import picture, pieces, profile, report
from benchmarks.contenders import (
    CONTENDERS,
    EPOCHS,
    FLOORS,
    GROWING,
    REFERENCE,
    by_hand,
    floor,
    ours,
    pyro_svi,
)
from benchmarks.contenders.floor import adam_bytes
from benchmarks.contenders.nets import count
from benchmarks.contenders.pyro_svi import PyroVAE
from benchmarks.contenders.training import Unavailable, is_grey
from benchmarks.data import binary_digits, first_weights, mnist_folder
from benchmarks.results import Section, keep
from benchmarks.sizes import BY_KEY, GROWTH, SIZES, Size
from benchmarks.timing import TOLERANCE, Effort, Result, check_losses, measure, save_data
from benchmarks.workers import Workers, thread_counts
from pyro_vae.data.mnist import MNIST

TINY = Effort(rounds=1, seconds=0.001, check=160)
BY_NAME = {contender.name: contender for contender in CONTENDERS}
PYRO = BY_NAME[REFERENCE]
EAGER = BY_NAME["PyTorch by hand, eager"]


def timed(contender=EAGER, loss=30.0, parameters=9936, times=(0.002, 0.001, 0.004), **more):
    return Result(contender, threads=1, parameters=parameters, loss=loss, start=0.5,
                  times=list(times), **more)  # fmt: skip


class TestSizes:
    def test_flops_of_a_known_net_by_hand(self):
        # 784-400-(2 x 20), 20-400-784, batch 128: each layer is multiplied once forward and twice
        # backward, but for the first, which needs no gradient of the data.
        forward = 2 * 128 * (784 * 400 + 400 * 40 + 20 * 400 + 400 * 784)
        assert BY_KEY["mnist"].flops == 3 * forward - 2 * 128 * 784 * 400

    def test_flops_of_the_conv_net_by_hand(self):
        encoder = 14**2 * 9 * 1 * 32, 7**2 * 9 * 32 * 64, 64 * 49 * 40
        decoder = 20 * 64 * 49, 7**2 * 64 * 16 * 32, 14**2 * 32 * 16 * 1
        forward = 2 * 128 * sum((*encoder, *decoder))
        assert BY_KEY["conv"].flops == 3 * forward - 2 * 128 * encoder[0]

    def test_parameters_and_bytes_by_hand(self):
        parameters = (784 * 400 + 400) + (400 * 40 + 40) + (20 * 400 + 400) + (400 * 784 + 784)
        assert BY_KEY["mnist"].parameters == parameters == 652_824
        assert adam_bytes(BY_KEY["mnist"]) == 4 * (4 + 3) * parameters

    @pytest.mark.parametrize("size", SIZES, ids=lambda size: size.key)
    def test_every_contender_in_torch_has_as_many_parameters(self, size):
        weights = first_weights(size)
        assert count(by_hand.NegativeELBO(size)) == size.parameters
        assert count(PyroVAE(size)) == size.parameters
        assert count(ours.vae_of(size, weights)) == size.parameters
        assert sum(values.size for values in weights.values()) == size.parameters

    def test_the_square_product_has_as_many_operations(self):
        for size in SIZES:
            (square,) = floor.build("square", size, None, {}, "cpu").products
            assert 2 * square().shape[0] ** 3 == pytest.approx(size.flops, rel=0.02)

    def test_a_size_survives_its_json(self):
        for size in SIZES:
            assert Size.of(json.loads(json.dumps(size.json()))) == size

    def test_what_grows_is_one_thing_at_a_time(self):
        for axis, points in GROWTH.items():
            for value, size in points:
                grown = getattr(size, axis)
                assert (grown[0] if axis == "hidden" else grown) == value
                assert 2 <= size.steps <= 32


class TestData:
    def test_binary(self):
        for size in SIZES:
            x = binary_digits(size.event_shape)
            assert x.shape == (1797, *size.event_shape)
            assert set(np.unique(x)) == {0.0, 1.0}

    def test_grey_pixels_are_drawn_anew_for_every_batch(self):
        grey = np.tile(np.float32([0, 0.25, 1]), (64, 22))[:, :64]
        digits, rows = BY_KEY["digits"], torch.arange(64)
        asked = digits, grey, first_weights(digits), "cpu"
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

    def test_the_stand_in_for_mnist_is_read_as_mnist(self, tmp_path):
        mnist_folder(tmp_path, 50)
        x = MNIST(root=tmp_path, validation=0).read().x
        assert x.shape == (50, 1, 28, 28)
        expected = binary_digits((784,))[:50].reshape(50, 1, 28, 28)
        assert ((np.asarray(x) > 0.5) != expected).mean() < 0.01  # rounded to bytes


class TestCheck:
    def test_agreement_within_the_tolerance(self):
        results = [timed(loss=30 * (1 + 0.9 * TOLERANCE)), timed(), timed()]
        check_losses(results, 9936)
        assert all(result.agrees for result in results)

    @pytest.mark.parametrize(
        "other", [timed(loss=30 * (1 - 1.1 * TOLERANCE)), timed(parameters=9000)]
    )
    def test_another_model_is_not_compared(self, other):
        results = [timed(PYRO), timed(), other]
        check_losses(results, 9936)
        assert [result.agrees for result in results] == [True, True, False]
        assert "not comparable" in str(report.size_table(BY_KEY["digits"], results, "cpu"))
        (sentence,) = report.disagreements(results)
        assert other.contender.name in sentence

    def test_a_loss_is_not_asked_of_the_floor(self):
        results = [timed(), timed(FLOORS[0], loss=float("nan"))]
        check_losses(results, 9936)
        assert results[1].agrees


class TestReport:
    def test_medians_and_the_median_of_the_ratios(self):
        pyro = timed(PYRO, times=(0.004, 0.004, 0.004))
        table = report.size_table(BY_KEY["digits"], [pyro, timed()], "cpu")
        assert [cell.text for cell in table.rows[1]] == [
            EAGER.name, "1", "2.00", "1.00 to 4.00", "2.00", "30.00", "0.50",
        ]  # fmt: skip

    def test_a_peer_that_is_missing_says_so(self):
        row = report.size_table(
            BY_KEY["digits"], [Result(EAGER, note="not installed: pip install it")], "cpu"
        ).rows[0]
        assert row[0].text == f"{EAGER.name}: not installed: pip install it"
        assert {cell.text for cell in row[1:]} == {"—"}

    @pytest.mark.parametrize(("device", "said"), [("cpu", 1), ("cuda", 0)])
    def test_a_run_on_a_cpu_says_that_no_gpu_was_measured(self, device, said):
        for table in (
            report.size_table(BY_KEY["digits"], [timed(PYRO)], device),
            report.epochs_table("of something", [timed(PYRO)], device),
        ):
            assert str(table).count("on a GPU: not measured") == said

    def test_the_floor_in_words(self):
        times = 0.002, 0.001, 0.0005  # own products, a square one, bytes
        floors = [timed(one, times=[t]) for one, t in zip(FLOORS, times, strict=True)]
        size = BY_KEY["digits"]
        said = report.size_table(size, floors, "cpu").caption
        assert f"{size.flops / 2e6:.0f} GFLOP/s" in said
        assert f"{adam_bytes(size) / 5e5:.0f} GB/s" in said
        assert said.endswith("floor: 1 ms")

    def test_pictures(self, tmp_path):
        results = [timed(PYRO), timed(), timed(FLOORS[0]), Result(CONTENDERS[0], note="missing")]
        grown = {"batch": [(n, [timed(megabytes=n), timed(FLOORS[1])]) for n in (32, 64)]}
        drawn = {
            "steps": picture.bars([("digits", results), ("other", results[:1])]),
            "growth": picture.growth(grown),
        }
        for name, one in drawn.items():
            picture.save(one, tmp_path / f"{name}.png")
            with Image.open(tmp_path / f"{name}.png") as read:
                assert read.size[0] > 300
        assert len(drawn["steps"].axes[0].patches) == 3  # the missing one has no bar

    def test_the_tables_of_growth(self):
        grown = {"batch": [(n, [timed(megabytes=n), timed(FLOORS[1])]) for n in (32, 64)]}
        _, memory = report.growth_tables(grown)
        assert [row[0].text for row in memory.rows] == [EAGER.name]  # the floor has no memory
        assert [cell.text for cell in memory.rows[0][1:]] == ["32", "64"]

    def test_how_it_was_measured(self):
        for part in command.PARTS:
            said = report.how(part, Effort(rounds=9, seconds=0.5))
            assert ("9 " in said) == (part != "profile")
            assert ("Memory" in said) == (part == "growth")
            assert ("floor" in said) == (part in BY_KEY)


class TestPieces:
    def timed(self, *, without=()):
        times = {
            pieces.OURS: (0.004, 0.009, 0.005), pieces.FUNCTION: (0.003, 0.008, 0.0046),
            pieces.PRODUCTS: (0.002, 0.001, 0.009), pieces.SCAN: (0.0055, 0.005, 0.006),
            pieces.BY_XLA: (0.003, 0.003, 0.003),
        }  # fmt: skip
        return [
            Result(one, note="not installed") if one in without else timed(one, times=found)
            for one, found in times.items()
        ]

    def test_the_two_steps_and_their_difference_by_hand(self):
        made = pieces.table(BY_KEY["digits"], {2: self.timed()})
        cells = [[cell.text for cell in row] for row in made.rows]
        assert [row[1:] for row in cells] == [
            ["2", "5.00", "2.00", "1.00", "2.00"],
            ["2", "5.50", "3.00", "0", "2.50"],
            ["2", "-0.500", "-1.00", "1.00", "-0.500"],
        ]

    def test_a_piece_that_is_not_there(self):
        (row,) = pieces.table(BY_KEY["digits"], {1: self.timed(without=[pieces.BY_XLA])}).rows
        assert row[0].text == pieces.OURS.name

    def test_products_in_each_way(self):
        size = BY_KEY["iwae"]
        found = [{"narrow": 1e-5, "blas": 2e-5} for _ in size.products()]
        found[0] = {"blas": 3e-5}
        made = pieces.ways_table(size, 2, found)
        first, *others = ([cell.text for cell in row] for row in made.rows)
        assert first == ["output: 20 x 784 by 784 x 200", "1", "30.0", "—", "1.0"]
        assert others[1] == ["output: 20 x 200 by 200 x 200", "2", "20.0", "10.0", "0.50"]
        assert len(made.rows) == 11  # without the three of 20 x 50 x 200, and with three twice


class TestResults:
    def section(self, key, device="cpu", words="how"):
        size = BY_KEY[key]
        table = report.size_table(size, [timed(PYRO), timed()], "cpu")
        drawn = picture.bars([(size.name, [timed()])])
        return Section(size.name, key, device, [report.machine("cpu"), words], [table], drawn)

    def test_a_section(self, tmp_path):
        path = keep(self.section("digits"), tmp_path / "new")
        text = path.read_text()
        assert f"## {BY_KEY['digits'].name} (CPU)\n\n" in text
        assert "torch 2." in text
        assert "(digits-cpu.png)" in text
        assert (path.parent / "digits-cpu.png").stat().st_size > 1000
        assert f"| {EAGER.name}" in text

    def test_a_part_replaces_its_own_section_only(self, tmp_path):
        for part in (self.section("digits"), self.section("mnist", words="mnist's"),
                     self.section("digits", "cuda", "on cuda")):  # fmt: skip
            path = keep(part, tmp_path)
        before = path.read_text()
        keep(self.section("digits", words="another day"), tmp_path)
        after = path.read_text()
        assert after.count("\n## ") == before.count("\n## ") == 3
        assert "\n\nhow\n\n" in before
        assert "\n\nhow\n\n" not in after
        assert "another day" in after
        assert "mnist's" in after
        assert "on cuda" in after
        keep(self.section("digits"), tmp_path)
        assert path.read_text() == before


class TestRun:
    @pytest.fixture
    def workers(self, tmp_path):
        with Workers("cpu", (1,), tmp_path) as running:
            yield running

    def test_one_round_of_the_digits(self, workers):
        names = ("pyro_vae, step: pyro", REFERENCE, EAGER.name,
                 "NumPyro, jit", "pythae, BaseTrainer")  # fmt: skip
        contenders = [*(BY_NAME[name] for name in names), *FLOORS]
        results = measure(BY_KEY["digits"], contenders, workers, TINY)
        for result in results:
            package = result.contender.package
            if package and find_spec(package) is None:
                assert "pip install" in result.note
                continue
            assert not result.note
            assert result.agrees
            assert len(result.times) == 1
            assert result.parameters == BY_KEY["digits"].parameters
        assert report.disagreements(results) == []

    def test_where_a_step_of_pyro_goes(self, workers, tmp_path):
        size = BY_KEY["digits"]
        made = profile.table(size, [PYRO], workers, save_data(size, tmp_path))
        (row,) = made.rows
        assert row[0].text == REFERENCE
        whole, *kinds, between = (float(cell.text.replace(",", "")) for cell in row[1:])
        assert 0 < between < whole
        assert all(kind > 0 for kind in kinds)
        assert sum(kinds) + between == pytest.approx(whole, rel=0.02)

    def test_pieces_of_the_two_steps(self, workers):
        size = BY_KEY["digits"]
        contenders = [c for c in pieces.PIECES if c != pieces.SCAN]
        results = measure(size, contenders, workers, TINY)
        assert [bool(run.note) for run in results] == [
            bool(c.package) and find_spec(c.package) is None for c in contenders
        ]
        assert all(run.median > 0 for run in results if not run.note)
        assert results[1].agrees
        assert results[1].loss == pytest.approx(results[0].loss, rel=1e-5)
        found = pieces.ways(size, workers)
        assert len(found) == len(size.products())
        assert all(0 < times["blas"] < 1 for times in found)

    @pytest.mark.parametrize(
        ("name", "kind"),
        [
            ("aoti_torch_cpu_mm_out", "products"),
            ("aten::addmm", "products"),
            ("aten::convolution_backward", "products"),
            ("mkldnn::_linear_pointwise", "products"),
            ("pyro_vae::split_product", "products"),
            ("pyro_vae.onednn_product.default", "products"),
            ("graph_0_cpp_fused_onednn_product_tanh_1", "other kernels"),
            ("aten::uniform_", "random"),
            ("aten::normal_", "random"),
            ("graph_0_cpp_fused__to_copy_abs_add_addcmul_all_copy__div_lerp_sqrt_0", "optimizer"),
            ("aten::_fused_adam_", "optimizer"),
            ("graph_0_cpp_fused_tanh_1", "other kernels"),
            ("aten::copy_", "other kernels"),
            ("## Call CompiledFxGraph None ##", None),
            ("AOTDispatcher Runtime Wrapper Prologue", None),
        ],
    )
    def test_kinds_of_events(self, name, kind):
        assert profile.kind_of(name) == kind

    def test_a_contender_that_fails_is_a_row(self, workers):
        broken = replace(EAGER, name="broken", group="no_such_module")
        (result,) = measure(BY_KEY["digits"], [broken], workers, TINY)
        assert result.note.startswith("failed: ModuleNotFoundError")

    def test_a_process_that_dies_is_a_row(self, workers):
        workers.ask(EAGER, 1, "forget")
        workers.running["by_hand", 1].kill()
        with pytest.raises(Unavailable, match="its process ended with -9"):
            workers.ask(EAGER, 1, "forget")
        assert workers.ask(EAGER, 1, "forget") == {}  # by a new one

    def test_no_worker_is_left(self, tmp_path):
        with pytest.raises(KeyboardInterrupt), Workers("cpu", (1,), tmp_path) as workers:  # noqa: PT012
            workers.ask(EAGER, 1, "forget")
            (worker,) = workers.running.values()
            raise KeyboardInterrupt
        assert worker.poll() is not None


class TestCommand:
    def test_a_full_comparison_is_kept(self):
        folder = Path(command.__file__).parent
        for full in ([], ["--only", "digits"]):
            assert command.chosen([*full, "--device", "cpu"])[1] == folder
        for part in (["--quick"], ["--peers", "ours"]):
            assert command.chosen([*part, "--device", "cpu"])[1] is None

    def test_peers(self):
        run, _ = command.chosen(["--peers", "pyro_svi", "--device", "cpu"])
        assert [c.name for c in run.taking_part([*CONTENDERS, *FLOORS])] == [
            REFERENCE, *(one.name for one in FLOORS),
        ]  # fmt: skip

    def test_quick_leaves_out_what_is_slow_to_start(self):
        run, _ = command.chosen(["--quick", "--device", "cpu"])
        assert not any(c.slow_to_start for c in run.taking_part(CONTENDERS))
        assert any(c.slow_to_start for c in CONTENDERS)

    def test_an_interrupt_is_said_and_what_was_finished_is_kept(
        self, monkeypatch, tmp_path, capsys
    ):
        def interrupted(size, *_):
            if size.key == "mnist":
                raise KeyboardInterrupt
            return [timed(PYRO), timed()]

        monkeypatch.setattr(command, "measure", interrupted)
        parts = ["--only", "digits", "mnist", "--device", "cpu", "--results", str(tmp_path)]
        assert command.main(parts) == 130
        assert "the part under way was not written" in capsys.readouterr().err
        text = (tmp_path / "RESULTS.md").read_text()
        assert BY_KEY["digits"].name in text
        assert BY_KEY["mnist"].name not in text

    def test_a_part_that_is_not_known(self, capsys):
        with pytest.raises(SystemExit, match="2"):
            command.chosen(["--only", "nothing"])
        assert "invalid choice: 'nothing'" in capsys.readouterr().err

    def test_names_are_unique_and_thread_counts_sound(self):
        for contenders in (CONTENDERS, EPOCHS, (*GROWING,)):
            names = [contender.name for contender in contenders]
            assert len(set(names)) == len(names)
        assert thread_counts("cpu")[0] == 1
        assert len(thread_counts("cuda")) == 1
