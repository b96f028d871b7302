import pytest
import spacy
from spacy.training import Example
from thinc.api import Adam

NAMES = ["bloom_token_classifier", "bloom_text_classifier"]


@pytest.fixture
def nlp(checkpoint):
    nlp = spacy.blank("xx")
    nlp.add_pipe("bloom_transformer", config={"model": {"name": checkpoint}})
    for name in NAMES:
        nlp.add_pipe(name)
    nlp.initialize(lambda: [example(nlp)])
    return nlp


def example(nlp, text="Ana lives in Lima"):
    annotation = {"entities": [(0, 3, "PER")], "cats": {"a": 1.0, "b": 0.0}} if text else {}
    return Example.from_dict(nlp.make_doc(text), annotation)


@pytest.mark.parametrize("texts", [[""], ["", ""], ["", "Ana", ""]])
def test_docs_on_which_no_model_runs_keep_no_activations(nlp, texts):
    assert [doc._.trf_data for doc in nlp.pipe(texts)] == [None] * len(texts)


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_without_tokens_teaches_nothing(nlp, name):
    before = nlp.get_pipe(name).model.to_bytes()
    losses = nlp.update([example(nlp, "")], sgd=Adam(0.1))
    assert losses[name] == 0.0 and nlp.get_pipe(name).model.to_bytes() == before


def test_losses_add_up(nlp):
    losses = nlp.update([example(nlp)], sgd=False)
    once = dict(losses)
    nlp.update([example(nlp)], losses=losses, sgd=False)
    assert all(losses[name] == pytest.approx(2 * once[name]) and once[name] > 0 for name in NAMES)
