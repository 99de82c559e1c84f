"""The preset ``neuroscience``, on a few neurons."""

from __future__ import annotations

import numpy as np

SMALL = ["data.window=4", "model.latent_dim=8", "model.decoder.channels=[6]",
         "guide.encoder.channels=[6]", "objective.warm_up=1", "train.epochs=2", "train.step=pyro",
         "-q", "--no-audit"]  # fmt: skip


def test_spikes_from_training_to_bits_per_spike(command, tmp_path):
    counts = np.random.default_rng(0).poisson(2.0, (80, 5))
    np.savez(tmp_path / "spikes.npz", counts=counts, speed=np.zeros((80, 2)))
    data = [f"data.path={tmp_path / 'spikes.npz'}", "data.key=counts"]
    run = tmp_path / "run"
    status, _, err = command("train", "neuroscience", *data, *SMALL, "--out", run)
    assert status == 0, err
    status, out, err = command("evaluate", run, "--against", "independent")
    assert status == 0, err
    assert "bits per spike" in out
    status, _, err = command("train", "neuroscience", *data, *SMALL, "data.split=shuffled")
    assert status == 2
    assert "window: expected split blocks, got shuffled" in " ".join(err.split())
    status, _, err = command("train", "neuroscience", *data, *SMALL, "model.latent_dim=9")
    assert status == 2
    assert "latent_dim: d * T" in " ".join(err.split())
