"""The ``sweep`` section of a declaration: which settings are tried, and how they are chosen."""

from __future__ import annotations

import copy
import hashlib
import itertools
import json
import math
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from pydantic import ConfigDict, Field, ValidationError

from pyro_vae.core.bounds import Seed, Size
from pyro_vae.core.errors import DeclarationError, PyroVAEError
from pyro_vae.core.messages import readable, shown
from pyro_vae.core.schema import Section
from pyro_vae.data.dataset import DataSet
from pyro_vae.experiment.declaration import DEFAULTS, Experiment
from pyro_vae.experiment.yaml_file import override
from pyro_vae.training.fit import check_fits

__all__ = ["Point", "Pruning", "Range", "Space"]

Point = dict[str, Any]
Number = Annotated[int | float, Field(ge=-1e38, le=1e38)]
FIXED = {
    "data": "scores on other data cannot be compared; run one sweep for each",
    "seeds": "every point has the same seeds",
    "train.seed": "seeds: N trains each point from N seeds",
    "sweep": "it is no setting of a training",
}
CORNERS = 256  # combinations that are built before anything is trained
LARGEST_GRID = 10_000


class Range(Section):
    """Numbers from ``low`` to ``high``: whole ones if both are."""

    low: Number
    high: Number
    log: bool = False
    step: Number | None = None

    @property
    def whole(self) -> bool:
        """Whether the numbers are integers."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def problem(self) -> str | None:
        """What is wrong with it, if anything is."""
        if self.low >= self.high:
            return f"low must be below high, got {self.low} and {self.high}"
        if self.log and self.low <= 0:
            return f"low must be above 0 for a range in log, got {self.low}"
        if self.step is not None and (self.log or self.step <= 0):
            return f"step must be above 0, and there is none in log, got {self.step}"
        if self.whole and isinstance(self.step, float):
            return f"step must be a whole number between whole numbers, got {self.step}"
        return None

    def values(self) -> list[Any] | None:
        """Each number of a range that has steps, or of a range of whole numbers."""
        step = self.step or (1 if self.whole and not self.log else None)
        if step is None:
            return None
        count = int((self.high - self.low) / step * (1 + 1e-12))
        if count > LARGEST_GRID:
            return None
        return [self.low + step * number for number in range(count + 1)]


class Pruning(Section):
    """A trial ends whose validation ELBO is below the median of the others' at that epoch."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    trials: Size = 5
    """How many trials are not pruned, and make the first median."""
    epochs: Annotated[int, Field(ge=0, le=10**6)] = 5
    """Epochs before which none is pruned; let a warm-up of the KL be over."""


