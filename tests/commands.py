"""Runs a command in this process, as the console script does."""

from __future__ import annotations

import pytest

from pyro_vae.cli.app import app, guarded

SMALL = ["model.latent_dim=2", "model.decoder.hidden=[16]", "guide.encoder.hidden=[16]", "-q"]


@pytest.fixture
def command(capsys):
    """Give arguments, get (exit status, stdout, stderr)."""

    def run(*arguments):
        status = guarded(lambda: app([str(a) for a in arguments], standalone_mode=False))
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return status, captured.out, captured.err

    return run


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """The folder of a small run, with its audit."""
    folder = tmp_path_factory.mktemp("runs") / "digits"
    arguments = ["train", *SMALL, "train.epochs=3", "--out", str(folder)]
    assert guarded(lambda: app(arguments, standalone_mode=False)) == 0
    return folder
