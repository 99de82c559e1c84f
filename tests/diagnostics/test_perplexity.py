"""The perplexity per word, held to counting by hand."""

import itertools
import math

import pytest
import torch
from torch.distributions import Multinomial

from pyro_vae.core.errors import DataError
from pyro_vae.diagnostics.perplexity import perplexity

X = torch.tensor([[2.0, 1.0, 0.0], [0.0, 1.0, 3.0], [1.0, 0.0, 0.0]])
WORDS = torch.tensor([0.5, 0.2, 0.3])


def elbo():
    """Where the model knows each word's probability, the bound is the evidence."""
    return torch.stack([Multinomial(int(x.sum()), WORDS).log_prob(x) for x in X])


def test_it_is_the_inverse_geometric_mean_of_the_words_probabilities():
    per_document = []
    for x in X:
        words = list(itertools.chain(*([w] * int(n) for w, n in enumerate(x.tolist()))))
        per_document.append(sum(math.log(WORDS[w]) for w in words) / len(words))
    expected = math.exp(-sum(per_document) / len(per_document))
    found = perplexity(elbo(), X)
    assert found.value == pytest.approx(expected, rel=1e-6)
    spread = torch.tensor(per_document).std().item() / math.sqrt(len(X))
    assert found.stderr == pytest.approx(expected * spread, rel=1e-5)


def test_the_order_of_words_is_no_part_of_it():
    forgotten = torch.exp(-(elbo() / X.sum(1)).mean())
    assert abs(perplexity(elbo(), X).value - forgotten) > 0.3


def test_even_words_have_the_perplexity_of_the_vocabulary():
    x = torch.tensor([[3.0, 1.0, 0.0, 5.0]] * 2)
    even = Multinomial(9, torch.ones(4)).log_prob(x)
    assert perplexity(even, x).value == pytest.approx(4, rel=1e-5)


@pytest.mark.parametrize("x", [X[:2], torch.zeros(3, 3)])
def test_what_is_no_document_is_refused(x):
    with pytest.raises(DataError, match="one ELBO for each"):
        perplexity(elbo(), x)