class Settings(Section):
    """The ``sweep`` section."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    space: dict[str, Any] = Field(min_length=1)
    """Settings by path: a list of values, or a range of numbers {low, high, log, step}."""
    sampler: Literal["grid", "random", "tpe"] | None = None
    """grid (every combination), random, or tpe (Optuna's tree-structured Parzen estimator); by
    default a grid if every setting is a list, else tpe."""
    trials: Size | None = None
    """How many points are tried, 20 by default; a grid tries all of its own."""
    prune: Pruning | None = Field(default_factory=Pruning)
    """When a trial that is worse than others ends early; null never."""
    seed: Seed = 0
    """Seed of the sampler."""


@dataclass(frozen=True)
class Space:
    """A valid search space.

    Args:
        base: The declaration, without its ``sweep`` section.
        choices: By path, a list of values or a range.
        sampler: ``grid``, ``random`` or ``tpe``.
        trials: How many points are tried.
        prune: When trials are pruned.
        seed: Of the sampler.
    """

    base: dict[str, Any]
    choices: dict[str, list[Any] | Range]
    sampler: str
    trials: int
    prune: Pruning | None
    seed: int

    @classmethod
    def read(cls, mapping: Mapping[str, Any]) -> Space:
        """Validate the ``sweep`` section of a declaration.

        Raises:
            DeclarationError: with every problem of the section at once.
        """
        base = copy.deepcopy({k: v for k, v in mapping.items() if k != "sweep"})
        given = mapping.get("sweep")
        if given is None:
            raise DeclarationError(
                "sweep: is missing; expected: {space: {PATH: [values], PATH: {low, high}}}"
            )
        problems: list[str] = []
        try:
            read = Settings.model_validate(given)
        except ValidationError as error:
            problems += readable(error, Settings, "sweep")
        choices: dict[str, list[Any] | Range] = {}
        space = given.get("space") if isinstance(given, Mapping) else None
        for path, tried in space.items() if isinstance(space, Mapping) else ():
            try:
                choices[path] = _choice(path, tried)
            except DeclarationError as error:
                problems += error.problems
        if problems:
            raise DeclarationError(problems)
        listed = all(isinstance(choice, list) for choice in choices.values())
        sampler = read.sampler or ("grid" if listed else "tpe")
        trials = read.trials or 20
        if sampler == "grid":
            choices, found = _grid(choices)
            problems += found
            trials = math.prod(len(c) for c in choices.values() if isinstance(c, list))
            if trials > LARGEST_GRID:
                problems.append(f"sweep.space: a grid of at most {LARGEST_GRID:,}, got {trials:,}")
            if read.trials is not None:
                problems.append(
                    f"sweep.trials: a grid tries all of its {trials} combinations; leave it out, "
                    f"or take sampler: random"
                )
        if problems:
            raise DeclarationError(problems)
        return cls(base, choices, sampler, trials, read.prune, read.seed)

    @property
    def name(self) -> str:
        """Of the study: the same for the same declaration, whatever the number of trials."""
        prune = None if self.prune is None else self.prune.model_dump()
        content = [self.base, self.choices, self.sampler, prune, self.seed]
        text = json.dumps(content, default=lambda range_: range_.model_dump())
        return f"pyro-vae-{hashlib.sha256(text.encode()).hexdigest()[:12]}"

    def declared(self, point: Point) -> dict[str, Any]:
        """The declaration at a point."""
        return override(self.base, [f"{k}={json.dumps(v)}" for k, v in point.items()], DEFAULTS)

    def grid(self) -> Iterator[Point]:
        """Every point of a grid."""
        lists = (choice for choice in self.choices.values() if isinstance(choice, list))
        return (dict(zip(self.choices, p, strict=True)) for p in itertools.product(*lists))

    def check(self, data: DataSet) -> None:
        """Build the models at the corners of the space.

        These are all combinations of the lists' values and the ranges' ends, or if those are too
        many, each by itself beside the first of the others.

        Raises:
            DeclarationError: with every problem at once, each with the first point that has it.
        """
        problems: dict[str, str] = {}
        if not len(data.validation):
            what = "data.validation: a sweep chooses by the validation ELBO; expected such a split"
            problems[what] = "everywhere"
        for point in self._corners():
            for problem in self._problems(point, data):
                problems.setdefault(problem, in_words(point))
        if problems:
            raise DeclarationError(
                [f"{problem} (at {point})" for problem, point in problems.items()],
                "The search space",
            )

    def _corners(self) -> Iterable[Point]:
        ends = {k: c if isinstance(c, list) else [c.low, c.high] for k, c in self.choices.items()}
        if math.prod(map(len, ends.values())) <= CORNERS:
            return (dict(zip(ends, p, strict=True)) for p in itertools.product(*ends.values()))
        first = {path: values[0] for path, values in ends.items()}
        return (first | {path: value} for path, values in ends.items() for value in values)

    def _problems(self, point: Point, data: DataSet) -> list[str]:
        try:
            experiment = Experiment.read(self.declared(point)).for_data(data)
            with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                check_fits(experiment.build(), data, experiment.train)
        except DeclarationError as error:
            return error.problems
        except PyroVAEError as error:
            return [str(error)]
        return []


def _choice(path: str, given: Any) -> list[Any] | Range:
    where = f"sweep.space.{path}"
    for fixed, why in FIXED.items():
        if path == fixed or path.startswith(f"{fixed}."):
            raise DeclarationError(f"{where}: cannot be searched: {why}")
    if isinstance(given, list):
        texts = [json.dumps(value, sort_keys=True, default=str) for value in given]
        if not given or len(set(texts)) < len(texts):
            raise DeclarationError(f"{where}: must be values, each once, got {shown(given)}")
        return given
    if not isinstance(given, Mapping) or not {"low", "high"} & given.keys():
        raise DeclarationError(
            f"{where}: must be a list of values, or a range {{low, high, log, step}}, got "
            f"{shown(given)}"
        )
    try:
        found = Range.model_validate(given)
    except ValidationError as error:
        raise DeclarationError(readable(error, Range, where)) from None
    if problem := found.problem():
        raise DeclarationError(f"{where}: {problem}")
    return found


def _grid(choices: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Ranges as lists of their numbers, and a problem for each that has none."""
    lists = {k: c if isinstance(c, list) else c.values() for k, c in choices.items()}
    problems = [
        f"sweep.space.{path}: a range in a grid must have a step, or be a list of values"
        for path, values in lists.items() if values is None
    ]  # fmt: skip
    return {k: v for k, v in lists.items() if v is not None}, problems


def in_words(point: Point) -> str:
    """A point as it is written on the command line."""
    return ", ".join(f"{path}={shown(value, 40)}" for path, value in point.items())
