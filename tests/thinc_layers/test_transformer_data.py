import numpy
import pytest
import spacy
from spacy.tokens import Doc
from spacy_transformers.data_classes import FullTransformerBatch
from spacy_transformers.pipeline_component import install_extensions

from spacy_bloom.thinc_layers.transformer_data import BloomTransformerData, remove_output

TEXTS = ["Ana lives in Lima", "", "今天 café", " "]


@pytest.fixture
def batch(make_model):
    nlp = spacy.blank("xx")
    return make_model().predict([nlp(text) for text in TEXTS])


def test_one_row_for_each_doc(batch):
    assert isinstance(batch, FullTransformerBatch)
    for doc, data in zip(batch.docs, batch.doc_data, strict=True):
        assert isinstance(data, BloomTransformerData)
        n_pieces = len(data.wordpieces.strings[0]) if len(doc) else 0
        assert [t.shape for t in data.tensors] == ([(1, n_pieces, 32)] if len(doc) else [])
        assert len(data.align.lengths) == len(doc) == len(data.token_ends)
        assert data.readers is None and data.source is None


def test_the_padded_batch_holds_the_same(batch):
    filled = [data for data in batch.doc_data if data.tensors]
    states, pieces = batch.model_output["last_hidden_state"], batch.wordpieces
    assert states.shape[:2] == pieces.input_ids.shape == pieces.attention_mask.shape
    for row, data in enumerate(filled):
        n = data.wordpieces.lengths[0]
        numpy.testing.assert_array_equal(states[row, :n], data.tensors[0][0])
        assert not states[row, n:].any() and pieces.attention_mask[row].sum() == n
    flat = states.reshape(-1, states.shape[-1])
    rows = numpy.concatenate([data.tensors[0][0][data.align.dataXd] for data in filled])
    numpy.testing.assert_array_equal(flat[batch.align.dataXd], rows)
    assert [len(spans) for spans in batch.spans] == [1, 0, 1, 1]


def test_gradients_are_joined_without_docs_that_have_no_tokens(batch):
    gradients = [[data.tensors[0] * 2] for data in batch.doc_data if data.tensors]
    joined = batch.unsplit_by_doc(gradients)
    assert [bool(data.tensors) for data in joined.doc_data] == [True, False, True, True]
    for data, own in zip(joined.doc_data, batch.doc_data, strict=True):
        for one, other in zip(data.tensors, own.tensors, strict=True):
            numpy.testing.assert_array_equal(one, 2 * other)


@pytest.mark.parametrize("value", [None, "an output"])
def test_nothing_of_an_output_stays_on_the_doc(value):
    install_extensions()
    doc = spacy.blank("xx")("Ana lives")
    doc.user_data["own"] = 1
    doc._.trf_data = value
    remove_output(doc)
    remove_output(doc)  # there may be none
    assert doc._.trf_data is None and doc.user_data == {"own": 1}
    assert Doc(doc.vocab).from_bytes(doc.to_bytes())._.trf_data is None
