"""Run folders and checkpoints: whole or not at all, and never pickled."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest
import torch

from pyro_vae import VAE, load, save
from pyro_vae.core.errors import CheckpointError, RunFolderError
from pyro_vae.experiment.run_folder import ModelFolder, RunFolder
from tests.variants import COVERING

NET = {"kind": "mlp", "hidden": [8]}


def a_vae(**changes):
    return VAE((1, 3, 2), 2, **({"encoder": NET, "decoder": NET} | changes))


SCALES = [0.3, "learned", "per_dimension", "optimal", "heteroscedastic"]
CHOICES = [
    *(triple.values[0] for triple in COVERING),
    *({"likelihood": {"kind": "gaussian", "scale": scale}} for scale in SCALES),
    {"decoder": "linear"},
]


@pytest.mark.parametrize("changes", CHOICES, ids=str)
def test_what_is_saved_comes_back(tmp_path, changes):
    vae = a_vae(**changes)
    for value in vae.state_dict().values():
        value.copy_(torch.rand_like(value, dtype=torch.float64))
    save(vae, tmp_path / "m")
    again = load(tmp_path / "m")
    assert again.declaration == vae.declaration
    assert all(torch.equal(v, vae.state_dict()[k]) for k, v in again.state_dict().items())
    assert again._pyro_name != vae._pyro_name
    assert not again.training


def test_loading_leaves_the_generator_alone(tmp_path):
    save(a_vae(), tmp_path / "m")
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    load(tmp_path / "m")
    assert torch.equal(torch.rand(1), expected)


def test_nothing_is_pickled(tmp_path):
    save(a_vae(), tmp_path / "m")
    for path in (tmp_path / "m").iterdir():
        assert path.suffix in {".safetensors", ".json", ".md"}
        assert b"PK\x03\x04" not in path.read_bytes()[:4]


def test_a_folder_that_exists_is_never_overwritten(tmp_path):
    save(a_vae(), tmp_path / "m")
    before = (tmp_path / "m" / "model.safetensors").read_bytes()
    with pytest.raises(RunFolderError, match="it exists; choose another"):
        save(a_vae(), tmp_path / "m")
    assert (tmp_path / "m" / "model.safetensors").read_bytes() == before


def truncate(folder):
    (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:90])


def corrupt(folder):
    (folder / "model.safetensors").write_bytes(b"x" * 200)


def other_model(folder):
    text = (folder / "config.json").read_text()
    (folder / "config.json").write_text(text.replace('"latent_dim": 2', '"latent_dim": 3'))


def unknown_kind(folder):
    text = (folder / "config.json").read_text()
    (folder / "config.json").write_text(text.replace("standard_normal", "my_own"))


def flip(name):
    def flipped(folder):
        content = bytearray((folder / name).read_bytes())
        content[len(content) // 2] ^= 0x40
        (folder / name).write_bytes(bytes(content))

    return flipped


def swap(folder):
    save(a_vae(), folder.parent / "other")
    weights = (folder.parent / "other" / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights)


def poison(folder):
    ModelFolder(folder).write_weights(
        {name: w * float("nan") for name, w in ModelFolder(folder).read_weights().items()}
    )


def accepted(damage):
    def both(folder):
        damage(folder)
        RunFolder(folder).accept()

    return both


DAMAGE = [
    (truncate, "was changed"),
    (swap, "was changed after it was written"),
    *((flip(name), "was changed") for name in ("model.safetensors", "config.json")),
    (lambda folder: (folder / "manifest.json").unlink(), r"expected a manifest.json.*accept\(\)"),
    (lambda folder: (folder / "manifest.json").write_text("[]"), "expected the hashes"),
    (lambda folder: (folder / "manifest.json").write_text("["), "expected JSON"),
    (lambda folder: (folder / "standardization.safetensors").write_text(""), "was changed"),
    (accepted(truncate), "expected tensors"),
    (accepted(corrupt), "expected tensors"),
    (accepted(other_model), "do not fit the declaration"),
    (accepted(unknown_kind), "unknown prior 'my_own'"),
    (poison, "got NaN"),
    (lambda folder: (folder / "model.safetensors").unlink(), "No such file"),
    (lambda folder: (folder / "config.json").unlink(), "has no config.json"),
]


@pytest.mark.parametrize(("damage", "message"), DAMAGE, ids=range(len(DAMAGE)))
def test_damaged_folders_are_refused(tmp_path, damage, message):
    save(a_vae(), tmp_path / "m")
    damage(tmp_path / "m")
    with pytest.raises(CheckpointError, match=message):
        load(tmp_path / "m")


def test_a_kill_between_two_writes_leaves_a_folder_that_loads(tmp_path, monkeypatch):
    vae = a_vae()
    save(vae, tmp_path / "m")
    replace, left = Path.replace, iter([True, False])

    def killed(part, path):
        if not next(left):
            raise KeyboardInterrupt
        return replace(part, path)

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        ModelFolder(tmp_path / "m").write_weights(a_vae().state_dict())
    again = load(tmp_path / "m").state_dict()
    assert all(torch.equal(value, again[name]) for name, value in vae.state_dict().items())


def test_no_folder_at_all(tmp_path):
    with pytest.raises(CheckpointError, match="is not a folder"):
        load(tmp_path / "none")


@pytest.fixture
def full_disk(monkeypatch):
    """Every write fails as on a full disk."""

    def fail(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)


def test_a_full_disk_is_said_and_leaves_the_old_file_whole(tmp_path, full_disk, monkeypatch):
    folder = RunFolder(tmp_path)
    (tmp_path / "metrics.json").write_text("{}")
    with pytest.raises(RunFolderError, match="No space left on device; free some space"):
        folder.write_json("metrics.json", {"a": 1})
    assert json.loads((tmp_path / "metrics.json").read_text()) == {}
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.json"]


def test_a_model_that_a_full_disk_cannot_hold_leaves_nothing(tmp_path, full_disk):
    (tmp_path / "mine").mkdir()
    for place in (tmp_path / "new", tmp_path / "mine"):
        with pytest.raises(RunFolderError, match="No space left on device; free some space"):
            save(a_vae(), place)
    assert [path.name for path in tmp_path.rglob("*")] == ["mine"]


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match="cannot be written"):
        RunFolder.create(Path(tmp_path / "file" / "below"))


def test_the_reserve_takes_room_and_gives_it_back(tmp_path):
    folder = RunFolder.create(tmp_path / "run")
    folder.write_weights({"w": torch.zeros(1000)})
    folder.reserve()
    assert (folder.path / ".reserve").stat().st_size > 4_000_000
    folder.release()
    assert not (folder.path / ".reserve").exists()
