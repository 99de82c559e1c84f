"""Rows of papers' tables: presets that say the figure, its source, and how to come by it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt, ValidationError

from pyro_vae.core.errors import DeclarationError
from pyro_vae.core.messages import nearest, readable
from pyro_vae.core.schema import Section
from pyro_vae.experiment import presets
from pyro_vae.experiment.declaration import DEFAULTS, Experiment
from pyro_vae.experiment.yaml_file import override, read_yaml

__all__ = ["Quantity", "Row", "Scoring", "changed", "chosen_rows", "rows"]

Quantity = Literal["nll", "perplexity"]
HARMLESS = ("data.root", "data.download", "train.device", "train.step")


class Paper(Section):
    """Where a figure stands."""

    title: Annotated[str, Field(description="Title, authors, year.")]
    url: Annotated[str, Field(description="Where to read it.")]
    place: Annotated[str, Field(description="Table and column.")]


class Scoring(Section):
    """A schedule: how to train, and how to score."""

    set: Annotated[list[str], Field(description="Assignments, path=value, over the experiment.")]
    samples: Annotated[
        PositiveInt | None, Field(description="Importance samples for each datum, for the NLL.")
    ] = None
    data_count: Annotated[
        PositiveInt | None, Field(description="How many test data, evenly spaced; all by default.")
    ] = None


class PresetRow(Section):
    """A row of a preset's table."""

    figure: Annotated[float, Field(description="What the paper reports.")]
    active_units: Annotated[str | None, Field(description="What the paper reports of them.")] = (
        None
    )
    set: Annotated[
        list[str], Field(default_factory=list, description="Assignments over the experiment.")
    ]
    schedules: Annotated[
        dict[str, list[str]],
        Field(default_factory=dict, description="Assignments over one schedule, by its name."),
    ]
    against: Annotated[
        str | None, Field(description="The row that this one is held against, if both are run.")
    ] = None


class Preset(Section):
    """A table of a paper."""

    paper: Annotated[Paper, Field(description="Where the figures stand.")]
    quantity: Annotated[Quantity, Field(description="What the figures are.")]
    layers: Annotated[
        list[PositiveInt] | None, Field(description="Sizes of the stochastic layers, if several.")
    ] = None
    experiment: Annotated[dict[str, Any], Field(description="What the rows share.")]
    schedules: Annotated[dict[str, Scoring], Field(description="How to train, by name.")]
    rows: Annotated[dict[str, PresetRow], Field(description="The rows, by name.")]


@dataclass(frozen=True)
class Row:
    """A figure of a paper, and how to come by it.

    Args:
        name: What the command line calls it.
        figure: What the paper reports.
        preset: The table that it is a row of.

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
        """What the preset says of this row alone."""
        return self.preset.rows[self.name]

    @property
    def active_units(self) -> str | None:
        """The paper's number of active units, layer by layer."""
        return self.own.active_units

    @property
    def source(self) -> str:
        """The paper, and where in it."""
        return f"{self.preset.paper.title}, {self.preset.paper.place}; {self.preset.paper.url}"

    def scoring(
        self, schedule: str, samples: int | None = None, data_count: int | None = None
    ) -> Scoring:
        """How a schedule trains and scores.

        Args:
            schedule: Its name.
            samples: In place of the schedule's number of importance samples.
            data_count: In place of the schedule's number of test data.

        Raises:
            DeclarationError: if the row has no such schedule, or a perplexity, which is of all
                test documents by their ELBOs, is to be of some, or by importance samples.
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
            overrides: ``path=value``, laid over everything else.
            seed: Of the training.

        Raises:
            DeclarationError: if there is no such schedule, or an override is not sound.
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
        """How long a schedule is, in words."""
        train, scoring = self.experiment(schedule).train, self.scoring(schedule)
        count = "all" if scoring.data_count is None else f"{scoring.data_count:,}"
        samples = "" if scoring.samples is None else f", {scoring.samples:,} samples"
        most = "at most " if train.patience else ""
        epochs = f"{most}{train.epochs:,} epochs of batch {train.batch_size}"
        return f"{epochs}; {count} test data{samples}"


def changed(overrides: Sequence[str]) -> list[str]:
    """Which overrides make a run another one than the paper's row."""
    return [text for text in overrides if text.partition("=")[0] not in HARMLESS]


@cache
def rows() -> dict[str, Row]:
    """Every row that is known, by name, table after table.

    Raises:
        DeclarationError: if a preset is not sound.
    """
    found: dict[str, Row] = {}
    folder = Path(presets.__file__).parent / "papers"
    for path in sorted(folder.glob("*.yaml")):
        preset = _read(path)
        found |= {name: Row(name, row.figure, preset) for name, row in preset.rows.items()}
    return found


def chosen_rows(names: Iterable[str]) -> list[Row]:
    """The rows of these names.

    Raises:
        DeclarationError: naming every one that is not known, with the nearest that is.
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
