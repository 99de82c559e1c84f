"""The results as tables, and the page that keeps them."""

from __future__ import annotations

import datetime
import os
import platform
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from itertools import pairwise
from pathlib import Path

from benchmarks.contenders import REFERENCE
from benchmarks.sizes import Size
from benchmarks.timing import CHECKED, TOLERANCE, Effort, Result
from pyro_vae.report.numbers import MISSING, number
from pyro_vae.report.table import Cell, Table

__all__ = ["Section", "disagreements", "epochs_section", "size_section", "summary", "update"]

PACKAGES = ("torch", "pyro-ppl", "numpyro", "jax", "pythae", "torchvision", "numpy")
TITLE = "# Benchmark results"
INTRODUCTION = (
    "`make bench` (`python -m benchmarks`) writes this page; `--only digits` measures that part "
    "again and replaces its table. All contenders train the same model on the same data with Adam "
    "at 1e-3. Each must learn as many values as the model has, and its mean loss over the first "
    f"{CHECKED} chunks of steps, from the same weights and batches, must be within "
    f"{100 * TOLERANCE:.0f}% of the median of all; otherwise its row says so. They are then timed "
    "in turns within one run. A row shows the faster of one thread and all of them, the median "
    "over the turns, and the median of the ratios within each turn. pythae's time includes its "
    "DataLoader, which its trainer needs."
)
MEASURED = "Measured on "
PEERS = {
    "Pyro's SVI.step": ("Trace_ELBO",),
    "torch.compile by hand (the faster mode)": ("compile", "autotune"),
    "NumPyro's jit": ("jit",),
    "NumPyro's lax.scan": ("scan",),
}


@dataclass(frozen=True)
class Section:
    """One table of the page.

    Args:
        title: Its heading.
        table: The results; the caption is the sentence below.
    """

    title: str
    table: Table

    def __str__(self) -> str:
        return f"{self.title}\n\n{self.table}"

    def markdown(self) -> str:
        """The section as it is written to the page."""
        return f"## {self.title}\n\n{self.table.markdown()}"


def size_section(size: Size, results: Sequence[Result], device: str) -> Section:
    """A row for each contender; the ratios are to Pyro's step."""
    reference = next((r for r in results if r.contender == REFERENCE), None)
    table = Table(
        "",
        ["step", "threads", "ms, median", "min to max", "Pyro's time / its time",
         "loss, nats per datum", "first chunk, s"],
        caption=f"{_parameters(results)}{_against_peers(results, reference)}".strip(),
    )  # fmt: skip
    return Section(_title(size.name, device), _filled(table, results, reference, 1000, device))


def epochs_section(data: str, results: Sequence[Result], device: str) -> Section:
    """A row for each contender; the ratios are to the first one, a tutorial's loop."""
    table = Table(
        "",
        ["epoch", "threads", "s, median", "min to max", "tutorial's time / its time",
         "loss, nats per datum", "first epoch, s"],
        caption=f"{data}, drawn as zeros and ones for each batch. The loss is that of the first "
        "epoch, whose time includes building and compiling.",
    )  # fmt: skip
    reference = next(iter(results), None)
    return Section(
        _title("Whole epochs of MNIST", device), _filled(table, results, reference, 1, device)
    )


def disagreements(results: Sequence[Result]) -> list[str]:
    """A sentence for each contender that trained another model."""
    return [
        f"{r.contender.name}: learns {r.parameters:,} values, with a loss of {r.loss:.2f}. This "
        "is not the model that the others train, so its time is not comparable"
        for r in results
        if not r.agrees
    ]


def summary(device: str, effort: Effort) -> str:
    """The day, the machine, the versions, and how long each contender was timed."""
    versions = ", ".join(f"{name} {_version(name)}" for name in PACKAGES)
    return (
        f"{MEASURED}{datetime.date.today()}: {_processor()}, {os.cpu_count()} cores"
        f"{_accelerator(device)}; {platform.system()}, Python {platform.python_version()}; "
        f"{versions}; {effort.rounds} turns of about {effort.seconds:g} s (epochs: "
        f"{effort.epochs})."
    )


