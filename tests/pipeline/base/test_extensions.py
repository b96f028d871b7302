import pytest
import spacy
from spacy.tokens import Doc

from spacy_bloom.errors import ConfigError
from spacy_bloom.pipeline.base.extensions import add_extension, add_read_extension


@pytest.fixture
def name():
    """A name that is free, and is again afterwards."""
    yield "made_for_this_test"
    if Doc.has_extension("made_for_this_test"):
        Doc.remove_extension("made_for_this_test")


def test_what_is_there_stays(name):
    Doc.set_extension(name, default=3)
    add_extension(Doc, name)
    add_read_extension(Doc, name)
    assert spacy.blank("xx")("a")._.get(name) == 3


def test_what_is_written_must_be_writable_and_what_is_read_need_not_be(name):
    Doc.set_extension(name, getter=lambda doc: ["yes"])
    with pytest.raises(ConfigError, match="another kind"):
        add_extension(Doc, name)
    add_read_extension(Doc, name)
    assert spacy.blank("xx")("a")._.get(name) == ["yes"]


@pytest.mark.parametrize(
    "factory, name", [("bloom_zero_shot", "labels"), ("bloom_question_answerer", "questions")]
)
def test_users_may_compute_labels_and_questions(factory, name):
    before = Doc.get_extension(name) if Doc.has_extension(name) else None
    Doc.set_extension(name, getter=lambda doc: ["computed"], force=True)
    try:
        nlp = spacy.blank("xx")
        nlp.add_pipe(factory)
        assert nlp.make_doc("a")._.get(name) == ["computed"]
    finally:
        Doc.remove_extension(name)
        if before is not None:
            Doc.set_extension(name, default=before[0])
