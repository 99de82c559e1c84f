"""Time this package's training step and its peers' side by side: ``python -m benchmarks``.

``--quick`` takes a minute or two, once what it compiles is cached. A run that is not quick, beside
all peers, writes each part as it ends to benchmarks/RESULTS.md, with a picture.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks import epochs, picture, pieces, profile, report
from benchmarks.contenders import CONTENDERS, EPOCHS, FLOORS, GROUPS, GROWING, Contender
from benchmarks.data import MNIST_ROOT
from benchmarks.results import Section, keep
from benchmarks.sizes import BY_KEY, GROWTH, MNIST_MLP, SIZES, Size
from benchmarks.timing import Effort, Result, grown, measure, save_data
from benchmarks.workers import Workers, thread_counts
from pyro_vae.plots.style import Picture
from pyro_vae.report.table import Table

FULL = Effort()
QUICK = Effort(rounds=5, seconds=0.1, check=160)
QUICK_ROWS = 16 * MNIST_MLP.batch
PARTS = (*BY_KEY, "epochs", "profile", "pieces", "growth")


@dataclass
class Findings:
    """What a run has found so far.

    Args:
        keep: Given each part as it ends.

    Attributes:
        problems: A sentence for each contender that trained another model.
    """

    keep: Callable[[Section], None]
    problems: list[str] = field(default_factory=list)

    def add(self, section: Section, *results: Sequence[Result]) -> None:
        """Show a part, and keep it."""
        for table in section.tables:
            print(table, end="\n\n", flush=True)
        self.keep(section)
        self.problems += [said for part in results for said in report.disagreements(part)]


@dataclass(frozen=True)
class Run:
    """What was asked for.

    Args:
        parts: Keys of sizes, ``growth`` and ``epochs``.
        peers: The groups that take part.
        device: ``cpu`` or ``cuda``.
        quick: Whether to do little.
        effort: How much to do.
    """

    parts: Sequence[str]
    peers: Sequence[str]
    device: str
    quick: bool
    effort: Effort

    def worth_keeping(self) -> bool:
        """Whether it is a full comparison, of some parts or all, so that it may be kept."""
        return not self.quick and set(self.peers) == set(GROUPS)

    def taking_part(self, contenders: Sequence[Contender]) -> list[Contender]:
        """Those of the groups that were asked for; a quick run leaves out the slow to start."""
        return [
            c for c in contenders
            if c.group in {*self.peers, "floor"} and not (self.quick and c.slow_to_start)
        ]  # fmt: skip

    def __call__(self, folder: Path, keep: Callable[[Section], None]) -> Findings:
        """Do everything, in turn.

        Args:
            folder: For what is needed while it runs.
            keep: Given each part as it ends.
        """
        found = Findings(keep)
        # A run that is not quick compiles everything anew, so that all begin alike.
        environment = {} if self.quick else {"TORCHINDUCTOR_CACHE_DIR": str(folder / "inductor")}
        data = None
        if "epochs" in self.parts:
            data = epochs.prepare(folder, QUICK_ROWS if self.quick else epochs.ROWS)
            environment[MNIST_ROOT] = data.root
        threads = (1,) if self.quick else thread_counts(self.device)
        with Workers(self.device, threads, folder, environment) as workers:
            for size in SIZES:
                if size.key in self.parts:
                    self._size(found, workers, size)
            if data is not None:
                self._epochs(found, workers, data)
            workers.end()
            if "profile" in self.parts:
                self._profile(found, threads[:1], folder, environment)
            if "pieces" in self.parts:
                self._pieces(found, threads, folder, environment)
            if "growth" in self.parts:
                self._growth(found, workers)
        return found

    def _size(self, found: Findings, workers: Workers, size: Size) -> None:
        contenders = [*self.taking_part(CONTENDERS), *FLOORS]
        results = measure(size, contenders, workers, self.effort)
        drawn = picture.bars([(size.name, results)])
        tables = [report.size_table(size, results, self.device)]
        found.add(self._section(size.name, size.key, tables, drawn), results)

    def _epochs(self, found: Findings, workers: Workers, data: epochs.EpochData) -> None:
        effort = replace(self.effort, rounds=1 if self.quick else min(3, self.effort.rounds))
        results = epochs.epochs(self.taking_part(EPOCHS), workers, data, effort.rounds)
        drawn = picture.bars([("an epoch of MNIST", results)], "s an epoch")
        tables = [report.epochs_table(data.name, results, self.device)]
        found.add(self._section("Whole epochs", "epochs", tables, drawn, effort), results)

    def _profile(
        self, found: Findings, threads: tuple[int, ...], folder: Path, environment: dict[str, str]
    ) -> None:
        contenders = self.taking_part(profile.PROFILED)
        seen = environment | profile.ENVIRONMENT
        with Workers(self.device, threads, folder, seen) as workers:
            tables = [
                profile.table(size, contenders, workers, save_data(size, folder))
                for size in (SIZES[:1] if self.quick else SIZES)
            ]
        found.add(self._section("Where a step's time goes", "profile", tables))

    def _pieces(
        self, found: Findings, threads: tuple[int, ...], folder: Path, environment: dict[str, str]
    ) -> None:
        contenders = self.taking_part(pieces.PIECES)
        tables, results = [], []
        for size in SIZES[:1] if self.quick else [s for s in SIZES if not s.channels]:
            measured = {}
            for count in threads:
                with Workers(self.device, (count,), folder, environment) as workers:
                    measured[count] = measure(size, contenders, workers, self.effort)
                    if self.device == "cpu" and count == max(threads):
                        ways = pieces.ways(size, workers)
            tables += [pieces.table(size, measured)]
            if self.device == "cpu":
                tables.append(pieces.ways_table(size, max(threads), ways))
            results += measured.values()
        section = self._section("What the quickest steps are made of", "pieces", tables)
        found.add(section, *results)

    def _growth(self, found: Findings, workers: Workers) -> None:
        effort = replace(self.effort, rounds=min(5, self.effort.rounds))
        axes = {axis: points[:1] for axis, points in GROWTH.items()} if self.quick else GROWTH
        contenders = self.taking_part(GROWING)
        measured = {
            axis: [(n, grown(size, contenders, workers, effort)) for n, size in points]
            for axis, points in axes.items()
        }
        tables, drawn = report.growth_tables(measured), picture.growth(measured)
        section = self._section("Growth", "growth", tables, drawn, effort)
        found.add(section, *(results for points in measured.values() for _, results in points))

    def _section(
        self, title: str, key: str, tables: Sequence[Table], drawn: Picture | None = None,
        effort: Effort | None = None,
    ) -> Section:  # fmt: skip
        how = report.how(key, effort or self.effort)
        return Section(title, key, self.device, [report.machine(self.device), how], tables, drawn)


def options() -> argparse.ArgumentParser:
    """What the command line says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="the digits and a short epoch, with one thread"
    )
    parser.add_argument("--only", nargs="+", choices=PARTS, metavar="PART",
                        help=f"of {', '.join(PARTS)}")  # fmt: skip
    parser.add_argument("--peers", nargs="+", choices=GROUPS, metavar="PEER", default=GROUPS,
                        help=f"who takes part, of {', '.join(GROUPS)}")  # fmt: skip
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--rounds", type=int, help=f"turns of each contender ({FULL.rounds})")
    parser.add_argument(
        "--results",
        type=Path,
        help="a folder for RESULTS.md and its pictures; "
        "by default benchmarks/, and nothing for a quick run or some peers",
    )
    return parser


