"""Topics: their words, NPMI counted by hand, shares, and what has none."""

import math

import pytest
import torch

from pyro_vae import VAE, topics
from pyro_vae.core.errors import DataError, IncompatibleComponents
from pyro_vae.data import SparseCounts
from pyro_vae.data.identity import Identity
from pyro_vae.diagnostics.topics import Topics, npmi

WORDS = "abcdef"
COUNTS = torch.poisson(torch.ones(60, 6), torch.Generator().manual_seed(0)) + torch.eye(6)[0]


def model(decoder="topic_decoder", likelihood="multinomial", **parts):
    return VAE((6,), 3, "dirichlet", likelihood, decoder, encoder="linear", **parts)


def by_hand(documents, one, other):
    both = sum(one in d and other in d for d in documents) / len(documents)
    p, q = (sum(word in d for d in documents) / len(documents) for word in (one, other))
    return math.log(both / (p * q)) / -math.log(both)


def test_npmi_is_that_counted_by_hand():
    documents = ["aab", "abc", "c", "bd", "abd"]
    x = torch.tensor([[float(d.count(w)) for w in "abcd"] for d in documents])
    pairs = [by_hand(documents, *pair) for pair in ("ab", "ac", "bc")]
    assert pairs[0] == pytest.approx(math.log(0.6 / (0.6 * 0.8)) / -math.log(0.6))
    found = npmi(x, torch.tensor([[0, 1, 2], [1, 0, 3], [2, 3, 1]]))
    last = [-1.0, by_hand(documents, "b", "c"), by_hand(documents, "b", "d")]  # c, d: never both
    middle = [by_hand(documents, *pair) for pair in ("ab", "bd", "ad")]
    expected = [sum(each) / 3 for each in (pairs, middle, last)]
    assert found.tolist() == pytest.approx(expected)


def test_the_ends_of_npmi():
    x = torch.tensor([[1.0, 1, 1, 0, 0], [1, 0, 0, 0, 1], [1, 3, 1, 0, 0], [1, 0, 0, 0, 1]])
    found = npmi(x, torch.tensor([[1, 2], [1, 4], [1, 3], [0, 1]]))
    assert found.tolist() == pytest.approx([1, -1, -1, 0])  # alike, apart, absent, everywhere
    assert npmi(torch.ones(4, 2), torch.tensor([[0, 1]])).tolist() == [0]


@pytest.mark.parametrize("decoder", ["topic_decoder", "linear"])
def test_the_words_are_those_of_greatest_weight(decoder, tmp_path):
    import scipy.sparse

    scipy.sparse.save_npz(tmp_path / "x.npz", scipy.sparse.csr_array(COUNTS.numpy()))
    (tmp_path / "vocab.txt").write_text("\n".join(WORDS))
    vae = model(decoder)
    layer = vae.decoder.topics if decoder == "topic_decoder" else vae.decoder.affine
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[3.0, 2, 1, 0, 0, -9], [0, 0, 0, 3, 4, 1],
                                         [0, 9, 8, 7, 0, 0]]).T)  # fmt: skip
    data = SparseCounts(tmp_path / "x.npz", vocab=tmp_path / "vocab.txt").load()
    found = topics(vae, data, words=2)
    assert found.words == [["a", "b"], ["e", "d"], ["b", "c"]]
    assert found.diversity == 5 / 6
    assert torch.equal(found.npmi, npmi(data.test.x, torch.tensor([[0, 1], [4, 3], [1, 2]])))
    assert (found.share is None) == (decoder == "linear")
    if found.share is not None:
        z = vae.point_estimate(data.test.x)
        assert torch.allclose(found.share.float(), z.softmax(1).mean(0), atol=1e-6)
    assert topics(vae, COUNTS, words=2).words[1] == ["4", "3"]  # no names
    assert topics(vae, data, words=2, split="train").count == 42


def test_batch_normalization_divides_the_weights():
    vae = model()
    with torch.no_grad():
        vae.decoder.topics.weight.copy_(torch.tensor([6.0, 5, 4, 3, 2, 1])[:, None].expand(6, 3))
        vae.decoder.norm.standardize.running_var.copy_(torch.tensor([100.0, 1, 1, 0.01, 1, 1]))
    vae.eval()
    with torch.no_grad():  # the logits' slope along the share of the first topic
        slope = vae.decoder.norm(vae.decoder.topics(torch.eye(3)[:1]))
        slope = slope - vae.decoder.norm(vae.decoder.topics(torch.zeros(1, 3)))
    order = [str(d) for d in slope[0].argsort(descending=True).tolist()]
    assert order[:3] == ["3", "1", "2"]
    assert topics(vae, COUNTS, words=6).words == [order] * 3


def test_the_most_coherent_topic_is_shown_first():
    words = [["a", "b"], ["c", "d"], ["a", "e"]]
    identity = Identity("corpus", "0" * 64, 8, 0, 4, 0, (0, 3), "none")
    found = Topics(words, torch.tensor([0.1, -0.2, 0.5]), torch.tensor([0.5, 0.3, 0.2]),
                   "test", 4, identity)  # fmt: skip
    assert [row[0].text for row in found.table().rows] == ["2", "0", "1"]
    assert "NPMI 0.133, diversity 0.833" in str(found)
    names = [text.get_text() for text in found.figure().axes[0].get_yticklabels()]
    assert names == ["2: a e", "0: a b", "1: c d"]
    assert "<table" in (shown := found._repr_html_())
    assert "data:image/png" in shown
    written = found.to_dict()
    assert written["coherence"] == pytest.approx(0.4 / 3)
    assert written["words"] == words


@pytest.mark.parametrize(
    ("vae", "got"),
    [
        (lambda: model("mlp"), "likelihood: multinomial, decoder: mlp"),
        (lambda: model(likelihood="gaussian"), "likelihood: gaussian, decoder: topic_decoder"),
        (
            lambda: model(condition={"kind": "classes", "count": 2}),
            "likelihood: multinomial, decoder: one of conditions",
        ),
        (lambda: model(torch.nn.Linear(3, 6)), "likelihood: multinomial, decoder: module_network"),
    ],
)
def test_a_model_without_topics_is_refused(vae, got):
    with pytest.raises(IncompatibleComponents, match=f"got {got}; train one with"):
        topics(vae(), COUNTS)


def test_bad_input_is_refused():
    for words in (1, 7):
        with pytest.raises(DataError, match=f"words: expected 2 to 6, .* got {words}"):
            topics(model(), COUNTS, words=words)
    with pytest.raises(IncompatibleComponents, match=r"event shape \(6,\), got \(5,\)"):
        topics(model(), COUNTS[:, :5], words=2)
    with pytest.raises(IncompatibleComponents, match="whole numbers from 0"):
        topics(model(), COUNTS / 2, words=2)
