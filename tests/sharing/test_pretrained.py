"""A model is shared as a folder with a card, and comes back from it without trust."""

import json
import shutil
import sys
from types import SimpleNamespace

import pytest
import torch
from torch import nn

import pyro_vae
from pyro_vae import VAE, audit_elbo, load
from pyro_vae.core.errors import CheckpointError, RunFolderError
from tests.variants import small_vae


class Mine(nn.Linear):
    """A class of the user's."""


def card(folder):
    return (folder / "README.md").read_text()


def test_a_folder_comes_back(tmp_path):
    vae = small_vae().eval()
    folder = vae.save_pretrained(tmp_path / "m")
    assert {path.name for path in folder.iterdir()} == {
        "config.json", "model.safetensors", "README.md", "manifest.json"}  # fmt: skip
    x = torch.randn(4, 3)
    assert torch.equal(VAE.from_pretrained(folder).encode(x).mean, vae.encode(x).mean)
    assert torch.equal(load(folder).encode(x).mean, vae.encode(x).mean)
    assert "was not audited" in card(folder)
    assert 'VAE.from_pretrained("m")' in card(folder)
    with pytest.raises(RunFolderError, match="it exists"):
        vae.save_pretrained(folder)


def test_the_card_has_the_audits_verdict(tmp_path):
    vae = small_vae()
    audit = audit_elbo(vae, torch.randn(8, 3), particles=100, loss=None)
    assert audit.verdict in card(vae.save_pretrained(tmp_path / "m", audit=audit))


def test_a_run_is_shared_with_its_scores_and_verdict(trained, command, tmp_path):
    status, _, err = command("share", trained, tmp_path / "m")
    assert (status, err) == (0, "")
    text = card(tmp_path / "m")
    audit = json.loads((trained / "audit.json").read_text())
    scores = json.loads((trained / "metrics.json").read_text())["scores"]
    assert audit["verdict"] in text
    assert "Data: digits" in text
    assert f"{scores['count']} test data" in text
    assert str(trained) not in text
    same = VAE.from_pretrained(tmp_path / "m")
    assert all(torch.equal(v, load(trained).state_dict()[k]) for k, v in same.state_dict().items())
    status, _, err = command("share", trained, tmp_path / "m")
    assert status == 2
    assert "it exists" in err


def test_a_run_without_an_audit_says_so(trained, tmp_path):
    run = shutil.copytree(trained, tmp_path / "run")
    (run / "audit.json").unlink()
    assert "was not audited" in card(load(run).save_pretrained(tmp_path / "m", run=run))


def test_another_models_run_is_refused(trained, tmp_path):
    with pytest.raises(CheckpointError, match="expected the run of this model, got another"):
        small_vae().save_pretrained(tmp_path / "m", run=trained)
    assert not (tmp_path / "m").exists()


def rewritten(folder, **changes):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))
    pyro_vae.experiment.run_folder.ModelFolder(folder).accept()


def test_a_version_that_does_not_fit_is_refused_with_what_to_install(tmp_path):
    folder = small_vae().save_pretrained(tmp_path / "m")
    rewritten(folder, format=2, pyro_vae="0.7.1")
    with pytest.raises(CheckpointError, match=r"format 1, .*got 2; .*'pyro-vae==0.7.1'"):
        VAE.from_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    rewritten(folder, format=1, model=config["model"] | {"prior": {"kind": "of_the_future"}})
    with pytest.raises(CheckpointError, match=r"(?s)pip install 'pyro-vae==0.7.1'.*of_the_fut"):
        VAE.from_pretrained(folder)


def test_a_strangers_class_is_imported_only_if_it_is_named(tmp_path, monkeypatch):
    folder = small_vae(encoder=Mine(3, 4)).save_pretrained(tmp_path / "m")
    with pytest.raises(CheckpointError, match=rf"got {__name__}.Mine.*imports=\['{__name__}'\]"):
        VAE.from_pretrained(folder)
    assert type(VAE.from_pretrained(folder, imports=[__name__]).encoder.module) is Mine
    assert type(load(folder).encoder.module) is Mine
    monkeypatch.delattr(sys.modules[__name__], "Mine")
    with pytest.raises(CheckpointError, match=r"(?s)cannot be built here.*Mine.*define it first"):
        load(folder)


def test_names_of_nothing_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"expected a folder, or the hub's owner/name"):
        VAE.from_pretrained(tmp_path / "none")
    folder = small_vae().save_pretrained(tmp_path / "m")
    with pytest.raises(CheckpointError, match="expected no revision of a folder"):
        VAE.from_pretrained(folder, revision="main")
    with pytest.raises(CheckpointError, match="expected a repository's owner/name, got 'name'"):
        small_vae().push_to_hub("name")


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """The hub's client, with a folder for a server."""
    server = tmp_path / "server"

    class Api:
        def __init__(self, token, library_name):
            assert library_name == "pyro-vae"
            self.token = token

        def create_repo(self, name, private, exist_ok):
            if self.token == "wrong":
                raise OSError("401 Client Error\nmore")
            assert exist_ok

        def upload_folder(self, repo_id, folder_path):
            shutil.copytree(folder_path, server / repo_id)
            return f"https://huggingface.co/{repo_id}"

    def snapshot_download(name, revision, allow_patterns):
        if not (server / name).is_dir():
            raise FileNotFoundError("no such repository\nmore")
        kept = tmp_path / f"cache-{revision}"
        kept.mkdir()
        for path in (server / name).iterdir():
            if path.name in allow_patterns:
                shutil.copy(path, kept)
        return str(kept)

    client = SimpleNamespace(HfApi=Api, snapshot_download=snapshot_download)
    monkeypatch.setitem(sys.modules, "huggingface_hub", client)
    return server


def test_it_goes_to_the_hub_and_back(hub):
    vae = small_vae()
    assert vae.push_to_hub("me/digits") == "https://huggingface.co/me/digits"
    assert 'VAE.from_pretrained("me/digits")' in card(hub / "me/digits")
    again = VAE.from_pretrained("me/digits", revision="v1")
    assert all(torch.equal(v, vae.state_dict()[k]) for k, v in again.state_dict().items())


def test_the_hubs_errors_are_told(hub, monkeypatch):
    with pytest.raises(CheckpointError, match=r"is no folder here, .*: no such repository$"):
        VAE.from_pretrained("me/none")
    with pytest.raises(CheckpointError, match=r"cannot be uploaded: OSError: 401 Client Error$"):
        small_vae().push_to_hub("me/digits", token="wrong")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)  # as if it were not installed
    with pytest.raises(CheckpointError, match=r"pip install 'pyro-vae\[hub\]'"):
        VAE.from_pretrained("me/none")