def chosen(arguments: Sequence[str] | None = None) -> tuple[Run, Path | None]:
    """The run that the command line asks for, and where its results go."""
    given = options().parse_args(arguments)
    device = given.device
    if device == "auto":
        import torch

        device = "cuda" if torch.cuda.is_available() else "cpu"
    effort = QUICK if given.quick else FULL
    if given.rounds is not None:
        effort = replace(effort, rounds=max(1, given.rounds))
    parts = given.only or (("digits", "epochs") if given.quick else PARTS)
    run = Run(parts, given.peers, device, given.quick, effort)
    folder = given.results or (Path(__file__).parent if run.worth_keeping() else None)
    return run, folder


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print, and write what there is to keep; 1 if a contender trains another model."""
    run, kept = chosen(arguments)
    print(report.machine(run.device), end="\n\n", flush=True)

    def kept_or_not(section: Section) -> None:
        if kept is not None:
            print(f"{section.title}: written to {keep(section, kept)}", end="\n\n", flush=True)

    try:
        with tempfile.TemporaryDirectory(prefix="benchmarks-") as folder:
            found = run(Path(folder), kept_or_not)
    except KeyboardInterrupt:
        print("\nInterrupted; the part under way was not written.", file=sys.stderr)
        return 130
    for problem in found.problems:
        print(problem, file=sys.stderr)
    return 1 if found.problems else 0


if __name__ == "__main__":
    sys.exit(main())
