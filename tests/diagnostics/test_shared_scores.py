"""Processes that share the data have the scores of one, to the bit."""

from __future__ import annotations

import pytest
import torch

from pyro_vae import VAE, as_dataset, evaluate
from pyro_vae.core.errors import NonFiniteLoss, ProcessError
from pyro_vae.evidence import annealed, chunks
from pyro_vae.evidence.annealed import Annealing
from pyro_vae.evidence.importance import importance_sampling
from tests.training.processes import together

X = torch.randn(60, 4, generator=torch.Generator().manual_seed(1))
NET = {"kind": "mlp", "hidden": [8]}


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    """Chunks of five data or so: 8 values a code, and 10 codes."""
    monkeypatch.setitem(chunks.BUDGET, "cpu", 400)
    monkeypatch.setattr(annealed, "ADAPTATIONS", 4)  # of the step size: the draws count, not it


def a_model():
    torch.manual_seed(0)
    return VAE((4,), 2, encoder=NET, decoder=NET)


def scores(*, processes=True):
    data = as_dataset(X, test=23, validation=0)
    found = evaluate(
        a_model(), data, nll=10, ais=Annealing(3, 2, 2), sandwich=7, processes=processes,
        show_progress=False,
    )  # fmt: skip
    logs = [each.log_evidence for each in found.estimates.values()]
    return found.to_dict(), [*logs, found.sandwich.lower, found.sandwich.upper]


def test_processes_that_share_data_have_the_scores_of_one(tmp_path):
    told, logs = scores(processes=False)
    for theirs, each in together(3, lambda rank: scores(), tmp_path):
        assert theirs == told
        assert all(one.equal(other) for one, other in zip(logs, each, strict=True))


def test_each_has_a_share(tmp_path):
    def work(rank):
        made = []
        chunks.of_chunks(a_model(), X, 7, 0, lambda _, x, start: made.append(start), True)
        return made, chunks.share_of_chunks(len(X), 7, True)

    one, other = together(2, work, tmp_path)
    assert one == ([0, 14, 28, 42, 56], (5, 32, True))
    assert other == ([7, 21, 35, 49], (4, 28, False))


def test_the_chunks_draws_are_their_own():
    found = chunks.of_chunks(a_model(), X, 10, 5, lambda *_: torch.rand(2).tolist())
    assert len({tuple(each) for each in found}) == 6
    torch.manual_seed(5)
    assert found[0] == torch.rand(2).tolist()


def test_what_one_cannot_compute_all_report(tmp_path):
    def work(rank):
        x = X.clone()
        x[7] = torch.nan  # in the second chunk, the second process's
        with pytest.raises(NonFiniteLoss, match="got NaN or inf for 10 of 50 draws") as caught:
            importance_sampling(a_model(), x, samples=10, processes=True)
        return str(caught.value)

    one, other = together(2, work, tmp_path)
    assert one == other is not None


def test_processes_with_other_data_are_refused(tmp_path):
    def work(rank):
        with pytest.raises(ProcessError, match=r"the same work, got .*\(60, 5, 0\), \(59, 5, 0\)"):
            importance_sampling(a_model(), X[rank:], samples=10, processes=True)
        return True

    assert together(2, work, tmp_path) == [True, True]
