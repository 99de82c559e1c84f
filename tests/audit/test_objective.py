"""The audit of what a model was trained with: it passes what is right, and fails what is not."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from pyro_vae import audit_elbo
from pyro_vae.auditing.objective import importance_bound
from pyro_vae.objectives import beta_elbo, importance_elbo
from pyro_vae.objectives.beta_elbo import TraceBeta_ELBO
from pyro_vae.objectives.elbo import ELBO
from pyro_vae.objectives.importance_elbo import TraceImportance_ELBO
from pyro_vae.objectives.iwae import IWAE
from pyro_vae.objectives.renyi import Renyi

QUICK = {"particles": 100, "gradients": 10}
RIGHT = {
    "iwae": IWAE(5),
    "iwae, one particle": IWAE(1),
    "iwae, doubly_reparameterized": IWAE(3, "doubly_reparameterized"),
    "iwae, score_function": IWAE(3, "score_function"),
    "renyi": Renyi(0.3, 4),
    "renyi above 1": Renyi(2.0, 4),
    "beta": ELBO(beta=4.0),
    "beta, exact": ELBO(kl="exact", beta=0.5, warm_up=3, particles=2),
    "free bits": ELBO(kl="exact", free_bits=0.2),
    "sticking_the_landing": ELBO(estimator="sticking_the_landing"),
    "score_function": ELBO(particles=2, estimator="score_function"),
}


def audited(vae, x, loss, **options):
    """The rows of an audit that are about the training's loss."""
    audit = audit_elbo(vae, x, loss=loss, **(QUICK | options))
    rows = [check for check in audit.checks if "the training's" in check.method]
    others = [check for check in audit.checks if check not in rows]
    assert all(check.passed for check in others)  # the ELBO itself is right
    return rows


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_right_passes(name, vae, x):
    loss = RIGHT[name].pyro_loss()
    value, *gradients = audited(vae, x, loss)
    assert value.passed
    assert value.quantity == loss.name
    assert {g.quantity.rpartition(": ")[2] for g in gradients} >= {"encoder", "decoder", "prior"}
    assert all(gradient.passed for gradient in gradients)


def test_the_hand_written_bound_lies_under_the_evidence(linear, x):
    from pyro_vae.evidence.exact import linear_gaussian

    linear, x = linear.double(), x.double()
    with torch.no_grad():
        evidence = linear_gaussian(linear).log_evidence(x)
        means = [
            torch.stack([importance_bound(linear, x, k) for _ in range(200)]) for k in (1, 5, 50)
        ]
    for low, high in itertools.pairwise(means):
        assert high.mean() > low.mean()
    spread = means[-1].std(0) / math.sqrt(200)
    assert (means[-1].mean(0) < evidence + 4.42 * spread).all()
    assert means[-1].mean() > evidence.mean() - 1.0


class Fewer(TraceImportance_ELBO):
    """Forgets its last particle."""

    def value_and_surrogate(self, draws):
        value = importance_elbo._log_power_mean(draws.log_weights[:-1], 1 - self.alpha).sum()
        self.remember(draws, draws.log_posterior - draws.log_prior, value)
        return value, value


class ScaleInside(TraceImportance_ELBO):
    def value_and_surrogate(self, draws):
        value = importance_elbo._log_power_mean(1.01 * draws.log_weights, 1 - self.alpha).sum()
        self.remember(draws, draws.log_posterior - draws.log_prior, value)
        return value, value


class WholeBatches(TraceImportance_ELBO):
    def value_and_surrogate(self, draws):
        weights = draws.log_weights.sum(1, keepdim=True)
        value = importance_elbo._log_power_mean(weights, 1 - self.alpha).sum()
        self.remember(draws, draws.log_posterior - draws.log_prior, value)
        return value, value


class NegativeWeights(TraceImportance_ELBO):
    def value_and_surrogate(self, draws):
        value = -importance_elbo._log_power_mean(-draws.log_weights, 1 - self.alpha).sum()
        self.remember(draws, draws.log_posterior - draws.log_prior, value)
        return value, value


class Doubled(TraceBeta_ELBO):
    """A weight of the KL that is a hundredth off."""

    def _penalty(self, draws, kl):
        return 1.01 * super()._penalty(draws, kl)


MISTAKEN = [Fewer(num_particles=5), ScaleInside(), WholeBatches(), NegativeWeights(),
            Doubled(kl="exact", beta=4.0), Doubled(kl="exact", free_bits=0.3)]  # fmt: skip


@pytest.mark.parametrize("loss", MISTAKEN, ids=lambda loss: type(loss).__name__)
def test_mistakes_in_the_value_are_caught(loss, vae, x):
    value, *_ = audited(vae, 4 * x, loss, particles=2000, gradients=0)
    assert not value.passed


@pytest.mark.parametrize("objective", [IWAE(5, "doubly_reparameterized"),
                                       ELBO(particles=2, estimator="score_function")],
                         ids=["no second weight", "a baseline of its own"])  # fmt: skip
def test_mistakes_in_the_gradient_are_caught(objective, vae, x, monkeypatch):
    monkeypatch.setattr(importance_elbo, "_weigh_gradient", lambda *_: None)
    monkeypatch.setattr(beta_elbo, "leave_one_out", lambda values: values)
    value, *gradients = audited(vae, 4 * x, objective.pyro_loss(), gradients=100)
    assert value.passed
    (encoder,) = [g for g in gradients if g.quantity.endswith(": encoder")]
    assert not encoder.passed
