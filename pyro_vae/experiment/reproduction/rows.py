"""Rows of papers' tables: presets with the figure, its source, and how to reproduce it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field, PositiveInt, ValidationError

from pyro_vae.core.errors import DeclarationError
from pyro_vae.core.messages import nearest, readable
from pyro_vae.core.schema import Section
from pyro_vae.experiment import presets
from pyro_vae.experiment.declaration import DEFAULTS, Experiment
from pyro_vae.experiment.yaml_file import override, read_yaml

__all__ = ["Quantity", "Row", "Scoring", "changed", "chosen_rows", "rows"]

Quantity = Literal["nll", "perplexity"]
HARMLESS = ("data.root", "data.download", "train.device", "train.step")


class PresetSection(Section):
    """A section of a preset; its attributes' docstrings are the schema's descriptions."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class Paper(PresetSection):
    """A table of a paper."""

    title: str
    """Title, authors, year."""
    url: str
    """Where to read it."""
    place: str
    """Table and column."""


class Scoring(PresetSection):
    """A schedule: how to train and score."""

    set: list[str]
    """Overrides of the experiment, path=value."""
    samples: PositiveInt | None = None
    """Importance samples for each datum, for the NLL."""
    data_count: PositiveInt | None = None
    """Number of test data, evenly spaced; all by default."""


class PresetRow(PresetSection):
    """A row of a preset's table."""

    figure: float
    """What the paper reports."""
    active_units: str | None = None
    """Active units, as the paper reports them."""
    set: list[str] = Field(default_factory=list)
    """Overrides of the experiment."""
    schedules: dict[str, list[str]] = Field(default_factory=dict)
    """Overrides of a schedule, by its name."""
    against: str | None = None
    """The row that this one is compared with, if both are run."""


class Preset(PresetSection):
    """A table of a paper, and how to reproduce it."""

    paper: Paper
    """Source of the figures."""
    quantity: Quantity
    """What the figures are."""
    layers: list[PositiveInt] | None = None
    """Sizes of the stochastic layers, if several."""
    experiment: dict[str, Any]
    """The declaration that the rows share."""
    schedules: dict[str, Scoring]
    """How to train and score, by name."""
    rows: dict[str, PresetRow]
    """The rows, by name."""


@dataclass(frozen=True)
class Row:
    """A figure of a paper, and how to reproduce it.

    Args:
        name: Its name on the command line.
        figure: What the paper reports.
        preset: The table that contains the row.

    Example:
        >>> row = rows()["iwae-l1-iwae-k50"]
        >>> row.figure, row.active_units, list(row.preset.schedules)
        (84.78, '25', ['short', 'paper'])
        >>> row.experiment("short").objective.mapping["particles"]
        50
    """

    name: str
    figure: float
    preset: Preset

    @property
    def own(self) -> PresetRow:
        """The row's own part of the preset."""
        return self.preset.rows[self.name]

    @property
    def active_units(self) -> str | None:
        """The paper's active units, layer by layer."""
        return self.own.active_units

    @property
    def source(self) -> str:
        """The paper, and the table in it."""
        return f"{self.preset.paper.title}, {self.preset.paper.place}; {self.preset.paper.url}"

    def scoring(
        self, schedule: str, samples: int | None = None, data_count: int | None = None
    ) -> Scoring:
        """How a schedule trains and scores.

        Args:
            schedule: Its name.
            samples: Number of importance samples, instead of the schedule's.
            data_count: Number of test data, instead of the schedule's.

        Raises:
            DeclarationError: if the row has no such schedule, or either number is given for a
                perplexity, which uses the ELBOs of all test documents.
        """
        known = self.preset.schedules
        if schedule not in known:
            raise DeclarationError(
                f"--schedule: {self.name} has {' and '.join(known)}, got {schedule!r}"
                f"{nearest(schedule, known)}",
                "The command line",
            )
        given = {"samples": samples, "data_count": data_count}
        changes = {name: value for name, value in given.items() if value is not None}
        if changes and self.preset.quantity == "perplexity":
            options = " and ".join(f"--{name.replace('_', '-')}" for name in changes)
            raise DeclarationError(
                f"{self.name}: expected the perplexity of all test documents, by their ELBOs; "
                f"leave out {options}",
                "The command line",
            )
        return known[schedule].model_copy(update=changes)

    def experiment(
        self, schedule: str, overrides: Iterable[str] = (), seed: int = 0
    ) -> Experiment:
        """The whole declaration of a run.

        Args:
            schedule: Its name.
            overrides: ``path=value``, applied last.
            seed: Seed of training.

        Raises:
            DeclarationError: if there is no such schedule, or an override is not valid.
        """
        mapping = self.preset.experiment
        given = (
            self.own.set,
            self.scoring(schedule).set,
            self.own.schedules.get(schedule, ()),
            [*overrides, f"train.seed={seed}"],
        )
        for assignments in given:
            mapping = override(mapping, assignments, DEFAULTS)
        return Experiment.read(mapping)

    def length(self, schedule: str) -> str:
        """The length of a schedule, in words."""
        train, scoring = self.experiment(schedule).train, self.scoring(schedule)
        count = "all" if scoring.data_count is None else f"{scoring.data_count:,}"
        samples = "" if scoring.samples is None else f", {scoring.samples:,} samples"
        most = "at most " if train.patience else ""
        epochs = f"{most}{train.epochs:,} epochs of batch {train.batch_size}"
        return f"{epochs}; {count} test data{samples}"


def changed(overrides: Sequence[str]) -> list[str]:
    """The overrides that make a run differ from the paper's row."""
    return [text for text in overrides if text.partition("=")[0] not in HARMLESS]


@cache
def rows() -> dict[str, Row]:
    """Every known row, by name.

    Raises:
        DeclarationError: if a preset is not valid.
    """
    found: dict[str, Row] = {}
    folder = Path(presets.__file__).parent / "papers"
    for path in sorted(folder.glob("*.yaml")):
        preset = _read(path)
        found |= {name: Row(name, row.figure, preset) for name, row in preset.rows.items()}
    return found


def chosen_rows(names: Iterable[str]) -> list[Row]:
    """The rows with these names.

    Raises:
        DeclarationError: listing every unknown name, with the closest known one.
    """
    known = rows()
    names = list(dict.fromkeys(names))
    problems = [
        f"{name}: expected the name of a row{nearest(name, known)}; pyro-vae reproduce lists them"
        for name in names
        if name not in known
    ]
    if problems:
        raise DeclarationError(problems, "The command line")
    return [known[name] for name in names]


def _read(path: Path) -> Preset:
    try:
        return Preset.model_validate(read_yaml(path))
    except ValidationError as error:
        raise DeclarationError(readable(error, Preset), str(path)) from None
