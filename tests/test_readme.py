"""The README is true: its code runs, its commands work, its table is the registry's."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from pathlib import Path

import pytest

from pyro_vae.experiment.catalogue import catalogue
from pyro_vae.experiment.declaration import Experiment
from pyro_vae.experiment.yaml_file import read_yaml

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
DATA = Path(os.environ.get("PYRO_VAE_DATA", ROOT.parent / "shared" / "data"))


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


COMMANDS = [line.removeprefix("$ ") for block in blocks("console") for line in block.splitlines()]


def test_the_python_code_runs_from_top_to_bottom(registries, capsys):
    namespace = {"__name__": "readme"}
    for block in blocks("python"):
        exec(compile(block.replace("epochs=100", "epochs=1"), "README.md", "exec"), namespace)
    assert namespace["audit"].passed
    assert namespace["other"].declaration["prior"]["kind"] == "diagonal_normal"
    assert namespace["third"].declaration["prior"] == {"kind": "laplace_prior", "scale": 0.7}
    assert namespace["z"].shape == (10, 128, 8)
    assert "ELBO" in capsys.readouterr().out


def test_the_yaml_is_a_declaration(tmp_path):
    (block,) = blocks("yaml")
    (tmp_path / "vae.yaml").write_text(block)
    mapping = Experiment.read(read_yaml(tmp_path / "vae.yaml")).mapping
    assert mapping["model"]["likelihood"]["kind"] == "bernoulli"


def test_there_are_commands():
    assert len(COMMANDS) == 9
    assert all(command.startswith("pyro-vae ") for command in COMMANDS)


@pytest.mark.parametrize("line", COMMANDS)
def test_the_commands_work(line, command, trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    other = shutil.copytree(trained, tmp_path / "other") if "OTHER" in line else ""
    line = line.replace("RUN", str(trained)).replace("OTHER", str(other))
    arguments = shlex.split(line.replace("=DIR", f"={DATA}"))[1:]
    if "data.kind=mnist" in arguments:
        if not (DATA / "MNIST").is_dir():
            pytest.skip("needs MNIST")
        arguments += ["train.epochs=1", "--no-audit"]
    status, out, err = command(*arguments)
    assert status == 0, err
    assert out


@pytest.mark.parametrize("table", catalogue(), ids=lambda table: table.title)
def test_the_table_of_components_is_the_registrys(table):
    assert table.markdown() in README


def test_make_has_the_targets_that_it_names():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"make (\w+)", README):
        assert target in {"and"} or re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_links_lead_somewhere():
    targets = re.findall(r"\]\((?!http)([^)#]+)\)", README) + re.findall(r'src="([^"]+)"', README)
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_no_file_of_the_project_names_this_machine():
    pattern = re.compile(r"/home/\w+|/Users/\w+")
    for path in [
        *ROOT.glob("*.md"),
        *ROOT.glob("pyro_vae/**/*.py"),
        *ROOT.glob("notebooks/*.ipynb"),
    ]:
        assert not pattern.search(path.read_text()), path
