"""Treebanks are read with their tokens and all annotation."""

from pathlib import Path

import pytest

from spacy_bloom.corpora.conllu import read_conllu, read_lines
from spacy_bloom.corpora.files import DataFile
from spacy_bloom.errors import InputError

DATA = Path(__file__).parents[3] / "shared" / "data" / "ud"
# "du" is two words of the treebank, and one token
FRENCH = """# sent_id = 1
# text = Il vient du Nil.
1\tIl\til\tPRON\t_\tNumber=Sing\t2\tnsubj\t_\t_
2\tvient\tvenir\tVERB\t_\tNumber=Sing|Person=3\t0\troot\t_\t_
3-4\tdu\t_\t_\t_\t_\t_\t_\t_\t_
3\tde\tde\tADP\t_\t_\t5\tcase\t_\t_
4\tle\tle\tDET\t_\t_\t5\tdet\t_\t_
5\tNil\tNil\tPROPN\t_\t_\t2\tobl\t_\tSpaceAfter=No
6\t.\t.\tPUNCT\t_\t_\t2\tpunct\t_\t_

# text = Oui !
1\tOui\toui\tINTJ\t_\t_\t0\troot\t_\t_
2\t!\t!\tPUNCT\t_\t_\t1\tpunct\t_\t_

"""
CHINESE = (
    "1\t他\t他\tPRON\tPRP\t_\t2\tnsubj\t_\tSpaceAfter=No\n2\t来\t来\tVERB\tVV\t_\t0\troot\t_\tSpaceAfter=No\n"
)


def docs_of(nlp, file, **options):
    return [sample.doc for sample in read_conllu(nlp, file, **options)]


def test_tokens_and_their_annotation(write, nlp):
    first, second = docs_of(nlp, write("fr.test.conllu", FRENCH))
    assert [token.text for token in first] == ["Il", "vient", "du", "Nil", "."]
    assert second.text.rstrip() == "Oui !"
    assert first.text.rstrip() == "Il vient du Nil."  # spaCy ends a sentence with a space
    assert [token.pos_ for token in first] == ["PRON", "VERB", first[2].pos_, "PROPN", "PUNCT"]
    assert first[2].pos_ in ("ADP", "DET")
    assert [token.head.i for token in first] == [1, 1, 3, 1, 1] and first[3].dep_ == "obl"
    assert str(first[1].morph) == "Number=Sing|Person=3" and first[1].lemma_ == "venir"
    (chinese,) = docs_of(nlp, write("zh.dev.conllu", CHINESE))
    assert chinese.text == "他来" and [token.tag_ for token in chinese] == ["PRP", "VV"]
    assert chinese.user_data["lang"] == "zh"


def test_without_morphology_there_are_parts_of_speech_alone(write, nlp):
    docs = docs_of(nlp, write("fr.dev.conllu", FRENCH), morph=False)
    assert len(docs) == 2 and not any(str(token.morph) for doc in docs for token in doc)
    assert all(token.pos_ for doc in docs for token in doc)


def test_groups_of_sentences(write, nlp):
    (french,) = docs_of(nlp, write("fr.dev.conllu", FRENCH), group=2)
    assert [sentence.text.strip() for sentence in french.sents] == ["Il vient du Nil.", "Oui !"]


def test_empty_nodes_and_further_blank_lines(write, nlp):
    empty = "2.1\tvient" + "\t_" * 6 + "\t2:conj\t_\n"
    file = write("fr.dev.conllu", "\n\n" + FRENCH.replace("3-4", f"{empty}3-4") + "\n\n" + CHINESE)
    assert [len(doc) for doc in docs_of(nlp, file)] == [5, 2, 2]


@pytest.mark.parametrize(
    "text, message",
    [("# nothing\n\n", "holds no sentence"), ("1\ta\ta\tX\tX\t_\t9\tdep\t_\t_\n", "could not be converted")],
)
def test_files_that_cannot_be_converted(write, nlp, text, message):
    with pytest.raises(InputError, match=f"fr.dev.conllu {message}"):
        docs_of(nlp, write("fr.dev.conllu", text))


@pytest.mark.parametrize("bad", ["1\ttoo\tfew", "x\t" * 9 + "x"])
def test_lines_that_are_not_understood(write, bad):
    with pytest.raises(InputError, match="line 2: got .*, expected ten columns"):
        read_lines(write("fr.dev.conllu", f"# text = a\n{bad}\n").path)


@pytest.mark.skipif(
    not DATA.is_dir(), reason="the shared treebanks are not beside the checkout (../shared/data/ud)"
)
def test_a_shared_treebank(nlp):
    docs = docs_of(nlp, DataFile(DATA / "te.test.conllu", "te", "test"))
    assert docs and all(token.pos_ and token.dep_ for doc in docs for token in doc)
