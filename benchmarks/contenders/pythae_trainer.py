"""pythae: its VAE with these networks, and the least that its trainer can do."""

from __future__ import annotations

import logging
import tempfile
import time
from typing import Any

import numpy as np
import torch
from pythae.data.datasets import BaseDataset
from pythae.models import VAE, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from torch import Tensor, nn

from benchmarks.contenders import nets
from benchmarks.contenders.training import Losses, Rows, Steps, Unavailable, Weights, is_grey
from benchmarks.sizes import Size

__all__ = ["build"]


class Encoder(BaseEncoder):  # type: ignore[misc]
    """Outputs means and log variances."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.net: nn.Module = nets.encoder(size)

    def forward(self, x: Tensor) -> Any:
        loc, log_scale = self.net(x).chunk(2, -1)
        return ModelOutput(embedding=loc, log_covariance=2 * log_scale)


class Decoder(BaseDecoder):  # type: ignore[misc]
    """Outputs probabilities, which pythae's binary cross-entropy expects."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.net: nn.Module = nets.decoder(size)

    def forward(self, z: Tensor) -> Any:
        return ModelOutput(reconstruction=self.net(z).sigmoid())


class Drawn(BaseDataset):  # type: ignore[misc]
    """Grey pictures, drawn as zeros and ones each time one is read."""

    def __getitem__(self, index: Any) -> Any:
        found = super().__getitem__(index)
        found["data"] = torch.bernoulli(found["data"])
        return found


class PythaeSteps(Steps):
    """``train_step``: pythae's pass over a data loader, the loading included."""

    def __init__(self, size: Size, data: Any, weights: Weights, device: str) -> None:
        self.data, self.batch = torch.from_numpy(data), size.batch
        self.grey = is_grey(data)
        config = VAEConfig(
            input_dim=size.event_shape, latent_dim=size.latent, reconstruction_loss="bce"
        )
        vae = VAE(config, encoder=Encoder(size), decoder=Decoder(size))
        nets.initialize(weights, encoder=vae.encoder.net, decoder=vae.decoder.net)
        self.parameters = nets.count(vae)
        self.folder = tempfile.TemporaryDirectory(prefix="pythae-")
        self.trainer = BaseTrainer(
            vae,
            self._dataset(np.arange(size.batch)),
            training_config=BaseTrainerConfig(
                output_dir=self.folder.name, per_device_train_batch_size=size.batch,
                learning_rate=1e-3, num_epochs=1, no_cuda=device == "cpu",
            ),
        )  # fmt: skip
        self.trainer.prepare_training()
        self.whole: Any = None

    def _dataset(self, rows: Rows) -> Any:
        x = self.data[torch.from_numpy(rows.reshape(-1))]
        return (Drawn if self.grey else BaseDataset)(x, torch.zeros(len(x)))

    def place(self, rows: Rows) -> Any:
        return self.trainer.get_train_dataloader(self._dataset(rows))

    def train(self, batches: Any) -> Losses:
        self.trainer.train_loader = batches
        mean = self.trainer.train_step(epoch=1)
        if self.trainer.device == "cuda":
            torch.cuda.synchronize()
        return np.full(len(batches), mean)

    def epoch(self, order: Rows) -> tuple[Losses, float]:
        """Its loader shuffles, so one data set serves every epoch."""
        if self.whole is None:
            self.whole = self.place(order)
        began = time.perf_counter()
        losses = self.train(self.whole)
        return losses, time.perf_counter() - began


def build(variant: str, size: Size, data: Any, weights: Weights, device: str) -> PythaeSteps:
    """``train_step``."""
    if size.flow_steps:
        raise Unavailable("no such model: pythae's flow takes no context from the encoder")
    logging.disable(logging.INFO)
    return PythaeSteps(size, data, weights, device)
