"""The files that hosts and readers of citations read agree with the package."""

from pathlib import Path

import pytest
from ruamel.yaml import YAML

import pyro_vae

ROOT = Path(__file__).parent.parent
FILES = [ROOT / "CITATION.cff", *ROOT.glob(".github/**/*.yml")]


def read(path):
    return YAML(typ="safe", pure=True).load(path.read_text())


def test_the_citation_names_this_version():
    citation = read(ROOT / "CITATION.cff")
    assert citation["version"] == pyro_vae.__version__
    assert citation["license"] == "MIT"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_file_for_hosts_is_yaml(path):
    assert isinstance(read(path), dict)


def test_the_workflow_runs_make_check_and_publishes_what_make_docs_builds():
    jobs = read(ROOT / ".github" / "workflows" / "check.yml")["jobs"]
    steps = jobs["check"]["steps"]
    assert "make check" in [step.get("run") for step in steps]
    assert "build/docs" in [step.get("with", {}).get("path") for step in steps]
    assert jobs["publish"]["needs"] == "check"
    makefile = (ROOT / "Makefile").read_text()
    assert "-b html . build/docs" in makefile
