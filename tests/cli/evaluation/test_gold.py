"""Gold Docs are read in groups."""

import pytest
from spacy.tokens import DocBin

from spacy_bloom.cli.evaluation.gold import annotate, read_gold
from spacy_bloom.errors import InputError
from spacy_bloom.pipeline.answering.answers import Answer, install_extensions, set_answers


def test_groups(nlp, corpus, gold):
    assert [one.group for one in read_gold(corpus, nlp.vocab)] == ["en", "pt", "xx"]
    assert [one.group for one in read_gold(corpus, nlp.vocab, by="genre")] == ["long", "long", "short"]
    DocBin(docs=list(gold().values()), store_user_data=True).to_disk(corpus / "dev.spacy")
    assert [one.group for one in read_gold(corpus, nlp.vocab, split="dev")] == ["en", "pt", "xx"]
    assert len(read_gold(corpus / "test.pt.spacy", nlp.vocab)) == 1
    with pytest.raises(InputError, match=r"user_data\['style'\].*they have \['genre', 'lang'\]"):
        read_gold(corpus, nlp.vocab, by="style")


def test_files_without_a_language(nlp, tmp_path):
    DocBin(docs=[nlp.make_doc("a")]).to_disk(tmp_path / "test.fr.spacy")
    assert [one.group for one in read_gold(tmp_path, nlp.vocab)] == ["fr"]
    assert [one.group for one in read_gold(tmp_path / "test.fr.spacy", nlp.vocab, by="lang")] == ["fr"]


def test_what_is_not_there(nlp, corpus, tmp_path):
    with pytest.raises(InputError, match=r"no dev\.NAME\.spacy and no dev\.spacy"):
        read_gold(corpus, nlp.vocab, split="dev")
    (tmp_path / "bad.spacy").write_bytes(b"nothing")
    with pytest.raises(InputError, match="bad.spacy is not a file of Docs"):
        read_gold(tmp_path / "bad.spacy", nlp.vocab)
    DocBin().to_disk(tmp_path / "empty.spacy")
    with pytest.raises(InputError, match="has no Docs"):
        read_gold(tmp_path / "empty.spacy", nlp.vocab)


def test_tokens_and_questions(nlp, tmp_path):
    install_extensions()  # as a component that answers does
    doc = nlp.make_doc("Ana lives here")
    with doc.retokenize() as retokenizer:
        retokenizer.merge(doc[1:3])
    set_answers(doc, {"Who?": [Answer(0, 1)]})
    DocBin(docs=[doc], store_user_data=True).to_disk(tmp_path / "docs.spacy")
    gold = read_gold(tmp_path / "docs.spacy", nlp.vocab)
    for gold_tokens, n in ((False, 3), (True, 2)):
        [(_, example)] = annotate(nlp, gold, gold_tokens=gold_tokens)
        assert len(example.predicted) == n and example.predicted._.questions == ["Who?"]
        assert example.predicted.ents[0].label_ == "PER"
