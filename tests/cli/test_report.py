"""``pyro-vae report``: one file, complete, without a request, and readable by everyone."""

import itertools
import json
import re
import shutil
from html.parser import HTMLParser

import pytest
import torch

from pyro_vae import VAE, as_dataset
from pyro_vae.core.errors import DataError
from pyro_vae.experiment import codes_map
from pyro_vae.experiment.declaration import Experiment
from pyro_vae.experiment.run_folder import RunFolder
from pyro_vae.experiment.yaml_file import read_mapping
from pyro_vae.report.numbers import nats
from tests.commands import SMALL


class Page(HTMLParser):
    """What a page has: its tags with their attributes, and the text of each kind of tag."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts, self._open = [], {}, []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in {"meta", "img", "link", "br"}:
            self._open.append(tag)
            self.texts.setdefault(tag, []).append("")

    def handle_endtag(self, tag):
        assert self._open.pop() == tag, tag

    def handle_data(self, data):
        for tag in set(self._open):
            self.texts[tag][-1] += data

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture
def copy(trained, tmp_path):
    """A copy of a run, which a test may change."""
    return shutil.copytree(trained, tmp_path / "run")


@pytest.fixture
def report(command, tmp_path):
    """Run the command; give the page and its source."""

    def run(*arguments):
        out = tmp_path / "report.html"
        status, _, err = command("report", *arguments, "--out", out)
        assert status == 0, err
        text = out.read_text()
        return Page(text), text

    return run


@pytest.fixture(scope="session")
def other(tmp_path_factory):
    from pyro_vae.cli.app import app, guarded

    folder = tmp_path_factory.mktemp("other") / "other"
    arguments = ["train", *SMALL, "train.epochs=1", "model.prior=laplace", "--no-audit"]
    assert guarded(lambda: app([*arguments, "--out", str(folder)], standalone_mode=False)) == 0
    return folder


def check_alone(page, text):
    """No request leaves the page: no address anywhere that a browser would fetch."""
    assert page.all("link") == []
    assert all("src" not in script for script in page.all("script"))
    assert all(image["src"].startswith("data:image/png;base64,") for image in page.all("img"))
    style = page.texts["style"][0]
    assert "url(" not in style
    assert "@import" not in style
    assert "default-src 'none'" in text


def test_a_page_has_what_the_run_has(report, trained):
    page, text = report(trained)
    check_alone(page, text)
    metrics = json.loads((trained / "metrics.json").read_text())
    assert len(page.all("img")) == len(list((trained / "pictures").glob("*.png")))
    elbo = metrics["scores"]["elbo"]
    assert nats(elbo["value"], elbo["stderr"]) in page.texts["td"]
    audit = json.loads((trained / "audit.json").read_text())
    assert audit["verdict"] in " ".join(page.texts["p"])
    compared = [check for check in audit["checks"] if check["problems"] is None]
    told = page.texts["td"]  # another test may have audited the run with a mistake in it
    assert told.count("agrees") + told.count("DISAGREES") == len(compared) > 20
    for version in metrics["versions"].values():
        assert version in page.texts["td"]
    assert page.all("script") == []


def test_the_declaration_in_the_page_is_that_of_the_run(report, trained):
    page, _ = report(trained)
    declared = Experiment.read(read_mapping(page.texts["pre"][-1], "page"))
    written = (trained / "experiment.yaml").read_text()
    assert declared.mapping == Experiment.read(read_mapping(written, "run")).mapping


def test_everyone_can_read_it(report, trained, other):
    page, _ = report(trained, other)
    assert page.all("html") == [{"lang": "en"}]
    assert all(len(image["alt"]) > 20 for image in page.all("img"))
    assert all(head["scope"] == "col" for head in page.all("th"))
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


def luminance(color):
    digits = color if len(color) == 6 else "".join(2 * c for c in color)
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    red, green, blue = (c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_the_contrast_is_enough_in_light_dark_and_print(report, trained):
    """4.5 to 1 at least: WCAG 2.1, 1.4.3."""
    page, _ = report(trained)
    themes = re.findall(r":root \{([^}]*--ink[^}]*)\}", page.texts["style"][0])
    assert len(themes) == 3
    for theme in themes:
        colors = {n: luminance(c) for n, c in re.findall(r"--(\w+): #(\w+)", theme)}
        for ink in ("ink", "soft", "good", "bad", "link"):
            for paper in ("page", "box"):
                low, high = sorted([colors[ink], colors[paper]])
                assert (high + 0.05) / (low + 0.05) >= 4.5, (ink, paper, theme)


def test_a_failed_audit_is_shown_as_failed(report, copy):
    audit = json.loads((copy / "audit.json").read_text())
    for check in audit["checks"]:
        check["passed"] = True
    audit["checks"][0]["passed"] = audit["passed"] = False
    audit["verdict"] = "FAILED in 1 of 19 rows"
    (copy / "audit.json").write_text(json.dumps(audit))
    page, _ = report(copy)
    assert page.texts["td"].count("DISAGREES") == 1
    assert {"class": "verdict bad"} in page.all("p")
    assert "FAILED" in " ".join(page.texts["p"])


def test_a_run_that_was_not_audited_says_so(report, other):
    page, _ = report(other)
    assert "not audited" in " ".join(page.texts["p"])
    assert {"class": "verdict "} in page.all("p")


def test_names_are_text_and_never_markup(report, trained, tmp_path):
    folder = shutil.copytree(trained, tmp_path / "a<script>b&c")
    page, _ = report(folder)
    assert page.all("script") == []
    assert "a<script>b&c" in page.texts["title"][0]


def test_a_run_that_stopped_before_it_was_scored(report, copy):
    manifest = json.loads((copy / "manifest.json").read_text())
    del manifest["metrics.json"]
    (copy / "manifest.json").write_text(json.dumps(manifest))
    for name in ("metrics.json", "audit.json"):
        (copy / name).unlink()
    page, _ = report(copy)
    assert "stopped before it was scored" in " ".join(page.texts["p"])


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"checks": [{}]}', '{"checks": 3}'])
def test_a_damaged_audit_is_an_error_of_one_message(command, copy, content, tmp_path):
    (copy / "audit.json").write_text(content)
    status, _, err = command("report", copy, "--out", tmp_path / "page.html")
    assert status == 2
    assert "audit" in err
    assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{run}", "--out", "page.pdf"], "--out: expected a name that ends in .html"),
        (["{run}", "{run}"], "each once"),
        (["nowhere"], "expected a run folder"),
    ],
)
def test_bad_arguments_are_refused(command, trained, arguments, message, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    status, _, err = command("report", *(a.replace("{run}", str(trained)) for a in arguments))
    assert status == 2
    assert message in err
    assert list(tmp_path.iterdir()) == []


def test_several_runs_are_compared_as_compare_does(report, command, trained, other):
    page, text = report(trained, other, "-q")
    check_alone(page, text)
    status, out, _ = command("compare", trained, other, "--json", "-q")
    assert status == 0
    found = json.loads(out)
    gap = found["differences"]["ELBO"]["other"]
    decimals = len(f"{gap['stderr']:.2g}".partition(".")[2])
    assert any(f"{gap['value']:+.{decimals}f} ± " in cell for cell in page.texts["td"])
    assert found["verdicts"]["ELBO"]["other"] in page.texts["td"]
    table = page.texts["table"][1]
    assert "model.prior.kind" in table
    assert "train.epochs" in table
    assert "batch_size" not in table  # the same in both
    anchors = {link["href"].removeprefix("#") for link in page.all("a")}
    assert anchors <= {section.get("id") for section in page.all("section")}


def test_runs_on_different_data_are_refused(command, trained, tmp_path):
    binary = tmp_path / "binary"
    declared = ["data.binarization=static", "model.likelihood=bernoulli", "train.epochs=1"]
    assert command("train", *SMALL, *declared, "--no-audit", "--out", binary)[0] == 0
    status, _, err = command("report", trained, binary, "--out", tmp_path / "page.html")
    assert status == 2
    assert "data.binarization: none in digits, static in binary" in err


# the map -----------------------------------------------------------------------------------------


def test_a_map_brings_its_script_and_shows_every_datum(report, trained):
    pytest.importorskip("bokeh")
    page, text = report(trained, "--map")
    check_alone(page, text)
    assert len(page.all("script")) == 2
    assert text.count("iVBORw0KGgo") >= 359  # PNG files: the test data, and the pictures
    assert "359 of 359 scored data" in text


def test_a_map_of_data_that_are_no_images_shows_their_values():
    pytest.importorskip("bokeh")
    x = torch.arange(600.0).reshape(200, 3)
    found = codes_map.codes_map(VAE((3,), latent_dim=3), as_dataset(x))
    row = as_dataset(x).test.x[0].tolist()
    assert ", ".join(f"{value:.4g}" for value in row) in found["html"]


def test_a_map_of_one_dimension_is_refused():
    pytest.importorskip("bokeh")
    with pytest.raises(DataError, match="2 dimensions or more, got 1"):
        codes_map.codes_map(VAE((3,), latent_dim=1), as_dataset(torch.rand(50, 3)))


def test_a_map_without_bokeh_says_how_to_install_it(command, trained, tmp_path, monkeypatch):
    monkeypatch.setattr(codes_map.importlib.util, "find_spec", lambda name: None)
    status, _, err = command("report", trained, "--map", "--out", tmp_path / "page.html")
    assert status == 2
    assert "pip install 'pyro-vae[report]'" in err


def test_the_page_is_written_whole_or_not_at_all(command, trained, tmp_path):
    (tmp_path / "file").write_text("")
    status, _, err = command("report", trained, "--out", tmp_path / "file" / "page.html")
    assert status == 2
    assert "cannot be written" in err
    assert RunFolder(trained).path.is_dir()
