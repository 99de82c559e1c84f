"""The perplexity per word, held to counting by hand."""

import itertools
import math

import pytest
import torch
from torch.distributions import Multinomial
from torch.nn.functional import one_hot

from pyro_vae import VAE, evaluate
from pyro_vae.core.errors import DataError
from pyro_vae.diagnostics.perplexity import perplexities, perplexity, split_words

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


def test_a_corpus_is_one_long_document():
    words = (X * WORDS.log()).sum()
    found = perplexity(elbo(), X, "words")
    assert found.value == pytest.approx(math.exp(-words / X.sum()), rel=1e-6)
    assert abs(found.value - perplexity(elbo(), X).value) > 0.05


def test_the_error_of_a_corpus_is_that_of_other_corpora():
    lengths = torch.randint(1, 40, (200, 200, 1))
    drawn = torch.multinomial(WORDS, 200 * 200 * 40, replacement=True).reshape(200, 200, 40)
    there = (torch.arange(40) < lengths).unsqueeze(-1)
    corpora = (one_hot(drawn, 3) * there).sum(-2).float()
    orders = (corpora.sum(-1) + 1).lgamma() - (corpora + 1).lgamma().sum(-1)
    evidence = (corpora * WORDS.log()).sum(-1) + orders
    found = [perplexity(*each, "words") for each in zip(evidence, corpora, strict=True)]
    spread = torch.tensor([each.value for each in found]).std().item()
    stated = sum(each.stderr for each in found) / len(found)
    assert spread == pytest.approx(stated, rel=0.25)  # 5 times its own error, 1 / sqrt(400)


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


def test_a_document_is_split_in_halves_of_its_words():
    x = torch.poisson(torch.full((50, 7), 2.0))
    seen, held = split_words(x)
    assert torch.equal(seen + held, x)
    assert min(seen.min(), held.min()) >= 0
    assert torch.equal(held.sum(1), x.sum(1).div(2).floor())
    assert torch.equal(split_words(x)[1], held)
    assert not torch.equal(split_words(x, seed=1)[1], held)


def test_every_word_is_as_likely_to_be_held_out():
    """Counts in a half are hypergeometric: mean 4 of 8 for the word with 8 of 20."""
    x = torch.tensor([[8.0, 12.0]]).repeat(20_000, 1)
    held = split_words(x)[1][:, 0]
    variance = 10 * 0.4 * 0.6 * 10 / 19
    assert abs(held.mean() - 4) < 4.42 * math.sqrt(variance / len(x))
    assert held.var().item() == pytest.approx(variance, rel=0.06)


def documents_model(**parts):
    return VAE((4,), 2, likelihood="multinomial", decoder="linear", encoder="linear", **parts)


def test_completion_is_scored_on_the_half_that_the_encoder_does_not_see():
    x = torch.poisson(torch.full((30, 4), 2.0)) + 1
    vae = documents_model()
    scores = evaluate(vae, x, seed=3, show_progress=False)
    tested = scores.perplexity
    assert set(tested) == {"bound", "corpus", "completion"}
    assert "perplexity per word, completion" in str(scores)
    assert scores.to_dict()["perplexity"]["bound"]["value"] == tested["bound"].value

    found = perplexities(vae, x, torch.zeros(30), seed=3)["completion"]
    seen, held = split_words(x, 3)
    with torch.no_grad():
        log_p = vae.decoder(vae.point_estimate(seen)).log_softmax(-1)
        cheating = vae.decoder(vae.point_estimate(x)).log_softmax(-1)
    expected, wrong = (
        math.exp(-((held * p).sum(1) / held.sum(1)).mean().item()) for p in (log_p, cheating)
    )
    assert found.value == pytest.approx(expected, rel=1e-5)
    assert found.value != pytest.approx(wrong, rel=1e-4)


def test_documents_too_short_to_score_are_left_out_and_counted():
    x = torch.tensor([[2.0, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]])
    vae = documents_model()
    found = perplexities(vae, x, torch.zeros(3))
    assert found["bound"].estimator.endswith("1 documents without words left out")
    assert found["completion"].estimator.endswith("2 documents without words left out")
    assert found["completion"].draws == 1
    assert perplexities(vae, torch.zeros(2, 4), torch.zeros(2)) == {}


def test_what_has_no_perplexity():
    x = torch.ones(3, 4)
    assert perplexities(VAE((4,), 2, likelihood="poisson"), x, torch.zeros(3)) == {}
    per_example = documents_model(posterior="per_example")
    assert set(perplexities(per_example, x, torch.zeros(3))) == {"bound", "corpus"}
