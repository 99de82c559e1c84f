"""The README and the pages of docs are true: their code runs, their commands work."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from matplotlib import pyplot as plt

from pyro_vae.experiment.declaration import Experiment
from pyro_vae.experiment.yaml_file import read_yaml

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/*.md")])
DATA = Path(os.environ.get("PYRO_VAE_DATA", ROOT.parent / "shared" / "data"))


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.MULTILINE | re.DOTALL)


COMMANDS = [
    line.removeprefix("$ ") for block in blocks(README, "console") for line in block.splitlines()
]


def run_python(block, namespace):
    exec(compile(block.replace("epochs=100", "epochs=1"), "page", "exec"), namespace)


def test_the_python_code_of_the_readme_runs_from_top_to_bottom(registries, capsys):
    namespace = {"__name__": "page"}
    for block in blocks(README, "python"):
        run_python(block, namespace)
    assert namespace["audit"].passed
    assert namespace["other"].declaration["prior"]["kind"] == "vamp"
    assert set(namespace["filled"].mean["kind"]) <= {"a", "b"}
    assert namespace["z"].shape == (10, 128, 8)
    assert "ELBO" in capsys.readouterr().out


def code(page):
    return re.findall(
        r"^```(python|console|yaml)\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL
    )


@pytest.fixture(autouse=True)
def figures_are_closed():
    yield
    plt.close("all")


WITH_CODE = [page for page in PAGES if page.parent == ROOT / "docs" and code(page)]


@pytest.mark.parametrize("page", WITH_CODE, ids=lambda page: page.stem)
def test_the_code_of_a_page_of_docs_runs(page, registries, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where the page's code writes its files, and its commands run
    namespace = {"__name__": "page"}
    for language, block in code(page):
        if language == "python":
            run_python(block, namespace)
            continue
        if language == "yaml":  # a file, if its first line is the name of one
            if found := re.match(r"# (\w+\.yaml)\n", block):
                (tmp_path / found[1]).write_text(block)
            continue
        for line in block.splitlines():
            program, *arguments = shlex.split(line.removeprefix("$ "))
            assert program == "pyro-vae"
            status, _, err = command(*arguments)
            assert status == 0, err


def test_the_yaml_is_a_declaration(tmp_path):
    (block,) = blocks(README, "yaml")
    (tmp_path / "vae.yaml").write_text(block)
    mapping = Experiment.read(read_yaml(tmp_path / "vae.yaml")).mapping
    assert mapping["model"]["likelihood"]["kind"] == "bernoulli"


def test_there_are_commands():
    assert len(COMMANDS) == 8
    assert all(command.startswith("pyro-vae ") for command in COMMANDS)


@pytest.mark.parametrize("line", COMMANDS)
def test_the_commands_work(line, command, trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    other = shutil.copytree(trained, tmp_path / "other") if "OTHER" in line else ""
    run = shutil.copytree(trained, tmp_path / "run")
    line = line.replace("RUN", str(run)).replace("OTHER", str(other))
    arguments = shlex.split(line.replace("=DIR", f"={DATA}"))[1:]
    if "data.kind=mnist" in arguments:
        if not (DATA / "MNIST").is_dir():
            pytest.skip("needs MNIST")
        arguments += ["train.epochs=1", "--no-audit"]
    status, out, err = command(*arguments)
    assert status == 0, err
    assert out


@pytest.mark.parametrize(
    ("page", "option"), [("components", []), ("kl", ["--matrix"])], ids=["components", "kl"]
)
def test_the_pages_of_tables_are_what_the_command_prints(page, option):
    code = "from pyro_vae.cli.app import main; main()"  # where no test added a kind
    command = [sys.executable, "-c", code, "list", *option, "--markdown"]
    out = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    text = (ROOT / "docs" / f"{page}.md").read_text()
    assert text.endswith(f"\n\n{out}"), "run: make tables"


def test_the_readme_is_short():
    assert len(README.split()) <= 1300


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_make_has_the_targets_that_a_page_names(page):
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"`make (\w+)|^make (\w+)", page.read_text(), re.MULTILINE):
        assert re.search(rf"^{''.join(target)}:", makefile, re.MULTILINE), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    text = page.read_text()
    targets = re.findall(r"\]\((?!http)([^)#]+)\)", text) + re.findall(r'src="([^"]+)"', text)
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_no_file_of_the_project_names_this_machine():
    pattern = re.compile(r"/home/\w+|/Users/\w+")
    for path in [*PAGES, *ROOT.glob("pyro_vae/**/*.py"), *ROOT.glob("notebooks/*.ipynb")]:
        assert not pattern.search(path.read_text()), path
