"""Time this package's training step beside its peers: ``python -m benchmarks``.

Prints a table for each size and for whole epochs, and writes them to benchmarks/RESULTS.md.
``--quick`` takes a few minutes and writes nothing.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks import report
from benchmarks.contenders import CONTENDERS, EPOCHS, Contender
from benchmarks.epochs import ROWS, measure_epochs
from benchmarks.sizes import BY_KEY, MNIST_MLP
from benchmarks.timing import Effort, Result, measure
from benchmarks.workers import Workers, thread_counts

FULL, QUICK = Effort(), Effort(rounds=5, seconds=0.1, epochs=1)
QUICK_ROWS = 16 * MNIST_MLP.batch
PARTS = (*BY_KEY, "epochs")
PAGE = Path(__file__).parent / "RESULTS.md"


def options() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true",
        help="few turns with one thread; without --only, the digits and a short epoch",
    )  # fmt: skip
    parser.add_argument("--only", nargs="+", choices=PARTS, metavar="SIZE",
                        help=f"what to measure, of {', '.join(PARTS)}")  # fmt: skip
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--rounds", type=int,
                        help=f"turns of each contender, at least 1 ({FULL.rounds})")  # fmt: skip
    parser.add_argument("--results", type=Path, metavar="FILE",
                        help="where to write the page (benchmarks/RESULTS.md)")  # fmt: skip
    return parser


def part(key: str, workers: Workers, effort: Effort, *, quick: bool) -> tuple[
    report.Section, list[Result]
]:  # fmt: skip
    """Measure a size, or the epochs."""

    def asked(contenders: Sequence[Contender]) -> list[Contender]:
        return [one for one in contenders if not (quick and one.slow_to_start)]

    if key == "epochs":
        rows = QUICK_ROWS if quick else ROWS
        data, results = measure_epochs(asked(EPOCHS), workers, rows, effort.epochs)
        return report.epochs_section(data, results, workers.device), results
    size = BY_KEY[key]
    results = measure(size, asked(CONTENDERS), workers, effort)
    return report.size_section(size, results, workers.device), results


def run(given: argparse.Namespace) -> list[str]:
    """Measure, print and write what was asked for; a sentence for each contender that differs."""
    device = given.device
    if device == "auto":
        import torch

        device = "cuda" if torch.cuda.is_available() else "cpu"
    effort = QUICK if given.quick else FULL
    if given.rounds is not None:
        effort = replace(effort, rounds=given.rounds, epochs=min(effort.epochs, given.rounds))
    page = given.results or (None if given.quick else PAGE)
    measured = report.summary(device, effort)
    print(measured, end="\n\n", flush=True)
    problems = []
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as folder:
        # A full run compiles everything again, so that times to the first chunk compare.
        cache = {} if given.quick else {"TORCHINDUCTOR_CACHE_DIR": f"{folder}/inductor"}
        threads = (1,) if given.quick else thread_counts(device)
        with Workers(device, threads, Path(folder), cache) as workers:
            for key in given.only or (("digits", "epochs") if given.quick else PARTS):
                section, results = part(key, workers, effort, quick=given.quick)
                print(section, end="\n\n", flush=True)
                problems += report.disagreements(results)
                if page is not None:
                    report.update(page, section, measured)
    return problems


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 1 if a contender trained another model."""
    parser = options()
    given = parser.parse_args(arguments)
    if given.rounds is not None and given.rounds < 1:
        parser.error(f"argument --rounds: expected at least 1, got {given.rounds}")
    try:
        problems = run(given)
    except KeyboardInterrupt:
        print("\nInterrupted: the part being measured was not written.", file=sys.stderr)
        return 130
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
