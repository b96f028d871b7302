import pytest
import spacy
from spacy.tokens import Doc
from thinc.api import Linear, chain, reduce_mean, with_array

from spacy_bloom.errors import ConfigError, ListenerError
from spacy_bloom.thinc_layers.architectures import (
    create_tok2vec_transformer,
    create_transformer_listener,
)
from spacy_bloom.thinc_layers.listener import BloomTransformerListener, TokenVectors
from spacy_bloom.thinc_layers.transformer_model import bloom_shim

TEXT = "Ana lives in Lima near Rio ."


@pytest.fixture
def read(make_model):
    """A function that runs the transformer on a Doc, changes the Doc, and lets a listener read it."""
    model, nlp = make_model(), spacy.blank("xx")

    def run(change, reads_pieces=False):
        doc = nlp(TEXT)
        if not Doc.has_extension("trf_data"):
            Doc.set_extension("trf_data", default=None)
        doc._.trf_data = model.predict([doc]).doc_data[0]
        with doc.retokenize() as retokenizer:
            change(retokenizer, doc)
        listener = BloomTransformerListener("*")
        if reads_pieces:
            listener.read_pieces()
        return listener.predict([doc])[0]

    return run


def split(retokenizer, doc, i, at):
    text = doc[i].text
    retokenizer.split(doc[i], [text[:at], text[at:]], heads=[(doc[i], 0), (doc[i], 0)])


SAME_NUMBER = {
    "merged, then split": lambda r, d: (r.merge(d[0:2]), split(r, d, 3, 2)),
    "split, then merged": lambda r, d: (split(r, d, 1, 3), r.merge(d[4:6])),
    "three merged, one split twice": lambda r, d: (
        r.merge(d[3:6]),
        r.split(d[1], ["l", "iv", "es"], heads=[(d[1], 0), (d[1], 0), (d[1], 0)]),
    ),
}


@pytest.mark.parametrize("change", SAME_NUMBER)
def test_as_many_other_tokens_are_noticed(read, change):
    with pytest.raises(
        ListenerError, match="vectors of 7 tokens .* those of as many others: its tokens were merged"
    ):
        read(SAME_NUMBER[change])
    read(SAME_NUMBER[change], reads_pieces=True)


@pytest.mark.parametrize(
    "n_tokens, change", [(6, lambda r, d: r.merge(d[0:2])), (8, lambda r, d: split(r, d, 1, 2))]
)
def test_another_number_of_tokens_is_noticed(read, n_tokens, change):
    with pytest.raises(ListenerError, match=f"vectors of {n_tokens} tokens .* those of 7"):
        read(change)


def test_tokens_that_only_got_annotation_are_the_same(read):
    assert len(read(lambda r, d: r.merge(d[0:1], attrs={"LEMMA": "x"})).align.lengths) == 7


def test_a_pooled_output_is_taken_apart(checkpoint):
    listener = create_transformer_listener(reduce_mean(), grad_factor=0.5)
    own = create_tok2vec_transformer(reduce_mean(), checkpoint, grad_factor=2.0)
    for tok2vec, factor in ((listener, 0.5), (own, 2.0)):
        pooling, grad_factor = TokenVectors.of(tok2vec)[1:]
        assert (pooling.name, grad_factor) == ("reduce_mean", factor)
    assert TokenVectors.of(listener).output is listener.get_ref("listener")
    assert bloom_shim(TokenVectors.of(own).output.layers[0]).weights.name == checkpoint
    with pytest.raises(ConfigError, match=r"spacy-bloom\.TransformerListener\.v1"):
        TokenVectors.of(chain(with_array(Linear(2, 2)), with_array(Linear(2, 2))))


def test_the_output_says_which_tokens_it_is_of(make_model):
    model, nlp = make_model(), spacy.blank("xx")
    for text, ends in (("Ana lives", [3, 9]), ("", []), (" café\n", [1, 5, 6])):
        data = model.predict([nlp(text)]).doc_data[0]
        assert data.token_ends.tolist() == ends
