import numpy
import pytest
from spacy.ml.models.tok2vec import MaxoutWindowEncoder
from spacy.tokens import Doc
from spacy.vocab import Vocab
from thinc.api import Model

from spacy_bloom.thinc_layers.encoded_tok2vec import create_encoded_tok2vec

LENGTHS = (2, 0, 3)


def layer_of(width, received):
    """Vectors of ones; keeps its gradients."""

    def forward(model, docs, is_train):
        outputs = [numpy.ones((len(doc), width), dtype="f") for doc in docs]
        return outputs, lambda gradients: received.extend(gradients) or docs

    return Model(f"ones_{width}", forward, dims={"nO": width})


@pytest.mark.parametrize("embed_width", [None, 3])
def test_layers_over_both_kinds_of_vectors(embed_width):
    docs = [Doc(Vocab(), words=["word"] * n) for n in LENGTHS]
    of_bloom, of_words = [], []
    embed = None if embed_width is None else layer_of(embed_width, of_words)
    model = create_encoded_tok2vec(layer_of(4, of_bloom), MaxoutWindowEncoder(6, 1, 2, 1), embed)
    model.initialize(X=docs)
    assert model.get_dim("nO") == 6 and model.get_ref("tok2vec").name == "ones_4"
    vectors, backprop = model.begin_update(docs)
    assert [x.shape for x in vectors] == [(n, 6) for n in LENGTHS]
    assert not numpy.allclose(vectors[2][0], vectors[2][1])  # a window sees that one of them is the first
    backprop([numpy.ones_like(x) for x in vectors])
    assert [d.shape for d in of_bloom] == [(n, 4) for n in LENGTHS] and any(d.any() for d in of_bloom)
    assert [d.shape for d in of_words] == [(n, embed_width) for n in LENGTHS if embed_width]