def update(page: Path, section: Section, measured: str) -> None:
    """Write a section to the page, in place of the one with its title.

    Sections of an earlier run stay, and name that run.

    Args:
        page: The Markdown file.
        section: What to write.
        measured: The :func:`summary` of this run, for the top of the page.
    """
    text = page.read_text() if page.exists() else ""
    earlier = re.search(rf"^{MEASURED}.*$", text, re.MULTILINE)
    starts = [*(found.start() for found in re.finditer("^## ", text, re.MULTILINE)), len(text)]
    sections = {}
    for start, end in pairwise(starts):
        title, _, body = text[start:end].strip().partition("\n\n")
        if earlier and earlier[0] != measured and not body.startswith("Earlier. "):
            body = f"Earlier. {earlier[0]}\n\n{body}"
        sections[title] = f"{title}\n\n{body}"
    sections[f"## {section.title}"] = section.markdown()
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text("\n\n".join([TITLE, measured, INTRODUCTION, *sections.values()]) + "\n")


def _title(name: str, device: str) -> str:
    return name if device == "cpu" else f"{name} (GPU)"


def _filled(
    table: Table, results: Sequence[Result], reference: Result | None, unit: float, device: str
) -> Table:
    for result in results:
        table.add(*_row(result, reference, unit))
    if device == "cpu":
        table.add(Cell("on a GPU: not measured", "muted"), *[MISSING] * 6)
    return table


def _row(result: Result, reference: Result | None, unit: float) -> list[str | Cell]:
    name = result.contender.name
    if result.note:
        return [Cell(f"{name}: {result.note}", "muted"), *[MISSING] * 6]
    low, high = unit * min(result.times), unit * max(result.times)
    loss, ratio = f"{result.loss:.2f}", number(_ratio(result, reference), 3)
    return [
        name,
        str(result.threads),
        number(unit * result.median, 3),
        f"{number(low, 3)} to {number(high, 3)}",
        ratio if result.agrees else Cell("not comparable", "bad"),
        loss if result.agrees else Cell(loss, "bad"),
        number(result.start, 2),
    ]


def _parameters(results: Sequence[Result]) -> str:
    expected = max((result.expected for result in results), default=0)
    return f"{expected:,} parameters. " if expected else ""


def _ratio(result: Result, reference: Result | None) -> float | None:
    """Median over the turns of the reference's time divided by this one's."""
    if reference is None or reference.note or not reference.times or not result.times:
        return None
    pairs = zip(reference.times, result.times, strict=False)
    return statistics.median(theirs / its for theirs, its in pairs)


def _against_peers(results: Sequence[Result], reference: Result | None) -> str:
    """How much faster the compiled step is than each peer, from the table's own ratios."""
    ratios = {
        result.contender.variant: _ratio(result, reference)
        for result in results
        if result.agrees and not result.note
    }
    return peers_in_words({name: ratio for name, ratio in ratios.items() if ratio is not None})


def peers_in_words(ratios: Mapping[str, float]) -> str:
    """The sentence about the peers, from each variant's speed relative to Pyro's step."""
    kl = "exact" if "compiled exact" in ratios else "sampled"
    ours = ratios.get("compiled exact", ratios.get("compiled"))
    if ours is None:
        return ""
    speeds = {name: [ratios[v] for v in of if v in ratios] for name, of in PEERS.items()}
    said = [f"{number(ours / max(of), 3)} times {name}" for name, of in speeds.items() if of]
    return f"Speed of CompiledSVI ({kl} KL): {', '.join(said)}." if said else ""


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return (names or [platform.machine()])[0]


def _accelerator(device: str) -> str:
    if device != "cuda":
        return ", no GPU used"
    import torch

    return f", {torch.cuda.get_device_name()}"
