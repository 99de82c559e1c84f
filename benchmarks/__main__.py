"""Time this package's training step and its peers' side by side: ``python -m benchmarks``.

``--quick`` takes a minute or two, once what it compiles is cached. Only a whole run writes
benchmarks/RESULTS.md and its pictures.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks import epochs, picture, report
from benchmarks.contenders import CONTENDERS, EPOCHS, FLOORS, GROUPS, GROWING, Contender
from benchmarks.data import MNIST_ROOT
from benchmarks.sizes import BY_KEY, GROWTH, MNIST_MLP, SIZES
from benchmarks.timing import Effort, Result, grown, measure
from benchmarks.workers import Workers, thread_counts
from pyro_vae.report.plots.style import Picture
from pyro_vae.report.table import Table

FULL = Effort()
QUICK = Effort(rounds=5, seconds=0.1, check=160)
QUICK_ROWS = 16 * MNIST_MLP.batch
PARTS = (*BY_KEY, "growth", "epochs")


@dataclass
class Findings:
    """What a run has found so far."""

    tables: list[Table] = field(default_factory=list)
    pictures: dict[str, Picture] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def add(self, *tables: Table) -> None:
        """Keep tables, and show them."""
        for table in tables:
            self.tables.append(table)
            print(table, end="\n\n", flush=True)


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

    def whole(self) -> bool:
        """Whether everything was asked for, so that the results may be kept."""
        return not self.quick and set(self.parts) == set(PARTS) and set(self.peers) == set(GROUPS)

    def taking_part(self, contenders: Sequence[Contender]) -> list[Contender]:
        """Those of the groups that were asked for; a quick run leaves out the slow to start."""
        return [
            c for c in contenders
            if c.group in {*self.peers, "floor"} and not (self.quick and c.slow_to_start)
        ]  # fmt: skip

    def __call__(self, folder: Path) -> Findings:
        """Do everything, in turn."""
        found = Findings()
        # A whole run compiles everything anew, so that all begin alike.
        environment = {} if self.quick else {"TORCHINDUCTOR_CACHE_DIR": str(folder / "inductor")}
        data = None
        if "epochs" in self.parts:
            data = epochs.prepare(folder, QUICK_ROWS if self.quick else epochs.ROWS)
            environment[MNIST_ROOT] = data.root
        threads = (1,) if self.quick else thread_counts(self.device)
        with Workers(self.device, threads, folder, environment) as workers:
            self._sizes(found, workers)
            if data is not None:
                self._epochs(found, workers, data)
            if "growth" in self.parts:
                workers.end()
                self._growth(found, workers)
        return found

    def _sizes(self, found: Findings, workers: Workers) -> None:
        panels: list[tuple[str, list[Result]]] = []
        for size in SIZES:
            if size.key in self.parts:
                contenders = [*self.taking_part(CONTENDERS), *FLOORS]
                results = measure(size, contenders, workers, self.effort)
                found.add(report.size_table(size, results))
                found.problems += report.disagreements(results)
                panels.append((size.name, results))
        if panels:
            found.pictures["steps"] = picture.bars(panels)

    def _growth(self, found: Findings, workers: Workers) -> None:
        effort = replace(self.effort, rounds=min(5, self.effort.rounds))
        axes = {axis: points[:1] for axis, points in GROWTH.items()} if self.quick else GROWTH
        contenders = self.taking_part(GROWING)
        measured = {
            axis: [(n, grown(size, contenders, workers, effort)) for n, size in points]
            for axis, points in axes.items()
        }
        found.add(*report.growth_tables(measured))
        for points in measured.values():
            found.problems += [p for _, results in points for p in report.disagreements(results)]
        found.pictures["growth"] = picture.growth(measured)

    def _epochs(self, found: Findings, workers: Workers, data: epochs.EpochData) -> None:
        rounds = 1 if self.quick else 3
        results = epochs.epochs(self.taking_part(EPOCHS), workers, data, rounds)
        found.add(report.epochs_table(data.name, results))
        found.problems += report.disagreements(results)
        found.pictures["epochs"] = picture.bars([("an epoch of MNIST", results)], "s an epoch")


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
        "by default benchmarks/ for a whole run, and nothing for a part",
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
    folder = given.results or (Path(__file__).parent if run.whole() else None)
    return run, folder


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print, and write what there is to keep; 1 if a contender trains another model."""
    run, kept = chosen(arguments)
    print(report.machine(run.device), end="\n\n", flush=True)
    try:
        with tempfile.TemporaryDirectory(prefix="benchmarks-") as folder:
            found = run(Path(folder))
    except KeyboardInterrupt:
        print("\nInterrupted; nothing was written.", file=sys.stderr)
        return 130
    if kept is not None:
        kept.mkdir(parents=True, exist_ok=True)
        paths = []
        for name, drawn in found.pictures.items():
            paths.append(kept / f"{name}.png")
            picture.save(drawn, paths[-1])
        left_out = [part for part in PARTS if part not in run.parts]
        text = report.document(run.device, run.effort, found.tables, paths, left_out)
        (kept / "RESULTS.md").write_text(text)
        print(f"Written to {kept / 'RESULTS.md'}")
    for problem in found.problems:
        print(problem, file=sys.stderr)
    return 1 if found.problems else 0


if __name__ == "__main__":
    sys.exit(main())
