"""How good a model's samples are: precision, recall and Frechet distance in learned features."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import constraints

from pyro_vae.core.errors import DataError, at_least
from pyro_vae.core.modes import alone, device_of, seeded
from pyro_vae.data.dataset import DataSet
from pyro_vae.data.identity import Identity
from pyro_vae.diagnostics.evaluate import Split, chosen, data_for
from pyro_vae.networks.conv import Conv
from pyro_vae.networks.mlp import MLP
from pyro_vae.report.estimate import Estimate
from pyro_vae.report.shown import ShownAsTable
from pyro_vae.report.table import Table
from pyro_vae.vae import VAE

__all__ = ["Closeness", "SampleQuality", "closeness", "sample_quality"]

Features = Callable[[Tensor], Tensor]
BATCH = 500
WIDTH = 64


@dataclass(frozen=True)
class Closeness:
    """How close a set of data is to a reference set, in features of both.

    Args:
        precision: Share of the set that lies among the reference: how good its data are.
        recall: Share of the reference that lies among the set: how much of it is covered.
        frechet: Frechet distance of the normals with both sets' means and covariances.
    """

    precision: Estimate
    recall: Estimate
    frechet: float


@dataclass(frozen=True, repr=False)
class SampleQuality(ShownAsTable):
    """A model's samples beside a split of the data; a terminal and Jupyter show a table.

    Args:
        samples: Of the model's samples.
        training: Of as many training data: about as close as samples can be.
        features: What maps data as the splits hold them to features, to score another model with.
        accuracy: Of the classifier that was trained, on the split; None if features were given.
        neighbours: The neighbour that sets a radius.
        split: The split that is the reference.
        count: Data in each set.
        identity: The identity of the data.
        seed: Seed of the samples, of the choice of training data and of the classifier.
    """

    samples: Closeness
    training: Closeness
    features: Features
    accuracy: float | None
    neighbours: int
    split: str
    count: int
    identity: Identity
    seed: int
    omitted = ("features",)

    def table(self) -> Table:
        """The samples, and training data in their place."""
        learned = "" if self.accuracy is None else f" (accuracy {self.accuracy:.3f})"
        given = "given" if self.accuracy is None else "of a classifier trained here"
        caption = (
            f"Beside {self.count} {self.split} data of {self.identity}; features {given}{learned};"
            f" neighbour {self.neighbours}, seed {self.seed}. Standard errors are over a set's "
            f"data, the other set fixed."
        )
        table = Table("Sample quality", ["", "precision", "recall", "Frechet distance"], caption)
        for name, found in (("samples", self.samples), ("training data", self.training)):
            table.add(name, str(found.precision), str(found.recall), found.frechet)
        return table


@alone()
def sample_quality(
    vae: VAE,
    data: DataSet | Any,
    *,
    features: Features | None = None,
    sample: bool | None = None,
    split: Split = "test",
    count: int | None = None,
    neighbours: int = 3,
    steps: int = 1000,
    seed: int = 0,
) -> SampleQuality:
    r"""Compare a model's samples with real data, in features of a classifier trained here.

    A datum lies among a set if it is no farther from one of its members than that member's k-th
    neighbour is. Precision is the share of samples among the data, recall the share of data among
    the samples, and the Frechet distance is

    .. math:: |m - n|^2 + \mathrm{tr}\!\left(C + D - 2 (C D)^{1/2}\right)

    for the means m, n and covariances C, D of the features. The classifier is a small network,
    trained on the labels of the training data; the features are the 64 that its last layer sees.
    So the distance is no FID of the literature, and compares models in the same features alone:
    those of the same data, split and seed, or those that are given. It grows as ``count`` falls;
    the row of training data shows by how much.

    Args:
        vae: The model. One with a condition is given those of the split's data.
        data: As ``fit`` takes it, with labels unless ``features`` are given.
        features: What maps data as the splits hold them, ``(N, *event_shape)``, to ``(N, F)``.
        sample: Whether the samples are draws from p(x|z) or its means; by default means, except
            of binary data.
        split: The split to compare with.
        count: How many data of it, samples and training data, each; all, or as many as there are
            training data, by default. Time and memory grow with its square.
        neighbours: k, at least 1.
        steps: Training steps of the classifier, of 64 data each.
        seed: Seed of everything that is drawn or trained.

    Raises:
        DataError: if there are no labels and no features, or too few data; or if features are not
            finite, or not of shape ``(N, F)``.
        IncompatibleComponents: if the data do not fit the model.

    References:
        | Improved precision and recall metric for assessing generative models (Kynkaanniemi et
        | al., 2019) https://arxiv.org/abs/1904.06991
        | GANs trained by a two time-scale update rule converge to a local Nash equilibrium (Heusel
        | et al., 2017), on the Frechet distance https://arxiv.org/abs/1706.08500

    Example:
        >>> from pyro_vae import load_data
        >>> data = load_data("digits")
        >>> quality = sample_quality(
        ...     VAE(data.event_shape, latent_dim=2), data, count=100, steps=50
        ... )
        >>> quality.training.precision.value > quality.samples.precision.value
        True
    """
    at_least(1, neighbours=neighbours, steps=steps)
    if sample is None:
        sample = vae.likelihood.support is constraints.boolean
    data = data_for(vae, data)
    if features is None and data.train.labels is None:
        raise DataError(
            "sample_quality: expected labels, to train a classifier on, got none; give "
            "features=..., a function from data to (N, F)"
        )
    if count is None:
        count = min(len(getattr(data, split)), len(data.train))
    at_least(neighbours + 1, count=count)
    device = device_of(vae)
    with seeded(seed, device):
        real, conditions = chosen(getattr(data, split), split, count, seed)
        others, _ = chosen(data.train, "train", count, seed)
        made = vae.generate(count, sample=sample, standardized=True, condition=conditions)
        accuracy = None
        if features is None:
            features = model = _classifier(data, steps, device)
            labels = getattr(data, split).labels
            index = torch.arange(count) * len(labels) // count
            found = model.last(_mapped(model, real, device).to(device)).argmax(1).cpu()
            accuracy = (found == labels[index]).double().mean().item()
        known = [_mapped(features, x, device) for x in (made, others, real)]
    return SampleQuality(
        closeness(known[0], known[2], neighbours), closeness(known[1], known[2], neighbours),
        features, accuracy, neighbours, split, count, data.identity, seed,
    )  # fmt: skip


def closeness(a: Tensor, b: Tensor, neighbours: int = 3) -> Closeness:
    """Precision, recall and Frechet distance of features ``(N, F)`` beside ``(K, F)``.

    Example:
        >>> near = closeness(torch.zeros(5, 2), torch.eye(5, 2))
        >>> near.precision.value, near.recall.value
        (1.0, 0.6)
    """
    a, b = a.double(), b.double()
    means = a.mean(0) - b.mean(0)
    first, second = (torch.cov(x.mT).reshape(x.shape[1], -1) for x in (a, b))
    values, vectors = torch.linalg.eigh(first)  # below 0 by rounding alone
    root = vectors * values.clamp(min=0).sqrt() @ vectors.mT
    crossed = torch.linalg.eigvalsh(root @ second @ root).clamp(min=0).sqrt().sum()
    frechet = means.square().sum() + first.trace() + second.trace() - 2 * crossed
    return Closeness(
        Estimate.of(_among(a, b, neighbours), unit="share"),
        Estimate.of(_among(b, a, neighbours), unit="share"),
        frechet.item(),
    )


def _among(x: Tensor, reference: Tensor, neighbours: int) -> Tensor:
    """Whether each of x is within the radius of one of the reference, ``(N,)``."""
    exact: Any = {"compute_mode": "donot_use_mm_for_euclid_dist"}
    radii = torch.cat([
        torch.cdist(part, reference, **exact).kthvalue(neighbours + 1).values  # itself is one
        for part in reference.split(BATCH)
    ])  # fmt: skip
    return torch.cat([
        (torch.cdist(part, reference, **exact) <= radii).any(1) for part in x.split(BATCH)
    ]).double()  # fmt: skip


class _Classifier(nn.Module):
    """Features, and a layer from them to the classes."""

    def __init__(self, event_shape: tuple[int, ...], classes: int) -> None:
        super().__init__()
        self.network = (
            Conv(event_shape, (WIDTH,), channels=(16, 32))
            if len(event_shape) == 3
            else MLP(event_shape, (WIDTH,), hidden=[128])
        )
        self.last = nn.Linear(WIDTH, classes)

    def forward(self, x: Tensor) -> Tensor:
        """The features."""
        return torch.relu(self.network(x))


def _classifier(data: DataSet, steps: int, device: torch.device) -> Any:
    """A classifier of the training data's labels."""
    labels = data.train.labels
    assert labels is not None
    classes = int(labels.max()) + 1
    model = _Classifier(data.event_shape, classes).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    order = torch.Generator().manual_seed(int(torch.randint(2**31, ())))
    with torch.enable_grad():
        for _ in range(steps):
            index = torch.randint(len(labels), (64,), generator=order)
            x = data.train.batch(index, order).to(device)
            loss = nn.functional.cross_entropy(model.last(model(x)), labels[index].to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model.eval().requires_grad_(False)


@torch.no_grad()
def _mapped(features: Features, x: Tensor, device: torch.device) -> Tensor:
    """The features of many data, ``(N, F)``.

    Raises:
        DataError: if they are of another shape, or not finite.
    """
    found = torch.cat([features(part.float().to(device)) for part in x.split(BATCH)]).cpu()
    if found.dim() != 2 or len(found) != len(x):
        raise DataError(f"features: expected shape ({len(x)}, F), got {tuple(found.shape)}")
    if not found.isfinite().all():
        raise DataError("features: expected finite numbers, got NaN or infinity")
    return found
