"""Inductor runs what it finds in its cache, so that nobody else may write there."""

import os
import stat
from pathlib import Path

import pytest

from pyro_vae.compiled.private import CACHE, _keep_cache_private


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE, "")
    monkeypatch.delenv(CACHE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "pyro_vae" / "inductor"


def test_it_is_this_users_alone(home):
    _keep_cache_private()
    assert os.environ[CACHE] == str(home)
    assert stat.S_IMODE(home.stat().st_mode) == 0o700


def test_the_users_own_choice_stands(monkeypatch):
    monkeypatch.setenv(CACHE, "/srv/mine")
    _keep_cache_private()
    assert os.environ[CACHE] == "/srv/mine"


def open_to_all(home):
    home.mkdir(parents=True)
    home.chmod(0o777)


def linked(home):
    home.parent.mkdir(parents=True)
    home.symlink_to(home.parent.parent)


def no_folder(home):
    home.parent.mkdir(parents=True)
    home.write_text("")


@pytest.mark.parametrize("spoil", [open_to_all, linked, no_folder])
def test_a_folder_that_others_may_have_written_is_not_used(home, spoil):
    spoil(home)
    _keep_cache_private()
    used = Path(os.environ[CACHE])
    assert used != home
    assert stat.S_IMODE(used.stat().st_mode) == 0o700
