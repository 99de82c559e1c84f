"""Errors of the command line: one message, exit status 2, and nothing replaced or left."""

import pytest

from pyro_vae.cli.app import guarded
from pyro_vae.cli.train import new_folder
from tests.commands import SMALL


def test_an_import_replaces_no_module(command, tmp_path):
    for name in ("re", "torch", "pandas"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(3)")
        status, _, err = command("list", "--import", tmp_path / f"{name}.py")
        assert (status, "rename the file" in err) == (2, True)
    (tmp_path / "leaves.py").write_text("raise SystemExit(3)")
    status, _, err = command("list", "--import", tmp_path / "leaves.py")
    assert (status, "got SystemExit: 3" in err) == (2, True)


def test_control_characters_are_not_printed_raw(command):
    for arguments in (["evaluate", "\x1b[2Ja\u202eb"], ["train", "\x1b[2J\udc80.yaml"]):
        status, _, err = command(*arguments)
        assert (status, "\\x1b[2J" in err) == (2, True)
        assert "\x1b[2J" not in err


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MemoryError(), "too little: none left; ask for less"),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried 9"), "ask for less"),
        (RecursionError("maximum recursion depth exceeded"), "nested too deeply"),
        (OverflowError("int too big to convert"), "lower it"),
        (RuntimeError("Storage size calculation overflowed"), "lower it"),
    ],
)
def test_what_is_beyond_the_machine_is_told_in_words(capsys, error, message):
    def fail():
        raise error

    assert guarded(fail) == 2
    assert message in capsys.readouterr().err


def test_too_little_memory_leaves_no_folder(command, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise MemoryError

    monkeypatch.setattr("pyro_vae.experiment.run.fit", fail)
    status, _, err = command("train", *SMALL, "--out", tmp_path / "run")
    assert (status, "ask for less" in err, (tmp_path / "run").exists()) == (2, True, False)


def test_new_folders_are_of_their_own():
    assert len({new_folder("digits") for _ in range(100)}) == 100
