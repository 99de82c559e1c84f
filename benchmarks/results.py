"""RESULTS.md: a section for each part of the benchmark, each replaced when it is run again."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from benchmarks import picture
from pyro_vae.plots.style import Picture
from pyro_vae.report.table import Table

__all__ = ["Section", "keep"]

TITLE = "# Benchmark results"
INTRODUCTION = (
    "Written by `make bench` (`python -m benchmarks`), part by part: `--only PART` runs one again "
    "and replaces its section alone. Each section is one run, on the machine and the day that it "
    "names."
)
HEADING = re.compile(r"^## .*$", re.MULTILINE)


@dataclass(frozen=True)
class Section:
    """What one part of a run has found.

    Args:
        title: Of the section; with the device, what it is known by.
        key: Of the part, which the picture is named after.
        device: ``cpu`` or ``cuda``.
        preamble: Machine, day, and how it was measured.
        tables: The results.
        drawn: The same as a picture, if there is one.
    """

    title: str
    key: str
    device: str
    preamble: Sequence[str]
    tables: Sequence[Table]
    drawn: Picture | None = None

    @property
    def heading(self) -> str:
        """The line that the section begins with."""
        return f"## {self.title} ({self.device.upper()})"

    @property
    def png(self) -> str:
        """Name of the picture's file."""
        return f"{self.key}-{self.device}.png"

    def markdown(self) -> str:
        """The section as it is written."""
        image = [f"![{self.title}]({self.png})"] if self.drawn else []
        tables = (table.markdown() for table in self.tables)
        return "\n\n".join([self.heading, *self.preamble, *image, *tables])


def keep(section: Section, folder: Path) -> Path:
    """Put a section and its picture where results are kept, in place of an older one.

    Args:
        section: What was found.
        folder: Of ``RESULTS.md`` and the pictures; made if there is none.

    Returns:
        Path of the file. Its other sections stay as they are, in their order.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "RESULTS.md"
    sections = _sections(path.read_text() if path.exists() else "")
    sections[section.heading] = section.markdown()
    if section.drawn:
        picture.save(section.drawn, folder / section.png)
    path.write_text("\n\n".join([TITLE, INTRODUCTION, *sections.values()]) + "\n")
    return path


def _sections(text: str) -> dict[str, str]:
    """Each section's text by its heading."""
    starts = [*(match.start() for match in HEADING.finditer(text)), len(text)]
    parts = [text[a:b].strip() for a, b in pairwise(starts)]
    return {part.partition("\n")[0]: part for part in parts}
