import pytest
import spacy

from spacy_bloom.pipeline.progress import pipe_with_bar

TEXTS = ["Ana sings", "", "Wei runs home"]


def test_a_stream_is_that_of_pipe_and_the_bar_counts_it(capsys):
    nlp = spacy.blank("en")
    assert [doc.text for doc in pipe_with_bar(nlp, TEXTS, batch_size=2)] == TEXTS
    bar = capsys.readouterr().err
    assert "3/3" in bar and "words=5" in bar


@pytest.mark.parametrize("total, shown", [(None, "3 docs"), (4, "3/4")])
def test_an_end_that_no_length_tells(capsys, total, shown):
    pairs = ((text, i) for i, text in enumerate(TEXTS))
    found = list(pipe_with_bar(spacy.blank("en"), pairs, total=total, as_tuples=True))
    assert [context for _, context in found] == [0, 1, 2] and [len(doc) for doc, _ in found] == [2, 0, 3]
    assert shown in capsys.readouterr().err
