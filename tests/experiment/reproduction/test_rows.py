"""The presets of papers' rows: they are sound, they cite, and they say what the papers say."""

import shlex
from pathlib import Path

import pytest
import torch

from pyro_vae.core.errors import DeclarationError
from pyro_vae.experiment import presets
from pyro_vae.experiment.reproduction.rows import Preset, chosen_rows, rows

FILES = sorted((Path(presets.__file__).parent / "papers").glob("*.yaml"))
PAIRS = [(row, schedule) for row in rows().values() for schedule in row.preset.schedules]
IDS = [f"{row.name}-{schedule}" for row, schedule in PAIRS]


@pytest.mark.parametrize(("row", "schedule"), PAIRS, ids=IDS)
def test_every_schedule_of_every_row_builds(row, schedule):
    experiment = row.experiment(schedule, seed=3)
    assert experiment.train.seed == 3
    shape = {"twenty_newsgroups": (1995,)}.get(experiment.data.mapping["kind"], (1, 28, 28))
    vae = experiment.for_data(fake := Fake(shape)).build()
    assert vae.event_shape == fake.event_shape
    assert set(row.own.schedules) <= set(row.preset.schedules)
    assert row.scoring(schedule).samples or row.preset.quantity == "perplexity"


class Fake:
    """A data set of which only the shape is known."""

    def __init__(self, event_shape):
        self.event_shape = event_shape


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_presets_first_comment_is_its_launch_command(path):
    first = path.read_text().splitlines()[0]
    words = shlex.split(first.removeprefix("# ").partition("  ")[0])
    assert words[:2] == ["pyro-vae", "reproduce"]
    names = words[2 : words.index("--schedule")]
    assert {row.name for row in chosen_rows(names)} == set(names)


def test_every_row_cites_and_every_reference_row_is_there():
    for row in rows().values():
        assert row.preset.paper.url.startswith("https://")
        assert row.own.against in {None, *row.preset.rows}
        assert {"short", "paper"} <= set(row.preset.schedules)


FIGURES = {  # DESIGN, section 7; two layers, k > 1: as github.com/nbip/IWAE quotes the paper
    "iwae-l1-vae-k1": (86.76, "19"), "iwae-l1-vae-k5": (86.47, "20"),
    "iwae-l1-vae-k50": (86.35, "20"), "iwae-l1-iwae-k5": (85.54, "22"),
    "iwae-l1-iwae-k50": (84.78, "25"), "iwae-l2-vae-k1": (85.33, None),
    "iwae-l2-vae-k5": (85.01, None), "iwae-l2-vae-k50": (84.78, None),
    "iwae-l2-iwae-k5": (83.89, None), "iwae-l2-iwae-k50": (82.90, None),
    "vamp-dynamic-standard": (84.50, None),
    "vamp-dynamic-vamp": (82.38, None), "vamp-static-standard": (88.56, None),
    "vamp-static-vamp": (85.57, None), "prodlda": (1172, None),
}  # fmt: skip


@pytest.mark.parametrize("name", FIGURES)
def test_the_figures_are_the_papers(name):
    row = rows()[name]
    assert (row.figure, row.active_units) == FIGURES[name]


@pytest.mark.parametrize("name", [name for name in rows() if name.startswith("iwae")])
def test_the_iwae_papers_schedule_is_its_formula(name):
    """1e-4 round(10^(1 - (i-1)/7), 1) for 3^(i-1) epochs, i = 1..8."""
    train = rows()[name].experiment("paper").train
    expected = [
        1e-4 * round(10 ** (1 - (i - 1) / 7), 1) for i in range(1, 9) for _ in range(3 ** (i - 1))
    ]
    schedule = train.learning_rate_schedule
    rates = [train.lr * schedule.factor(epoch, train.epochs) for epoch in range(1, 3281)]
    assert train.epochs == len(expected) == 3280
    assert rates == pytest.approx(expected, rel=1e-12)
    assert (train.batch_size, train.adam_eps) == (20, 1e-4)


@pytest.mark.parametrize("particles", [1, 5, 50])
@pytest.mark.parametrize("layers", [1, 2])
def test_a_rows_objective_is_what_its_name_says(layers, particles):
    for kind in ("vae", "iwae"):
        name = f"iwae-l{layers}-{kind}-k{particles}"
        if name.endswith("-iwae-k1"):
            assert name not in rows()
            continue
        objective = rows()[name].experiment("short").objective.mapping
        assert objective["kind"] == {"vae": "elbo", "iwae": "iwae"}[kind]
        assert objective["particles"] == particles


def test_two_stochastic_layers_have_the_papers_sizes():
    vae = rows()["iwae-l2-vae-k1"].experiment("paper").for_data(Fake((1, 28, 28))).build()

    def widths(network):
        layers = [m for m in network.modules() if isinstance(m, torch.nn.Linear)]
        return [layers[0].in_features, *(layer.out_features for layer in layers)]

    assert widths(vae.encoder) == [784, 200, 200, 2 * 100]
    assert widths(vae.posterior.networks[0]) == [100, 100, 100, 2 * 50]
    assert widths(vae.prior.networks[0]) == [50, 100, 100, 2 * 100]
    assert widths(vae.decoder) == [100, 200, 200, 784]


def test_both_priors_of_the_vampprior_have_one_budget():
    for data in ("dynamic", "static"):
        ours = [rows()[f"vamp-{data}-{prior}"] for prior in ("standard", "vamp")]
        for schedule in ("short", "paper"):
            one, other = (row.experiment(schedule) for row in ours)
            assert one.train.model_dump() == other.train.model_dump()
            assert one.objective == other.objective
            assert one.data == other.data


def test_an_unknown_row_is_told_the_nearest():
    with pytest.raises(DeclarationError, match="did you mean 'iwae-l1-vae-k5'") as error:
        chosen_rows(["iwae-l1-va-k5", "vamp-dynamic-vamp", "xyz"])
    assert len(error.value.problems) == 2


def test_an_unknown_schedule_is_refused():
    with pytest.raises(DeclarationError, match=r"has short and paper, got 'shrot'; did you mean"):
        rows()["iwae-l1-vae-k1"].experiment("shrot")


def test_overrides_are_laid_over_everything():
    row = rows()["iwae-l1-iwae-k50"]
    train = row.experiment("short", ["train.epochs=3", "objective.particles=2"]).train
    assert train.epochs == 3
    assert row.experiment("short").train.epochs == 40
    assert row.experiment("paper").train.epochs == 3280
    with pytest.raises(DeclarationError, match=r"train.epoch: unknown argument"):
        row.experiment("short", ["train.epoch=3"])


def test_a_preset_with_an_unknown_key_is_refused():
    with pytest.raises(ValueError, match="figurs"):
        Preset.model_validate({"figurs": 1})
