"""A loaded component has its config's settings, overridden or not, and what training has found."""

import pytest
import spacy
from spacy.training import Example
from thinc.api import Adam

from spacy_bloom.pipeline.answering.answers import Answer, set_answers
from spacy_bloom.thinc_layers.pieces.windows import WindowSettings

NAMES = ("bloom_transformer", "bloom_token_classifier", "bloom_text_classifier", "bloom_question_answerer")
CHANGED = {
    "bloom_transformer": {
        "keep_activations": True,
        "max_batch_items": 64,
        "model": {"window": 32, "context": 8},
    },
    "bloom_token_classifier": {"scores_attr": "chances", "overwrite": True},
    "bloom_text_classifier": {"threshold": 0.9, "exclusive": False},
    "bloom_question_answerer": {"questions": ["Where?"], "n_best": 3, "model": {"window": 40, "context": 10}},
}


@pytest.fixture(scope="module")
def trained(checkpoint):
    nlp = spacy.blank("en")
    for name in NAMES:
        own = "question" in name or name == "bloom_transformer"
        nlp.add_pipe(name, config={"model": {"name": checkpoint}} if own else {})
    doc = nlp.make_doc("Ana lives in Lima.")
    annotations = {"entities": [(0, 3, "PER"), (13, 17, "LOC")], "cats": {"a": 1.0, "b": 0.0}}
    example = Example.from_dict(doc, annotations)
    set_answers(example.reference, {"Who?": [Answer(0, 1, 1.0)]})
    nlp.initialize(lambda: [example])
    nlp.update([example], sgd=Adam(0.001))
    return nlp


def found_by_training(nlp):
    tokens, texts = nlp.get_pipe("bloom_token_classifier"), nlp.get_pipe("bloom_text_classifier")
    return tokens.tags, texts.labels


def check_changed(nlp):
    for name, changed in CHANGED.items():
        cfg = nlp.get_pipe(name).cfg
        assert {key: cfg[key] for key in changed if key != "model"} == {
            key: value for key, value in changed.items() if key != "model"
        }
    assert nlp.get_pipe("bloom_transformer").model.attrs["windows"] == WindowSettings(32, 8)
    assert nlp.get_pipe("bloom_question_answerer").model.attrs["windows"] == WindowSettings(40, 10)


def test_settings_are_overridden_when_a_pipeline_is_loaded(trained, tmp_path):
    trained.to_disk(tmp_path / "nlp")
    nlp = spacy.load(tmp_path / "nlp", config={"components": CHANGED})
    check_changed(nlp)
    assert found_by_training(nlp) == found_by_training(trained)
    doc = nlp("Ana lives in Lima.")
    assert set(doc[0]._.chances) == set(nlp.get_pipe("bloom_token_classifier").tags)
    assert doc._.trf_data.model_output.last_hidden_state.shape[0] == 1  # kept, though components listen


def test_and_from_bytes(trained):
    config = trained.config.merge({"components": CHANGED})
    nlp = spacy.util.load_model_from_config(config, exclude=()).from_bytes(trained.to_bytes())
    check_changed(nlp)
    assert found_by_training(nlp) == found_by_training(trained)


def test_windows_of_a_transformer_of_its_own(trained, tmp_path):
    """A component that no longer listens."""
    trained.to_disk(tmp_path / "trained")
    nlp = spacy.load(tmp_path / "trained", exclude=["bloom_text_classifier", "bloom_question_answerer"])
    nlp.replace_listeners("bloom_transformer", "bloom_token_classifier", ["model.tok2vec"])
    nlp.remove_pipe("bloom_transformer")
    nlp.to_disk(tmp_path / "nlp")
    overrides = {"window": 32, "context": 8}
    changes = {"components": {"bloom_token_classifier": {"model": {"tok2vec": overrides}}}}
    nlp = spacy.load(tmp_path / "nlp", config=changes)
    (own,) = [n for n in nlp.get_pipe("bloom_token_classifier").model.walk() if n.name == "bloom-transformer"]
    assert own.attrs["windows"] == WindowSettings(32, 8)


def test_what_training_found_stays_where_the_config_leaves_it_open(trained, tmp_path):
    """A file without the config's answer, as of a checkpoint with labels that do not exclude each other."""
    trained.to_disk(tmp_path / "nlp")
    pipe = spacy.load(tmp_path / "nlp").get_pipe("bloom_text_classifier")
    assert pipe.cfg["exclusive"] is None
    pipe.cfg["exclusive"] = False
    pipe.to_disk(tmp_path / "alone")
    again = spacy.load(tmp_path / "nlp").get_pipe("bloom_text_classifier").from_disk(tmp_path / "alone")
    assert again.exclusive is False
