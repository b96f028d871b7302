import pytest
import spacy

from spacy_bloom.pipeline.memory_zone import memory_zone


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt])
def test_a_vocabulary_is_in_order_after_an_error(failure):
    nlp = spacy.blank("xx")
    with pytest.raises(failure, match="inside"), memory_zone(nlp):
        nlp("unheard words")
        raise failure("inside")
    assert "unheard" not in nlp.vocab.strings
    kept = nlp("words outside of zones")
    with memory_zone(nlp):
        assert [token.text for token in nlp("others inside")] == ["others", "inside"]
    assert "others" not in nlp.vocab.strings and [token.text for token in kept][-1] == "zones"
