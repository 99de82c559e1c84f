"""What holds for the package as a whole."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import pyro_vae
from pyro_vae.core.declarable import Declarable, snake_case
from tests.variants import FAMILIES

ROOT = Path(pyro_vae.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))


def kinds():
    from pyro_vae import Condition, MissingModel, Source
    from pyro_vae.objectives.objective import Objective
    from pyro_vae.training.schedules.schedule import Schedule

    families = (*FAMILIES, Source, Objective, Schedule, Condition, MissingModel)
    return [cls for family in families for cls in family.kinds().values()]


@pytest.mark.parametrize("family", Declarable.__subclasses__(), ids=lambda f: f.__name__)
def test_contracts_name_no_kind_of_their_own(family):
    assert "kind" not in vars(family)


def test_a_folder_imports_only_from_those_below_it(tmp_path):
    lint = Path(sys.executable).with_name("lint-imports")
    if not lint.exists():
        pytest.skip("import-linter is not installed")
    command = [str(lint), "--no-cache", "--config", str(ROOT.parent / "pyproject.toml")]
    done = subprocess.run(command, cwd=ROOT.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_are_short_enough_to_read(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 300


@pytest.mark.parametrize("cls", kinds(), ids=lambda cls: f"{cls._family.__name__}-{cls.kind}")
def test_a_kind_is_the_name_of_its_file(cls):
    assert cls.__module__ == f"{cls._home}.{cls.kind}"
    assert cls.kind == snake_case(cls.__name__)
    assert cls.summary()


@pytest.mark.parametrize("cls", kinds(), ids=lambda cls: f"{cls._family.__name__}-{cls.kind}")
def test_a_kind_is_imported_in_its_familys_init(cls):
    package = importlib.import_module(cls._home)
    line = f"from {cls.__module__} import {cls.__name__} as {cls.__name__}"
    assert getattr(package, cls.__name__, None) is cls, f"add to {package.__file__}: {line}"


def test_every_public_name_is_there():
    assert {"Objective", "Schedule", "ELBOAudit", "FitResult", "Scores"} < set(pyro_vae.__all__)
    for name in pyro_vae.__all__:
        assert getattr(pyro_vae, name).__name__ == name
    assert set(dir(pyro_vae)) >= set(pyro_vae.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'VEA'"):
        pyro_vae.VEA  # noqa: B018


def test_a_type_checker_sees_every_public_name_and_kind(tmp_path):
    mypy = Path(sys.executable).with_name("mypy")
    if not mypy.exists():
        pytest.skip("mypy is not installed")
    names = [f"from pyro_vae import {name}" for name in pyro_vae.__all__]
    names += [f"from {cls._home} import {cls.__name__} as _{i}" for i, cls in enumerate(kinds())]
    user = tmp_path / "user.py"
    user.write_text("\n".join([*names, "from pyro_vae import VEA", "reveal_type(VAE.swap)"]))
    command = [str(mypy), "--strict", "--follow-imports=silent", str(user)]
    done = subprocess.run(command, cwd=ROOT.parent, capture_output=True, text=True, check=False)
    errors = [line for line in done.stdout.splitlines() if ": error: " in line]
    assert len(errors) == 1, done.stdout
    assert 'has no attribute "VEA"' in errors[0]
    assert "VAE" in done.stdout.partition("Revealed type")[2]


def test_importing_the_package_imports_no_torch():
    code = "import sys, pyro_vae; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT.parent)
