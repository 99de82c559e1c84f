"""Trackers: what was written is read back by the trackers' own readers."""

from __future__ import annotations

import importlib.util
import json

import pyro
import pytest
import torch

from pyro_vae import VAE, Callback, MLflow, TensorBoard, WandB, fit
from pyro_vae.core.errors import DeclarationError, RunFolderError

NET = {"kind": "mlp", "hidden": [4]}
X = torch.randn(100, 3, generator=torch.Generator().manual_seed(0))
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def needs(package):
    found = importlib.util.find_spec(package) is not None
    return pytest.mark.skipif(not found, reason=f"{package} is not installed")


def fitted(*callbacks, epochs=3, **options):
    pyro.set_rng_seed(0)
    vae = VAE((3,), 2, encoder=NET, decoder=NET)
    options = {"step": "pyro", "show_progress": False, **options}
    return fit(vae, X, epochs=epochs, callbacks=callbacks, **options)


class Stops(Callback):
    def on_epoch(self, result):
        if len(result.history) == 2:
            raise KeyboardInterrupt


def events(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return EventAccumulator(str(folder)).Reload()


def scalars(found, name):
    return [(event.step, event.value) for event in found.Scalars(name)]


def history(result, name):
    return [(r["epoch"], pytest.approx(r[name], rel=1e-6)) for r in result.history]


@needs("tensorboard")
class TestTensorBoard:
    def test_numbers_the_declaration_and_the_curves(self, tmp_path):
        result = fitted(TensorBoard(tmp_path))
        found = events(tmp_path)
        assert set(found.Tags()["scalars"]) == set(result.history[0]) - {"epoch"}
        for name in ("elbo", "kl", "validation_elbo"):
            assert scalars(found, name) == history(result, name)
        (declared,) = found.Tensors("declaration/text_summary")
        text = declared.tensor_proto.string_val[0].decode()
        facts = json.loads(text)
        assert facts["model"]["prior"] == {"kind": "standard_normal"}
        assert facts["train"]["epochs" if "epochs" in facts["train"] else "lr"] == 1e-3
        (picture,) = found.Images("pictures/elbo")
        assert picture.step == 3
        assert picture.width > picture.height > 100

    def test_a_resumed_training_is_written_whole(self, tmp_path):
        first = fitted(TensorBoard(tmp_path), epochs=2)
        result = fitted(TensorBoard(tmp_path), epochs=4, resume=first)
        assert scalars(events(tmp_path), "elbo") == history(result, "elbo")

    def test_a_folder_that_cannot_be_made_is_refused_before_training(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(RunFolderError, match=r"tensorboard: expected to write there, got"):
            fitted(TensorBoard(tmp_path / "file" / "folder"))

    def test_a_failure_during_training_is_warned_of_once_and_training_goes_on(self, tmp_path):
        tracker = TensorBoard(tmp_path)

        def fails(epoch, record):
            raise OSError("No space left on device")

        tracker.numbers = fails
        with pytest.warns(UserWarning, match="nothing more is written there.*No space") as caught:
            result = fitted(tracker)
        assert len(caught) == 1
        assert len(result.history) == 3


@needs("mlflow")
class TestMLflow:
    @pytest.fixture
    def client(self, tmp_path, monkeypatch):
        import mlflow

        monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # which MLflow 3 no longer prefers
        uri = (tmp_path / "store").as_uri()
        return mlflow.MlflowClient(uri)

    def run(self, client):
        experiment = client.get_experiment_by_name("pyro_vae")
        (found,) = client.search_runs([experiment.experiment_id])
        return found

    def test_numbers_the_declaration_and_the_curves(self, client):
        result = fitted(MLflow("a name", uri=client.tracking_uri))
        found = self.run(client)
        assert found.info.status == "FINISHED"
        assert found.info.run_name == "a name"
        assert found.data.params["model.prior.kind"] == "standard_normal"
        assert found.data.params["train.lr"] == "0.001"
        read = client.get_metric_history(found.info.run_id, "validation_elbo")
        assert [(m.step, m.value) for m in read] == history(result, "validation_elbo")
        files = [file.path for file in client.list_artifacts(found.info.run_id, "pictures")]
        assert files == ["pictures/elbo.png"]

    def test_an_interrupted_run_says_so(self, client):
        fitted(MLflow(uri=client.tracking_uri), Stops())
        assert self.run(client).info.status == "KILLED"


@needs("wandb")
def test_wandb_offline_keeps_the_numbers_and_the_declaration(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_CONSOLE", "off")
    result = fitted(WandB(dir=str(tmp_path)))
    (path,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    written = path.read_bytes()
    for text in ("model.prior.kind", "standard_normal", *(str(r["elbo"]) for r in result.history)):
        assert text.encode() in written
    assert len(list(path.parent.glob("files/media/images/pictures/elbo*.png"))) == 1


@pytest.mark.parametrize("tracker", [MLflow, WandB, lambda: TensorBoard("x")])
def test_a_package_that_is_missing_is_named_with_what_installs_it(tracker, monkeypatch):
    import sys

    for name in ("mlflow", "wandb", "torch.utils.tensorboard"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(DeclarationError, match=r"pip install 'pyro-vae\[(mlflow|wandb|tensorb)"):
        tracker()
