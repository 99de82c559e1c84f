import pytest

from benchmarks import report
from benchmarks.contenders import REFERENCE
from benchmarks.sizes import BY_KEY
from benchmarks.timing import Effort, Result
from tests.test_benchmarks import BY_VARIANT, COMPILED, EAGER, EXACT, JIT, timed


def texts(section):
    return [[cell.text for cell in row] for row in section.table.rows]


class TestReport:
    def test_medians_and_the_median_of_the_ratios(self):
        pyro = timed(REFERENCE, times=(0.004, 0.004, 0.004))
        rows = texts(report.size_section(BY_KEY["digits"], [pyro, timed()], "cpu"))
        assert rows[1] == [EAGER.name, "1", "2.00", "1.00 to 4.00", "2.00", "30.00", "0.50"]

    def test_the_sentence_compares_the_exact_step_with_each_peer(self):
        times = {REFERENCE: 0.04, COMPILED: 0.003, EXACT: 0.002, JIT: 0.001,
                 BY_VARIANT["compile"]: 0.01, BY_VARIANT["autotune"]: 0.008}  # fmt: skip
        results = [timed(one, times=[time]) for one, time in times.items()]
        said = report.size_section(BY_KEY["digits"], results, "cpu").table.caption
        assert said == (
            "9,936 parameters. Speed of CompiledSVI (exact KL): 20.0 times Pyro's SVI.step, "
            "4.00 times torch.compile by hand (the faster mode), 0.500 times NumPyro's jit."
        )
        results = [one for one in results if one.contender != EXACT]
        said = report.size_section(BY_KEY["digits"], results, "cpu").table.caption
        assert "CompiledSVI (sampled KL): 13.3 times Pyro's" in said

    def test_a_peer_that_is_missing_says_so(self):
        missing = Result(JIT, note="not installed: pip install it")
        row, _ = texts(report.size_section(BY_KEY["digits"], [missing], "cpu"))
        assert row[0] == f"{JIT.name}: not installed: pip install it"
        assert set(row[1:]) == {"—"}

    @pytest.mark.parametrize(("device", "said"), [("cpu", 1), ("cuda", 0)])
    def test_a_run_on_a_cpu_says_that_no_gpu_was_measured(self, device, said):
        for section in (
            report.size_section(BY_KEY["digits"], [timed(REFERENCE)], device),
            report.epochs_section("some data", [timed(REFERENCE)], device),
        ):
            assert str(section).count("on a GPU: not measured") == said
            assert section.title.endswith("(GPU)") == (device == "cuda")


class TestPage:
    def section(self, key, device="cpu", loss=30.0):
        return report.size_section(BY_KEY[key], [timed(REFERENCE, loss=loss), timed()], device)

    def test_a_page(self, tmp_path):
        page, measured = tmp_path / "new" / "RESULTS.md", report.summary("cpu", Effort(rounds=9))
        report.update(page, self.section("digits"), measured)
        text = page.read_text()
        assert text.count("Measured on ") == 1
        assert "torch 2." in text
        assert "9 turns of about 0.3 s" in text
        assert f"## {BY_KEY['digits'].name}\n\n| step" in text
        assert f"| {EAGER.name}" in text

    def test_a_part_replaces_its_own_table_only(self, tmp_path):
        page = tmp_path / "RESULTS.md"
        for section in (self.section("digits"), self.section("mnist"),
                        self.section("digits", "cuda")):  # fmt: skip
            report.update(page, section, "Measured on Monday.")
        before = page.read_text()
        report.update(page, self.section("digits", loss=77.0), "Measured on Monday.")
        assert page.read_text().count("77.00") == 1
        report.update(page, self.section("digits"), "Measured on Monday.")
        assert page.read_text() == before
        assert before.count("\n## ") == 3

    def test_tables_of_an_earlier_run_name_it(self, tmp_path):
        page = tmp_path / "RESULTS.md"
        for key, day in (("digits", "Monday"), ("mnist", "Tuesday"), ("iwae", "Wednesday")):
            report.update(page, self.section(key), f"Measured on {day}.")
        top, digits, mnist, iwae = page.read_text().split("\n## ")
        assert "Measured on Wednesday." in top
        assert "\n\nEarlier. Measured on Monday.\n\n| step" in digits
        assert "\n\nEarlier. Measured on Tuesday.\n\n| step" in mnist
        assert "Earlier" not in iwae
        report.update(page, self.section("digits"), "Measured on Wednesday.")
        assert "Monday" not in page.read_text()
